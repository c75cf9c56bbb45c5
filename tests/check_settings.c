/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of settings: what each accepts, what a refusal says, who wins
 * between defaults, environment and program, and that the manual agrees.
 */
#include <check.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/options.h"
#include "sesscache.h"

#define N_OF(array) ((int)(sizeof(array) / sizeof(array)[0]))

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define TIB (MIB * 1024 * 1024)
#define HUGE_NUMBER "99999999999999999999"
#define WRAPPED_NUMBER "18446744073709551617" /* 2^64 + 1 */

static struct sesscache_options *options;

/* What surrounds the test must not decide it. */
static void
clear_environment(void)
{
	char name[256];
	char **variable = environ;
	size_t len;

	while (variable != NULL && *variable != NULL) {
		len = strcspn(*variable, "=");
		if (strncmp(*variable, "SESSCACHE_", 10) == 0 &&
		    len < sizeof name) {
			memcpy(name, *variable, len);
			name[len] = '\0';
			(void)unsetenv(name);
			variable = environ;
		} else {
			variable++;
		}
	}
}

static void
setup(void)
{
	clear_environment();
	ck_assert_int_eq(sesscache_options_new(&options), SESSCACHE_OK);
}

static void
teardown(void)
{
	sesscache_options_free(options);
	options = NULL;
}

START_TEST(defaults_are_those_of_the_manual)
{
	char dir[64];

	(void)snprintf(dir, sizeof dir, "/dev/shm/sesscache-%ju",
	    (uintmax_t)geteuid());
	ck_assert_str_eq(options->dir, dir);
	ck_assert(!options->dir_given);
	ck_assert_uint_eq(options->size_bytes, 64 * MIB);
	ck_assert(!options->size_given);
	ck_assert_uint_eq(options->timeout_seconds, 3600);
	ck_assert_uint_eq(options->max_session_bytes, 16 * KIB);
	ck_assert_uint_eq(options->shards, 0);
	ck_assert(!options->owner_given);
	ck_assert_int_eq(options->tickets, SC_TICKETS_AUTO);
	ck_assert_uint_eq(options->ticket_key_lifetime_seconds, 12 * 3600);
	ck_assert_int_eq(options->single_use, SC_SINGLE_USE_AUTO);
	ck_assert_int_eq(options->log, SC_LOG_WARN);
	ck_assert(!options->log_syslog);
	ck_assert(options->enable);
	ck_assert(options->create);
	ck_assert_str_eq(options->realm, "");
}
END_TEST

/* A number that a setting took, by name. */
static uint64_t
number_of(const char *name)
{
	uint64_t number = UINT64_MAX;

	if (strcmp(name, "size") == 0)
		number = options->size_bytes;
	else if (strcmp(name, "timeout") == 0)
		number = options->timeout_seconds;
	else if (strcmp(name, "max-session") == 0)
		number = options->max_session_bytes;
	else if (strcmp(name, "shards") == 0)
		number = options->shards;
	else if (strcmp(name, "ticket-key-lifetime") == 0)
		number = options->ticket_key_lifetime_seconds;
	else if (strcmp(name, "tickets") == 0)
		number = (uint64_t)options->tickets;
	else if (strcmp(name, "single-use") == 0)
		number = (uint64_t)options->single_use;
	else if (strcmp(name, "log") == 0)
		number = (uint64_t)options->log +
		    (options->log_syslog ? 100 : 0);
	else if (strcmp(name, "enable") == 0)
		number = options->enable ? 1 : 0;
	else if (strcmp(name, "create") == 0)
		number = options->create ? 1 : 0;
	return number;
}

