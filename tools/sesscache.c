/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache: look into a cache, empty it, and see how it does.  This file
 * finds the cache and the command; each command has a file of its own.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

const struct command *const commands[] = { &command_dump, &command_purge,
	&command_stat, &command_check, &command_keys, &command_help, NULL };

enum tool_exit
complain(const char *format, ...)
{
	va_list args;

	(void)fflush(stdout);
	fputs("sesscache: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return TOOL_FAILED;
}

enum tool_exit
complain_status(const char *what, enum sesscache_status status)
{
	const char *detail = sesscache_detail();

	return complain("%s: %s", what,
	    *detail != '\0' ? detail : sesscache_strerror(status));
}

enum tool_exit
misused(const struct command *command, const char *format, ...)
{
	va_list args;

	if (format != NULL) {
		fputs("sesscache: ", stderr);
		va_start(args, format);
		(void)vfprintf(stderr, format, args);
		va_end(args);
		fputc('\n', stderr);
	}
	fprintf(stderr, "Try \"sesscache help%s%s\".\n",
	    command != NULL ? " " : "", command != NULL ? command->name : "");
	return TOOL_USAGE;
}

/* A row of the library's table of settings; NULL: no such setting. */
static const struct sesscache_setting *
find_setting(const char *name)
{
	const struct sesscache_setting *setting;
	size_t i = 0;

	do {
		setting = sesscache_setting(i++);
	} while (setting != NULL && strcmp(setting->name, name) != 0);
	return setting;
}

/* The settings' own value in the environment, or NULL. */
static const char *
from_environment(const char *name)
{
	const struct sesscache_setting *setting = find_setting(name);

	return setting != NULL ? secure_getenv(setting->variable) : NULL;
}

static enum tool_exit
set_option(struct tool *tool, const char *name, const char *value)
{
	enum tool_exit end = TOOL_GO_ON;
	enum sesscache_status status = SESSCACHE_OK;

	if (tool->options == NULL)
		status = sesscache_options_new(&tool->options);
	if (status == SESSCACHE_OK)
		status = sesscache_options_set(tool->options, name, value);
	if (status != SESSCACHE_OK)
		end = complain_status("settings", status);
	if (status == SESSCACHE_EINVAL)
		end = TOOL_USAGE;
	return end;
}

/* The name of the cache's directory without the slashes that may end it. */
static enum tool_exit
set_dir(struct tool *tool, const char *dir)
{
	enum tool_exit end = TOOL_GO_ON;
	char here[2048] = "";
	size_t len;
	int n;

	if (*dir != '/' && getcwd(here, sizeof here) == NULL)
		end = complain("the current directory: %s", strerror(errno));
	n = snprintf(tool->dir, sizeof tool->dir, "%s%s%s", here,
	    *here != '\0' ? "/" : "", dir);
	len = strlen(tool->dir);
	while (len > 1 && tool->dir[len - 1] == '/')
		tool->dir[--len] = '\0';
	if (end == TOOL_GO_ON && *dir == '\0')
		end = misused(NULL, "the name of the directory is empty");
	else if (end == TOOL_GO_ON && (size_t)n >= sizeof tool->dir)
		end = misused(NULL, "the name of the directory is too long");
	return end;
}

/* -o name=value */
static enum tool_exit
take_setting(struct tool *tool, const char *argument)
{
	size_t len = strcspn(argument, "=");
	enum tool_exit end;
	char name[64];

	if (argument[len] != '=' || len >= sizeof name) {
		end = misused(NULL, "-o takes name=value, not \"%s\"",
		    argument);
		goto out;
	}
	memcpy(name, argument, len);
	name[len] = '\0';
	end = set_option(tool, name, argument + len + 1);
	if (end == TOOL_GO_ON && strcmp(name, "dir") == 0)
		end = set_dir(tool, argument + len + 1);
	if (end == TOOL_GO_ON && strcmp(name, "owner") == 0)
		tool->owner_given = true;
out:
	return end;
}

/* The directory that the library would choose, if none was given. */
static enum tool_exit
find_dir(struct tool *tool)
{
	const char *dir = from_environment("dir");
	enum tool_exit end = TOOL_GO_ON;

	if (*tool->dir == '\0' && dir != NULL)
		end = set_dir(tool, dir);
	else if (*tool->dir == '\0')
		(void)snprintf(tool->dir, sizeof tool->dir,
		    "/dev/shm/sesscache-%ju", (uintmax_t)geteuid());
	return end;
}

/*
 * The superuser may look into anybody's cache, but the library serves a
 * directory only to the owner that it is told: so name the one it has.
 */
static enum tool_exit
find_owner(struct tool *tool)
{
	enum tool_exit end = TOOL_GO_ON;
	char owner[64];
	struct stat st;

	if (geteuid() == 0 && !tool->owner_given &&
	    from_environment("owner") == NULL && lstat(tool->dir, &st) == 0 &&
	    S_ISDIR(st.st_mode) && st.st_uid != 0) {
		(void)snprintf(owner, sizeof owner, "%ju:%ju",
		    (uintmax_t)st.st_uid, (uintmax_t)st.st_gid);
		end = set_option(tool, "owner", owner);
	}
	return end;
}

enum tool_exit
tool_open(struct tool *tool)
{
	enum sesscache_status status;
	enum tool_exit end;

	end = find_dir(tool);
	if (end == TOOL_GO_ON)
		end = set_option(tool, "dir", tool->dir);
	if (end == TOOL_GO_ON)
		end = find_owner(tool);
	if (end == TOOL_GO_ON)
		end = set_option(tool, "create", "off");
	if (end == TOOL_GO_ON) {
		status = sesscache_open(&tool->cache, tool->options);
		if (status == SESSCACHE_MISS)
			end = complain("there is no cache in %s", tool->dir);
		else if (status != SESSCACHE_OK)
			end = complain_status("cannot open the cache", status);
	}
	return end;
}

static const struct command *
find_command(const char *name)
{
	const struct command *const *command = commands;

	while (*command != NULL && strcmp((*command)->name, name) != 0)
		command++;
	return *command;
}

static enum tool_exit
run_command(struct tool *tool, int argc, char **argv)
{
	const struct command *command;
	char name[64];
	enum tool_exit end;

	if (argc == 0) {
		end = misused(NULL, "no command");
		goto out;
	}
	command = find_command(argv[0]);
	if (command == NULL) {
		end = misused(NULL, "there is no command \"%s\"", argv[0]);
		goto out;
	}
	/* getopt_long() begins its messages with this, and starts anew at 0 */
	(void)snprintf(name, sizeof name, "sesscache %s", command->name);
	argv[0] = name;
	optind = 0;
	end = command->run(tool, argc, argv);
	argv[0] = NULL; /* name ends here */
out:
	return end;
}

static enum tool_exit
take_global(struct tool *tool, int option)
{
	enum tool_exit end;

	switch (option) {
	case 'd':
		end = set_dir(tool, optarg);
		break;
	case 'o':
		end = take_setting(tool, optarg);
		break;
	case 'h':
		end = help_on(NULL);
		break;
	case 'V':
		printf("sesscache %s\n", sesscache_version());
		end = TOOL_DONE;
		break;
	default:
		end = misused(NULL, NULL);
		break;
	}
	return end;
}

/* A listing that did not reach its reader must not look like a short one. */
static enum tool_exit
finish_output(enum tool_exit end)
{
	errno = 0;
	if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE)
		end = complain("cannot write: %s",
		    errno != 0 ? strerror(errno) : "output error");
	return end;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "option", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	static char name[] = "sesscache";
	enum tool_exit end = TOOL_GO_ON;
	struct tool tool = { .dir = "" };
	int option;

	(void)signal(SIGPIPE, SIG_DFL); /* "dump | head" ends without a word */
	if (argc > 0)
		argv[0] = name;
	while (end == TOOL_GO_ON) {
		option = getopt_long(argc, argv, "+d:o:hV", options, NULL);
		if (option == -1)
			break;
		end = take_global(&tool, option);
	}
	if (end == TOOL_GO_ON)
		end = run_command(&tool, argc - optind, argv + optind);
	end = finish_output(end);
	sesscache_close(tool.cache);
	sesscache_options_free(tool.options);
	return (int)end;
}
