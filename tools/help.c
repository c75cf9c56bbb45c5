/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache help: the commands, one command, or the settings.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static void
show_commands(void)
{
	const struct command *const *command;

	puts(
	    "usage: sesscache [-d dir] [-o name=value] ... command [option ...]"
	    "\n");
	for (command = commands; *command != NULL; command++)
		printf("  %-6s  %s\n", (*command)->name, (*command)->summary);
	puts("\n"
	     "  -d, --dir DIR            the directory of the cache\n"
	     "  -o, --option NAME=VALUE  a setting, as in \"sesscache help "
	     "settings\"\n"
	     "  -h, --help               this text\n"
	     "  -V, --version            the version of the library\n"
	     "\n"
	     "\"sesscache help command\" tells more.  The exit status is 0: "
	     "done, 1: failed,\n"
	     "2: misused.");
}

enum tool_exit
help_on(const struct command *command)
{
	if (command == NULL)
		show_commands();
	else
		printf("usage: sesscache [-d dir] [-o name=value] ... %s %s\n\n"
		       "%s: %s\n\n%s",
		    command->name, command->arguments, command->name,
		    command->summary, command->details);
	return TOOL_DONE;
}

static enum tool_exit
show_settings(void)
{
	const struct sesscache_setting *setting;
	size_t i;

	for (i = 0; sesscache_setting(i) != NULL; i++) {
		setting = sesscache_setting(i);
		printf("%s%s, %s\n    %s.\n    Default %s; takes %s.\n",
		    i == 0 ? "" : "\n", setting->name, setting->variable,
		    setting->help, setting->default_value, setting->values);
	}
	return TOOL_DONE;
}

static enum tool_exit
show_settings_json(void)
{
	const struct sesscache_setting *setting;
	struct json json = { .more = false };
	size_t i;

	json_begin(&json, NULL, '{');
	json_begin(&json, "settings", '[');
	for (i = 0; sesscache_setting(i) != NULL; i++) {
		setting = sesscache_setting(i);
		json_begin(&json, NULL, '{');
		json_text(&json, "name", setting->name);
		json_text(&json, "variable", setting->variable);
		json_text(&json, "default", setting->default_value);
		json_text(&json, "values", setting->values);
		json_text(&json, "help", setting->help);
		json_end(&json, '}');
	}
	json_end(&json, ']');
	json_end(&json, '}');
	putchar('\n');
	return TOOL_DONE;
}

static enum tool_exit
show_topic(const char *topic)
{
	const struct command *const *command = commands;
	enum tool_exit end;

	while (*command != NULL && strcmp((*command)->name, topic) != 0)
		command++;
	if (*command != NULL)
		end = help_on(*command);
	else
		end = misused(&command_help, "there is no help on \"%s\"",
		    topic);
	return end;
}

static enum tool_exit
show(const char *topic, bool as_json)
{
	bool settings = topic != NULL && strcmp(topic, "settings") == 0;
	enum tool_exit end;

	if (settings)
		end = as_json ? show_settings_json() : show_settings();
	else if (as_json)
		end = misused(&command_help, "--json is for the settings");
	else if (topic != NULL)
		end = show_topic(topic);
	else
		end = help_on(NULL);
	return end;
}

static enum tool_exit
run(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum tool_exit end = TOOL_GO_ON;
	bool as_json = false;
	int option = 0;

	(void)tool;
	while (end == TOOL_GO_ON && option != -1) {
		option = getopt_long(argc, argv, "h", options, NULL);
		if (option == 'j')
			as_json = true;
		else if (option == 'h')
			end = help_on(&command_help);
		else if (option != -1)
			end = misused(&command_help, NULL);
	}
	if (end == TOOL_GO_ON && optind + 1 < argc)
		end = misused(&command_help, "what is \"%s\"?",
		    argv[optind + 1]);
	if (end == TOOL_GO_ON)
		end = show(argv[optind], as_json);
	return end;
}

const struct command command_help = {
	.name = "help",
	.arguments = "[command | settings [--json]]",
	.summary = "tell about a command or the settings",
	.details = "  --json               the settings as JSON\n",
	.run = run,
};