static const struct {
	const char *name;
	const char *value;
	uint64_t want;
} good[] = {
	{ "size", "1M", MIB },
	{ "size", "1024K", MIB },
	{ "size", "1048576", MIB },
	{ "size", "64M", 64 * MIB },
	{ "size", "0064M", 64 * MIB },
	{ "size", "3G", 3 * KIB *MIB },
	{ "size", "1T", TIB },
	{ "size", "1099511627776", TIB },
	{ "timeout", "1", 1 },
	{ "timeout", "1s", 1 },
	{ "timeout", "90", 90 },
	{ "timeout", "5m", 300 },
	{ "timeout", "1h", 3600 },
	{ "timeout", "7d", 7 * 86400 },
	{ "timeout", "604800", 604800 },
	{ "max-session", "512", 512 },
	{ "max-session", "4K", 4096 },
	{ "max-session", "30K", 30720 },
	{ "max-session", "30720", 30720 },
	{ "shards", "0", 0 },
	{ "shards", "1", 1 },
	{ "shards", "2", 2 },
	{ "shards", "16", 16 },
	{ "shards", "64", 64 },
	{ "tickets", "off", SC_TICKETS_OFF },
	{ "tickets", "shared", SC_TICKETS_SHARED },
	{ "tickets", "own", SC_TICKETS_OWN },
	{ "tickets", "auto", SC_TICKETS_AUTO },
	{ "ticket-key-lifetime", "1m", 60 },
	{ "ticket-key-lifetime", "60", 60 },
	{ "ticket-key-lifetime", "7d", 7 * 86400 },
	{ "single-use", "on", SC_SINGLE_USE_ON },
	{ "single-use", "off", SC_SINGLE_USE_OFF },
	{ "single-use", "auto", SC_SINGLE_USE_AUTO },
	{ "log", "off", SC_LOG_OFF },
	{ "log", "error", SC_LOG_ERROR },
	{ "log", "warn", SC_LOG_WARN },
	{ "log", "info", SC_LOG_INFO },
	{ "log", "debug", SC_LOG_DEBUG },
	{ "log", "info,syslog", SC_LOG_INFO + 100 },
	{ "log", "off,syslog", SC_LOG_OFF + 100 },
	{ "enable", "off", 0 },
	{ "enable", "on", 1 },
	{ "create", "off", 0 },
	{ "create", "on", 1 },
};

START_TEST(a_good_value_is_taken)
{
	enum sesscache_status status;

	status = sesscache_options_set(options, good[_i].name, good[_i].value);
	ck_assert_msg(status == SESSCACHE_OK, "%s=%s: %d, %s", good[_i].name,
	    good[_i].value, status, sesscache_detail());
	ck_assert_msg(number_of(good[_i].name) == good[_i].want,
	    "%s=%s: got %ju, want %ju", good[_i].name, good[_i].value,
	    (uintmax_t)number_of(good[_i].name), (uintmax_t)good[_i].want);
}
END_TEST

static const struct {
	const char *name;
	const char *value;
} bad[] = {
	{ "dir", "" },
	{ "dir", "relative/path" },
	{ "dir", "./x" },
	{ "size", "" },
	{ "size", "64X" },
	{ "size", "64MB" },
	{ "size", "64m" },
	{ "size", "1K" },
	{ "size", "1048575" },
	{ "size", "1023K" },
	{ "size", "2T" },
	{ "size", "1025G" },
	{ "size", "1099511627777" },
	{ "size", "0" },
	{ "size", "0M" },
	{ "size", "-1" },
	{ "size", "-64M" },
	{ "size", "+64M" },
	{ "size", " 64M" },
	{ "size", "64M " },
	{ "size", "64 M" },
	{ "size", "64.5M" },
	{ "size", "1e9" },
	{ "size", "0x4000000" },
	{ "size", "M" },
	{ "size", HUGE_NUMBER },
	{ "size", HUGE_NUMBER "M" },
	{ "size", WRAPPED_NUMBER "M" },
	{ "size", "17592186044416M" }, /* 2^64 bytes */
	{ "size", "18446744073709551615T" },
	{ "timeout", "0" },
	{ "timeout", "0s" },
	{ "timeout", "8d" },
	{ "timeout", "604801" },
	{ "timeout", "1w" },
	{ "timeout", "1H" },
	{ "timeout", "1M" },
	{ "timeout", "-5" },
	{ "timeout", "1h30m" },
	{ "timeout", "4294967297" }, /* 2^32 + 1 */
	{ "timeout", HUGE_NUMBER },
	{ "max-session", "511" },
	{ "max-session", "0" },
	{ "max-session", "30721" },
	{ "max-session", "31K" },
	{ "max-session", "1M" },
	{ "max-session", "4294968320" }, /* 2^32 + 1K */
	{ "shards", "3" },
	{ "shards", "65" },
	{ "shards", "128" },
	{ "shards", "-1" },
	{ "shards", "4K" },
	{ "shards", "auto" },
	{ "owner", ":" },
	{ "owner", ":root" },
	{ "owner", "root:" },
	{ "owner", "root:0:0" },
	{ "owner", "no such user" },
	{ "owner", "root:no such group" },
	{ "owner", "-1" },
	{ "owner", "-1:0" },
	{ "owner", "4294967295:0" }, /* what chown() takes for "none" */
	{ "owner", "0:4294967295" },
	{ "owner", HUGE_NUMBER ":0" },
	{ "tickets", "on" },
	{ "tickets", "Auto" },
	{ "tickets", "auto " },
	{ "tickets", "au" },
	{ "tickets", "owner" },
	{ "ticket-key-lifetime", "59" },
	{ "ticket-key-lifetime", "59s" },
	{ "ticket-key-lifetime", "8d" },
	{ "ticket-key-lifetime", "604801" },
	{ "single-use", "yes" },
	{ "single-use", "1" },
	{ "log", "warning" },
	{ "log", "syslog" },
	{ "log", ",syslog" },
	{ "log", "warn," },
	{ "log", "warn,stderr" },
	{ "log", "warn,syslog,syslog" },
	{ "log", "warn, syslog" },
	{ "enable", "true" },
	{ "enable", "ON" },
	{ "create", "0" },
	{ "create", "" },
};

START_TEST(a_bad_value_is_refused_by_name_and_changes_nothing)
{
	const void *after = options;
	unsigned char before[sizeof *options];
	enum sesscache_status status;

	memcpy(before, after, sizeof before);
	status = sesscache_options_set(options, bad[_i].name, bad[_i].value);
	ck_assert_msg(status == SESSCACHE_EINVAL, "%s=\"%s\": %d", bad[_i].name,
	    bad[_i].value, status);
	ck_assert_msg(strstr(sesscache_detail(), bad[_i].name) != NULL,
	    "%s: %s", bad[_i].name, sesscache_detail());
	ck_assert_msg(strstr(sesscache_detail(), bad[_i].value) != NULL,
	    "\"%s\": %s", bad[_i].value, sesscache_detail());
	ck_assert_msg(memcmp(before, after, sizeof before) == 0,
	    "%s=\"%s\" changed something", bad[_i].name, bad[_i].value);
}
END_TEST

START_TEST(a_refusal_says_what_would_be_accepted)
{
	const struct sesscache_setting *setting;
	char value[257]; /* longer than any name, and no path, number or word */
	size_t i;

	memset(value, '?', sizeof value);
	value[256] = '\0';
	for (i = 0; sesscache_setting(i) != NULL; i++) {
		setting = sesscache_setting(i);
		ck_assert_int_eq(sesscache_options_set(options, setting->name,
				     value),
		    SESSCACHE_EINVAL);
		ck_assert_msg(strstr(sesscache_detail(), setting->values) !=
			NULL,
		    "%s: %s", setting->name, sesscache_detail());
	}
}
END_TEST

START_TEST(an_unknown_setting_is_refused_with_the_list_of_all)
{
	size_t i;

	ck_assert_int_eq(sesscache_options_set(options, "siez", "64M"),
	    SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "siez"));
	for (i = 0; sesscache_setting(i) != NULL; i++)
		ck_assert_ptr_nonnull(
		    strstr(sesscache_detail(), sesscache_setting(i)->name));
	ck_assert_int_eq(sesscache_options_set(options, "", "64M"),
	    SESSCACHE_EINVAL);
	ck_assert_int_eq(sesscache_options_set(options, "SIZE", "64M"),
	    SESSCACHE_EINVAL);
}
END_TEST

START_TEST(null_is_an_argument_error)
{
	ck_assert_int_eq(sesscache_options_new(NULL), SESSCACHE_EINVAL);
	ck_assert_int_eq(sesscache_options_set(NULL, "size", "64M"),
	    SESSCACHE_EINVAL);
	ck_assert_int_eq(sesscache_options_set(options, NULL, "64M"),
	    SESSCACHE_EINVAL);
	ck_assert_int_eq(sesscache_options_set(options, "size", NULL),
	    SESSCACHE_EINVAL);
	sesscache_options_free(NULL);
}
END_TEST

START_TEST(a_value_that_was_given_is_known_as_given)
{
	ck_assert_int_eq(sesscache_options_set(options, "size", "64M"),
	    SESSCACHE_OK);
	ck_assert(options->size_given);
	ck_assert_int_eq(sesscache_options_set(options, "dir", "/nowhere"),
	    SESSCACHE_OK);
	ck_assert(options->dir_given);
	ck_assert_int_eq(sesscache_options_set(options, "owner", "1:2"),
	    SESSCACHE_OK);
	ck_assert(options->owner_given);
}
END_TEST

START_TEST(a_realm_has_a_name_of_1_to_255_bytes)
{
	char name[257];

	ck_assert_int_eq(sesscache_options_set(options, "realm", "r"),
	    SESSCACHE_OK);
	ck_assert_str_eq(options->realm, "r");
	memset(name, 'r', sizeof name);
	name[256] = '\0';
	ck_assert_int_eq(sesscache_options_set(options, "realm", name),
	    SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "too long"));
	ck_assert_str_eq(options->realm, "r");
	name[255] = '\0';
	ck_assert_int_eq(sesscache_options_set(options, "realm", name),
	    SESSCACHE_OK);
	ck_assert_str_eq(options->realm, name);
}
END_TEST

/* A program can so take back what the environment names. */
START_TEST(no_realm_is_named_by_none_or_by_nothing)
{
	static const char *const nothing[] = { "none", "" };
	size_t i;

	for (i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
		ck_assert_int_eq(sesscache_options_set(options, "realm",
				     "shop, all of it"),
		    SESSCACHE_OK);
		ck_assert_str_eq(options->realm, "shop, all of it");
		ck_assert_int_eq(sesscache_options_set(options, "realm",
				     nothing[i]),
		    SESSCACHE_OK);
		ck_assert_str_eq(options->realm, "");
	}
}
END_TEST

/* A trailing slash would have open() follow a link in spite of O_NOFOLLOW. */
START_TEST(a_directory_loses_its_trailing_slashes)
{
	ck_assert_int_eq(sesscache_options_set(options, "dir", "/a/b//"),
	    SESSCACHE_OK);
	ck_assert_str_eq(options->dir, "/a/b");
	ck_assert_int_eq(sesscache_options_set(options, "dir", "//"),
	    SESSCACHE_OK);
	ck_assert_str_eq(options->dir, "/");
}
END_TEST

START_TEST(a_directory_of_4000_bytes_is_too_long)
{
	char dir[4001];

	memset(dir, 'd', sizeof dir);
	dir[0] = '/';
	dir[4000] = '\0';
	ck_assert_int_eq(sesscache_options_set(options, "dir", dir),
	    SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "dir"));
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "/dddd"));
	dir[3999] = '\0';
	ck_assert_int_eq(sesscache_options_set(options, "dir", dir),
	    SESSCACHE_OK);
	ck_assert_str_eq(options->dir, dir);
}
END_TEST

START_TEST(an_owner_may_be_numbers_that_nobody_has)
{
	ck_assert_int_eq(sesscache_options_set(options, "owner",
			     "4000000001:4000000002"),
	    SESSCACHE_OK);
	ck_assert_uint_eq(options->owner_uid, 4000000001u);
	ck_assert_uint_eq(options->owner_gid, 4000000002u);
}
END_TEST

START_TEST(an_owner_without_group_has_the_users_own)
{
	struct passwd *root = getpwnam("root");

	ck_assert_ptr_nonnull(root);
	ck_assert_int_eq(sesscache_options_set(options, "owner", "root"),
	    SESSCACHE_OK);
	ck_assert_uint_eq(options->owner_uid, root->pw_uid);
	ck_assert_uint_eq(options->owner_gid, root->pw_gid);
	ck_assert_int_eq(sesscache_options_set(options, "owner", "0"),
	    SESSCACHE_OK);
	ck_assert_uint_eq(options->owner_uid, 0);
	ck_assert_uint_eq(options->owner_gid, root->pw_gid);
	ck_assert_int_eq(sesscache_options_set(options, "owner", "root:7"),
	    SESSCACHE_OK);
	ck_assert_uint_eq(options->owner_gid, 7);
}
END_TEST

START_TEST(a_number_that_nobody_has_needs_a_group)
{
	ck_assert_int_eq(sesscache_options_set(options, "owner", "4000000001"),
	    SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "group"));
	ck_assert(!options->owner_given);
}
END_TEST

START_TEST(a_refusal_repeats_no_control_bytes)
{
	const char *p;

	ck_assert_int_eq(sesscache_options_set(options, "log",
			     "\033[2Jwarn\n\377"),
	    SESSCACHE_EINVAL);
	for (p = sesscache_detail(); *p != '\0'; p++)
		ck_assert_msg(*p >= ' ' && *p <= '~', "byte %d", *p);
}
END_TEST

static struct sesscache_options *
new_from_environment(const char *variable, const char *value,
    enum sesscache_status want)
{
	struct sesscache_options *fresh = NULL;

	ck_assert_int_eq(setenv(variable, value, 1), 0);
	ck_assert_int_eq(sesscache_options_new(&fresh), want);
	if (want == SESSCACHE_OK)
		ck_assert_ptr_nonnull(fresh);
	else
		ck_assert_ptr_null(fresh);
	return fresh;
}

START_TEST(the_environment_overrides_the_default)
{
	struct sesscache_options *fresh;

	ck_assert_int_eq(setenv("SESSCACHE_DIR", "/some/where", 1), 0);
	ck_assert_int_eq(setenv("SESSCACHE_TICKET_KEY_LIFETIME", "2h", 1), 0);
	ck_assert_int_eq(setenv("SESSCACHE_REALM", "shop", 1), 0);
	fresh = new_from_environment("SESSCACHE_SIZE", "8M", SESSCACHE_OK);
	ck_assert_str_eq(fresh->realm, "shop");
	ck_assert_str_eq(fresh->dir, "/some/where");
	ck_assert(fresh->dir_given);
	ck_assert_uint_eq(fresh->size_bytes, 8 * MIB);
	ck_assert(fresh->size_given);
	ck_assert_uint_eq(fresh->ticket_key_lifetime_seconds, 7200);
	sesscache_options_free(fresh);
}
END_TEST

START_TEST(the_program_overrides_the_environment)
{
	struct sesscache_options *fresh;

	fresh = new_from_environment("SESSCACHE_TIMEOUT", "2h", SESSCACHE_OK);
	ck_assert_int_eq(sesscache_options_set(fresh, "timeout", "3h"),
	    SESSCACHE_OK);
	ck_assert_uint_eq(fresh->timeout_seconds, 3 * 3600);
	sesscache_options_free(fresh);
}
END_TEST

START_TEST(every_bad_value_is_refused_in_the_environment_too)
{
	const char *variable = NULL;
	size_t i;

	for (i = 0; variable == NULL; i++) {
		ck_assert_ptr_nonnull(sesscache_setting(i));
		if (strcmp(sesscache_setting(i)->name, bad[_i].name) == 0)
			variable = sesscache_setting(i)->variable;
	}
	(void)new_from_environment(variable, bad[_i].value, SESSCACHE_EINVAL);
	ck_assert_msg(strstr(sesscache_detail(), variable) != NULL &&
		strstr(sesscache_detail(), bad[_i].name) != NULL &&
		strstr(sesscache_detail(), bad[_i].value) != NULL,
	    "%s=\"%s\": %s", variable, bad[_i].value, sesscache_detail());
}
END_TEST

/* What options_new() writes to standard error. */
static size_t
new_and_read_stderr(char *text, size_t size)
{
	struct sesscache_options *fresh = NULL;
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t len;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(saved, 0);
	(void)fflush(stderr);
	ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
	ck_assert_int_eq(sesscache_options_new(&fresh), SESSCACHE_OK);
	(void)fflush(stderr);
	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	(void)close(saved);
	rewind(file);
	len = fread(text, 1, size - 1, file);
	text[len] = '\0';
	(void)fclose(file);
	sesscache_options_free(fresh);
	return len;
}

START_TEST(an_unknown_variable_is_a_warning_that_names_it)
{
	char text[512];

	ck_assert_int_eq(setenv("SESSCACHE_SIEZ", "secret", 1), 0);
	ck_assert_uint_gt(new_and_read_stderr(text, sizeof text), 0);
	ck_assert_ptr_nonnull(strstr(text, "SESSCACHE_SIEZ"));
	ck_assert_ptr_null(strstr(text, "secret"));
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(a_beginning_of_a_known_variable_is_unknown)
{
	char text[512];

	ck_assert_int_eq(setenv("SESSCACHE_SIZ", "8M", 1), 0);
	ck_assert_uint_gt(new_and_read_stderr(text, sizeof text), 0);
	ck_assert_ptr_nonnull(strstr(text, "SESSCACHE_SIZ "));
}
END_TEST

START_TEST(known_variables_give_no_warning)
{
	char text[512];

	ck_assert_int_eq(setenv("SESSCACHE_SIZE", "8M", 1), 0);
	ck_assert_int_eq(setenv("SESSCACHED", "1", 1), 0);
	ck_assert_uint_eq(new_and_read_stderr(text, sizeof text), 0);
}
END_TEST

START_TEST(log_error_silences_the_warning)
{
	char text[512];

	ck_assert_int_eq(setenv("SESSCACHE_SIEZ", "8M", 1), 0);
	ck_assert_int_eq(setenv("SESSCACHE_LOG", "error", 1), 0);
	ck_assert_uint_eq(new_and_read_stderr(text, sizeof text), 0);
}
END_TEST

START_TEST(every_row_of_the_table_is_complete)
{
	const struct sesscache_setting *setting;
	char variable[64];
	size_t i, k;

	for (i = 0; sesscache_setting(i) != NULL; i++) {
		setting = sesscache_setting(i);
		(void)snprintf(variable, sizeof variable, "SESSCACHE_%s",
		    setting->name);
		for (k = 10; variable[k] != '\0'; k++) {
			if (variable[k] == '-')
				variable[k] = '_';
			else
				variable[k] = (char)(variable[k] - 'a' + 'A');
		}
		ck_assert_str_eq(setting->variable, variable);
		ck_assert_str_ne(setting->default_value, "");
		ck_assert_str_ne(setting->values, "");
		ck_assert_str_ne(setting->help, "");
		ck_assert_ptr_null(strchr(setting->help, '\n'));
	}
	ck_assert_uint_eq(i, 13);
	ck_assert_ptr_null(sesscache_setting(i + 1));
	ck_assert_ptr_null(sesscache_setting(SIZE_MAX));
}
END_TEST

/* The manual's text; the caller frees it. */
static char *
read_manual(void)
{
	const char *srcdir = getenv("srcdir");
	size_t size = 256 * 1024;
	char *text = calloc(1, size);
	char path[4096];
	FILE *file;

	ck_assert_ptr_nonnull(text);
	(void)snprintf(path, sizeof path, "%s/man/sesscache.3",
	    srcdir != NULL ? srcdir : ".");
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "cannot open %s", path);
	ck_assert_uint_gt(fread(text, 1, size - 1, file), 0);
	(void)fclose(file);
	return text;
}

START_TEST(every_setting_is_in_the_manual_with_its_default)
{
	const struct sesscache_setting *setting;
	char *manual = read_manual();
	char heading[128];
	char *item, *end, *shown;
	size_t i;

	for (i = 0; sesscache_setting(i) != NULL; i++) {
		setting = sesscache_setting(i);
		(void)snprintf(heading, sizeof heading,
		    "\n.It Ev %s Pq Cm %s\n", setting->variable, setting->name);
		item = strstr(manual, heading);
		ck_assert_msg(item != NULL, "not in the manual: %s", heading);
		end = strstr(item + strlen(heading), "\n.It");
		if (end == NULL)
			end = strstr(item, "\n.El");
		ck_assert_ptr_nonnull(end);
		shown = strstr(item, setting->default_value);
		ck_assert_msg(shown != NULL && shown < end,
		    "%s: the manual has another default", setting->name);
	}
	free(manual);
}
END_TEST

START_TEST(every_setting_of_the_manual_is_in_the_table)
{
	static const char item[] = "\n.It Ev SESSCACHE_";
	char *manual = read_manual();
	const char *found = manual;
	size_t i, len, in_table = 0, in_manual = 0;
	bool known;

	while (sesscache_setting(in_table) != NULL)
		in_table++;
	for (found = strstr(found, item); found != NULL;
	     found = strstr(found + 1, item)) {
		len = strcspn(found + 8, " \n");
		known = false;
		for (i = 0; i < in_table; i++)
			known = known ||
			    (strlen(sesscache_setting(i)->variable) == len &&
				memcmp(sesscache_setting(i)->variable,
				    found + 8, len) == 0);
		ck_assert_msg(known, "no setting: %.40s", found + 8);
		in_manual++;
	}
	ck_assert_uint_eq(in_manual, in_table);
	free(manual);
}
END_TEST

static Suite *
settings_suite(void)
{
	Suite *suite = suite_create("settings");
	TCase *tc = tcase_create("settings");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, defaults_are_those_of_the_manual);
	tcase_add_loop_test(tc, a_good_value_is_taken, 0, N_OF(good));
	tcase_add_loop_test(tc,
	    a_bad_value_is_refused_by_name_and_changes_nothing, 0, N_OF(bad));
	tcase_add_test(tc, a_refusal_says_what_would_be_accepted);
	tcase_add_test(tc, an_unknown_setting_is_refused_with_the_list_of_all);
	tcase_add_test(tc, null_is_an_argument_error);
	tcase_add_test(tc, a_value_that_was_given_is_known_as_given);
	tcase_add_test(tc, a_realm_has_a_name_of_1_to_255_bytes);
	tcase_add_test(tc, no_realm_is_named_by_none_or_by_nothing);
	tcase_add_test(tc, a_directory_loses_its_trailing_slashes);
	tcase_add_test(tc, a_directory_of_4000_bytes_is_too_long);
	tcase_add_test(tc, an_owner_may_be_numbers_that_nobody_has);
	tcase_add_test(tc, an_owner_without_group_has_the_users_own);
	tcase_add_test(tc, a_number_that_nobody_has_needs_a_group);
	tcase_add_test(tc, a_refusal_repeats_no_control_bytes);
	tcase_add_test(tc, the_environment_overrides_the_default);
	tcase_add_test(tc, the_program_overrides_the_environment);
	tcase_add_loop_test(tc,
	    every_bad_value_is_refused_in_the_environment_too, 0, N_OF(bad));
	tcase_add_test(tc, an_unknown_variable_is_a_warning_that_names_it);
	tcase_add_test(tc, a_beginning_of_a_known_variable_is_unknown);
	tcase_add_test(tc, known_variables_give_no_warning);
	tcase_add_test(tc, log_error_silences_the_warning);
	tcase_add_test(tc, every_row_of_the_table_is_complete);
	tcase_add_test(tc, every_setting_is_in_the_manual_with_its_default);
	tcase_add_test(tc, every_setting_of_the_manual_is_in_the_table);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(settings_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
