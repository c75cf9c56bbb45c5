/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of settings: defaults, the environment, options and help
 * texts are all driven by it.  Values are parsed here without the locale and
 * without the C library's number parsers, which accept signs and spaces.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "api/handle.h"
#include "api/options.h"
#include "status.h"

#define PREFIX "SESSCACHE_"
#define QUOTED_BYTES 81  /* of a value that a message repeats, with its NUL */
#define NAME_BYTES 256   /* of a user's or a group's name, with its NUL */
#define ENTRY_BYTES 1024 /* of a user or group entry, at first */
#define ENTRY_MAX_BYTES (1024 * 1024)

enum { SECOND = 1, MINUTE = 60, HOUR = 3600, DAY = 86400 };

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

struct unit {
	char letter;
	uint64_t factor;
};

static const struct unit byte_units[] = { { 'K', KIB }, { 'M', MIB },
	{ 'G', GIB }, { 'T', TIB }, { '\0', 0 } };
static const struct unit time_units[] = { { 's', SECOND }, { 'm', MINUTE },
	{ 'h', HOUR }, { 'd', DAY }, { '\0', 0 } };
static const struct unit no_units[] = { { '\0', 0 } };

/* In the order of the enums in settings.h. */
static const char *const tickets_words[] = { "auto", "off", "shared", "own",
	NULL };
static const char *const single_use_words[] = { "auto", "on", "off", NULL };
static const char *const log_words[] = { "off", "error", "warn", "info",
	"debug", NULL };
static const char *const switch_words[] = { "off", "on", NULL };

struct setting;

/*
 * Take a value, or leave the options as they are and say in *why, in a few
 * words, what is wrong with it.
 */
typedef enum sesscache_status set_value(struct sesscache_options *options,
    const struct setting *setting, const char *value, const char **why);

struct setting {
	struct sesscache_setting text;
	set_value *set;
	uint64_t min; /* of a number, in bytes or seconds */
	uint64_t max;
	bool computed;  /* the default is not what the table says in words */
	bool may_empty; /* an empty value is one */
};

static set_value set_dir, set_size, set_timeout, set_max_session, set_shards,
    set_owner, set_tickets, set_ticket_key_lifetime, set_single_use, set_log,
    set_enable, set_create, set_realm;

static const struct setting settings[] = {
	{ .text = { "dir", PREFIX "DIR", "/dev/shm/sesscache-UID",
	      "an absolute path, shorter than 4000 bytes",
	      "The directory of the cache" },
	    .set = set_dir,
	    .computed = true },
	{ .text = { "size", PREFIX "SIZE", "64M",
	      "1M to 1T, in bytes or with the unit K, M, G or T",
	      "What all files of the cache take on disk at most" },
	    .set = set_size,
	    .min = MIB,
	    .max = TIB },
	{ .text = { "timeout", PREFIX "TIMEOUT", "1h",
	      "1s to 7d, in seconds or with the unit s, m, h or d",
	      "The lifetime of a session" },
	    .set = set_timeout,
	    .min = 1,
	    .max = 7 * DAY }, /* RFC 8446, section 4.6.1 */
	{ .text = { "max-session", PREFIX "MAX_SESSION", "16K",
	      "512 to 30K, in bytes or with the unit K",
	      "The longest session that is stored" },
	    .set = set_max_session,
	    .min = 512,
	    .max = 30 * KIB },
	{ .text = { "shards", PREFIX "SHARDS", "0",
	      "0 or a power of two, 1 to 64",
	      "LMDB environments of a new cache; 0: by CPUs and size" },
	    .set = set_shards,
	    .min = 0,
	    .max = 64 },
	{ .text = { "owner", PREFIX "OWNER", "the opener",
	      "user or user:group, by name or by number",
	      "The user and group to whom the files belong" },
	    .set = set_owner,
	    .computed = true },
	{ .text = { "tickets", PREFIX "TICKETS", "auto",
	      "auto, off, shared or own",
	      "auto: as the application set, under shared keys; off: all "
	      "sessions in the cache; shared: on, under shared keys; own: the "
	      "application's ticket keys stay" },
	    .set = set_tickets },
	{ .text = { "ticket-key-lifetime", PREFIX "TICKET_KEY_LIFETIME", "12h",
	      "1m to 7d, in seconds or with the unit s, m, h or d",
	      "How long a ticket key seals; it opens for as long again" },
	    .set = set_ticket_key_lifetime,
	    .min = MINUTE,
	    .max = 7 * DAY },
	{ .text = { "single-use", PREFIX "SINGLE_USE", "auto",
	      "auto, on or off",
	      "Whether a TLS 1.3 ticket is spent by its first use; auto: when "
	      "early data is on" },
	    .set = set_single_use },
	{ .text = { "log", PREFIX "LOG", "warn",
	      "off, error, warn, info or debug, with \",syslog\" after it or not",
	      "What is reported, to standard error or to syslog" },
	    .set = set_log },
	{ .text = { "enable", PREFIX "ENABLE", "on", "on or off",
	      "off: attaching the cache to a server does nothing" },
	    .set = set_enable },
	{ .text = { "create", PREFIX "CREATE", "on", "on or off",
	      "off: open only a cache that is there, and never make, resize or "
	      "repair it" },
	    .set = set_create },
	{ .text = { "realm", PREFIX "REALM", "none",
	      "a name of 1 to 255 bytes; none or nothing: no realm",
	      "The realm of every context that names none itself" },
	    .set = set_realm,
	    .may_empty = true },
};

#define N_SETTINGS (sizeof settings / sizeof settings[0])

/*
 * The number at the start of value; *end is what follows it.  False if there
 * is none, or one that 64 bits do not hold.
 */
static bool
parse_digits(const char *value, uint64_t *number, const char **end)
{
	bool fits = *value >= '0' && *value <= '9';
	uint64_t sum = 0;
	uint64_t digit;

	while (fits && *value >= '0' && *value <= '9') {
		digit = (uint64_t)(*value - '0');
		fits = sum <= (UINT64_MAX - digit) / 10;
		if (fits) {
			sum = sum * 10 + digit;
			value++;
		}
	}
	*number = sum;
	*end = value;
	return fits;
}

/* What one of a unit is: 1 without a unit, 0 if there is no such unit. */
static uint64_t
parse_unit(const char *name, const struct unit *unit)
{
	uint64_t factor = 0;

	if (*name == '\0') {
		factor = 1;
	} else if (name[1] == '\0') {
		while (unit->letter != '\0' && unit->letter != *name)
			unit++;
		factor = unit->factor;
	}
	return factor;
}

static enum sesscache_status
parse_number(const struct setting *setting, const struct unit *units,
    const char *value, uint64_t *out, const char **why)
{
	enum sesscache_status status = SESSCACHE_EINVAL;
	uint64_t number, factor;
	const char *end;
	bool fits;

	fits = parse_digits(value, &number, &end);
	factor = parse_unit(end, units);
	if (!fits && end == value) {
		*why = "not a number";
	} else if (!fits) {
		*why = "too large";
	} else if (factor == 0) {
		*why = "not a known unit";
	} else if (number > setting->max / factor) {
		*why = "too large";
	} else if (number * factor < setting->min) {
		*why = "too small";
	} else {
		*out = number * factor;
		status = SESSCACHE_OK;
	}
	return status;
}

/* The index of a word of len bytes among those accepted. */
static enum sesscache_status
parse_word(const char *const *words, const char *value, size_t len,
    unsigned *index, const char **why)
{
	enum sesscache_status status = SESSCACHE_EINVAL;
	unsigned i;

	for (i = 0; words[i] != NULL && status != SESSCACHE_OK; i++) {
		if (strlen(words[i]) == len &&
		    memcmp(words[i], value, len) == 0) {
			*index = i;
			status = SESSCACHE_OK;
		}
	}
	if (status != SESSCACHE_OK)
		*why = "not one of the words";
	return status;
}

static enum sesscache_status
set_dir(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	enum sesscache_status status = SESSCACHE_EINVAL;
	size_t len = strlen(value);

	(void)setting;
	/*
	 * open() with O_NOFOLLOW follows a symbolic link whose name ends in a
	 * slash, so that none may reach it.
	 */
	while (len > 1 && value[len - 1] == '/')
		len--;
	if (value[0] != '/') {
		*why = "not an absolute path";
	} else if (len >= sizeof options->dir) {
		*why = "too long";
	} else {
		memcpy(options->dir, value, len);
		options->dir[len] = '\0';
		options->dir_given = true;
		status = SESSCACHE_OK;
	}
	return status;
}

static enum sesscache_status
set_size(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	enum sesscache_status status;

	status = parse_number(setting, byte_units, value, &options->size_bytes,
	    why);
	if (status == SESSCACHE_OK)
		options->size_given = true;
	return status;
}

static enum sesscache_status
set_timeout(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	uint64_t seconds = options->timeout_seconds;
	enum sesscache_status status;

	status = parse_number(setting, time_units, value, &seconds, why);
	options->timeout_seconds = (uint32_t)seconds;
	return status;
}

static enum sesscache_status
set_max_session(struct sesscache_options *options,
    const struct setting *setting, const char *value, const char **why)
{
	uint64_t bytes = options->max_session_bytes;
	enum sesscache_status status;

	status = parse_number(setting, byte_units, value, &bytes, why);
	options->max_session_bytes = (uint32_t)bytes;
	return status;
}

static enum sesscache_status
set_shards(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	enum sesscache_status status;
	uint64_t shards = 0;

	status = parse_number(setting, no_units, value, &shards, why);
	if (status == SESSCACHE_OK && (shards & (shards - 1)) != 0) {
		*why = "not a power of two";
		status = SESSCACHE_EINVAL;
	}
	if (status == SESSCACHE_OK)
		options->shards = (uint32_t)shards;
	return status;
}

/*
 * The user and primary group of a name, or of a number if name is NULL.
 * Returns 0, ENOMEM, or ENOENT for all other failures: the sources of users
 * do not agree on how "there is no such user" is said.
 */
static int
find_user(const char *name, uid_t *uid, gid_t *gid)
{
	struct passwd entry, *found = NULL;
	char *buf = NULL, *grown;
	int rc = ERANGE;
	size_t size;

	for (size = ENTRY_BYTES; rc == ERANGE && size <= ENTRY_MAX_BYTES;
	     size *= 2) {
		grown = realloc(buf, size);
		rc = ENOMEM;
		if (grown != NULL) {
			buf = grown;
			rc = name != NULL ?
			    getpwnam_r(name, &entry, buf, size, &found) :
			    getpwuid_r(*uid, &entry, buf, size, &found);
		}
	}
	if (rc != ENOMEM)
		rc = found != NULL ? 0 : ENOENT;
	if (rc == 0) {
		*uid = entry.pw_uid;
		*gid = entry.pw_gid;
	}
	free(buf);
	return rc;
}

/* The same for a group's name. */
static int
find_group(const char *name, gid_t *gid)
{
	struct group entry, *found = NULL;
	char *buf = NULL, *grown;
	int rc = ERANGE;
	size_t size;

	for (size = ENTRY_BYTES; rc == ERANGE && size <= ENTRY_MAX_BYTES;
	     size *= 2) {
		grown = realloc(buf, size);
		rc = ENOMEM;
		if (grown != NULL) {
			buf = grown;
			rc = getgrnam_r(name, &entry, buf, size, &found);
		}
	}
	if (rc != ENOMEM)
		rc = found != NULL ? 0 : ENOENT;
	if (rc == 0)
		*gid = entry.gr_gid;
	free(buf);
	return rc;
}

/* A user's or a group's number; the highest means "none" to the kernel. */
static bool
parse_account(const char *value, uint32_t *number)
{
	const char *end;
	uint64_t n;
	bool ok;

	ok = parse_digits(value, &n, &end) && *end == '\0' && n < UINT32_MAX;
	if (ok)
		*number = (uint32_t)n;
	return ok;
}

/* Returns 0, ENOMEM or ENOENT; *gid is needed unless a group follows. */
static int
parse_user(const char *name, bool group_follows, uid_t *uid, gid_t *gid,
    const char **why)
{
	uint32_t number;
	int rc;

	*why = "no such user";
	rc = find_user(name, uid, gid);
	if (rc == ENOENT && parse_account(name, &number)) {
		*uid = number;
		rc = group_follows ? 0 : find_user(NULL, uid, gid);
		*why = "a number that is no user's needs a group after it";
	}
	return rc;
}

static int
parse_group(const char *name, gid_t *gid, const char **why)
{
	uint32_t number;
	int rc;

	*why = "no such group";
	rc = find_group(name, gid);
	if (rc == ENOENT && parse_account(name, &number)) {
		*gid = number;
		rc = 0;
	}
	return rc;
}

static enum sesscache_status
set_owner(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	enum sesscache_status status = SESSCACHE_EINVAL;
	const char *colon = strchr(value, ':');
	size_t len = strcspn(value, ":");
	char user[NAME_BYTES] = "";
	uid_t uid = 0;
	gid_t gid = 0;
	int rc = ENOENT;

	(void)setting;
	*why = "no such user";
	if (len > 0 && len < sizeof user) {
		memcpy(user, value, len);
		rc = parse_user(user, colon != NULL, &uid, &gid, why);
	}
	if (rc == 0 && colon != NULL)
		rc = parse_group(colon + 1, &gid, why);
	if (rc == 0) {
		options->owner_uid = uid;
		options->owner_gid = gid;
		options->owner_given = true;
		status = SESSCACHE_OK;
	} else if (rc == ENOMEM) {
		status = SESSCACHE_ENOMEM;
	}
	return status;
}

static enum sesscache_status
set_tickets(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	unsigned word = (unsigned)options->tickets;
	enum sesscache_status status;

	(void)setting;
	status = parse_word(tickets_words, value, strlen(value), &word, why);
	options->tickets = (enum sc_tickets)word;
	return status;
}

static enum sesscache_status
set_ticket_key_lifetime(struct sesscache_options *options,
    const struct setting *setting, const char *value, const char **why)
{
	uint64_t seconds = options->ticket_key_lifetime_seconds;
	enum sesscache_status status;

	status = parse_number(setting, time_units, value, &seconds, why);
	options->ticket_key_lifetime_seconds = (uint32_t)seconds;
	return status;
}

static enum sesscache_status
set_single_use(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	unsigned word = (unsigned)options->single_use;
	enum sesscache_status status;

	(void)setting;
	status = parse_word(single_use_words, value, strlen(value), &word, why);
	options->single_use = (enum sc_single_use)word;
	return status;
}

static enum sesscache_status
set_log(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	size_t len = strcspn(value, ",");
	bool to_syslog = strcmp(value + len, ",syslog") == 0;
	enum sesscache_status status = SESSCACHE_EINVAL;
	unsigned word = 0;

	(void)setting;
	if (value[len] == ',' && !to_syslog)
		*why = "only \",syslog\" may follow";
	else
		status = parse_word(log_words, value, len, &word, why);
	if (status == SESSCACHE_OK) {
		options->log = (enum sc_log)word;
		options->log_syslog = to_syslog;
	}
	return status;
}

static enum sesscache_status
parse_switch(const char *value, bool *out, const char **why)
{
	enum sesscache_status status;
	unsigned word = *out ? 1 : 0;

	status = parse_word(switch_words, value, strlen(value), &word, why);
	*out = word == 1;
	return status;
}

static enum sesscache_status
set_enable(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	(void)setting;
	return parse_switch(value, &options->enable, why);
}

static enum sesscache_status
set_create(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	(void)setting;
	return parse_switch(value, &options->create, why);
}

/* The default is a word, as in every row: so none is no realm's name. */
static enum sesscache_status
set_realm(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char **why)
{
	enum sesscache_status status = SESSCACHE_EINVAL;
	size_t len = strcmp(value, "none") == 0 ? 0 : strlen(value);

	(void)setting;
	if (len >= sizeof options->realm) {
		*why = "too long";
	} else {
		memcpy(options->realm, value, len);
		options->realm[len] = '\0';
		status = SESSCACHE_OK;
	}
	return status;
}

/* Text from outside as a message may repeat it: printable, and not long. */
static const char *
quote(char out[QUOTED_BYTES], const char *text)
{
	size_t i;

	for (i = 0; i < QUOTED_BYTES - 1 && text[i] != '\0'; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
	if (text[i] != '\0')
		memcpy(out + QUOTED_BYTES - 4, "...", 3);
	return out;
}

/* One setting; variable is NULL or where in the environment the value is. */
static enum sesscache_status
apply(struct sesscache_options *options, const struct setting *setting,
    const char *value, const char *variable)
{
	enum sesscache_status status = SESSCACHE_EINVAL;
	char quoted[QUOTED_BYTES];
	const char *why = "empty";

	if (*value != '\0' || setting->may_empty)
		status = setting->set(options, setting, value, &why);
	if (status == SESSCACHE_ENOMEM) {
		status = sc_fail(status, "setting %s: out of memory",
		    setting->text.name);
	} else if (status != SESSCACHE_OK) {
		status = sc_fail(status,
		    "setting %s%s%s%s: \"%s\" is not accepted (%s); it takes "
		    "%s",
		    setting->text.name, variable != NULL ? " (" : "",
		    variable != NULL ? variable : "",
		    variable != NULL ? " in the environment)" : "",
		    quote(quoted, value), why, setting->text.values);
	}
	return status;
}

static enum sesscache_status
set_defaults(struct sesscache_options *options)
{
	enum sesscache_status status = SESSCACHE_OK;
	size_t i;

	for (i = 0; i < N_SETTINGS && status == SESSCACHE_OK; i++) {
		if (!settings[i].computed)
			status = apply(options, &settings[i],
			    settings[i].text.default_value, NULL);
	}
	options->size_given = false;
	(void)snprintf(options->dir, sizeof options->dir,
	    "/dev/shm/sesscache-%ju", (uintmax_t)geteuid());
	return status;
}

static enum sesscache_status
set_from_environment(struct sesscache_options *options)
{
	enum sesscache_status status = SESSCACHE_OK;
	const char *variable, *value;
	size_t i;

	for (i = 0; i < N_SETTINGS && status == SESSCACHE_OK; i++) {
		variable = settings[i].text.variable;
		value = secure_getenv(variable);
		if (value != NULL)
			status = apply(options, &settings[i], value, variable);
	}
	return status;
}

static bool
is_variable(const char *name, size_t len)
{
	bool found = false;
	size_t i;

	for (i = 0; i < N_SETTINGS && !found; i++)
		found = strlen(settings[i].text.variable) == len &&
		    memcmp(settings[i].text.variable, name, len) == 0;
	return found;
}

/* A misspelt variable would otherwise be a setting that silently is not. */
static void
warn_of_unknown_variables(const struct sesscache_options *options)
{
	char quoted[QUOTED_BYTES];
	char **variable = environ;
	size_t len;

	if (getauxval(AT_SECURE) != 0)
		variable = NULL;
	for (; variable != NULL && *variable != NULL; variable++) {
		len = strcspn(*variable, "=");
		if (strncmp(*variable, PREFIX, strlen(PREFIX)) != 0 ||
		    is_variable(*variable, len))
			continue;
		(void)quote(quoted, *variable);
		quoted[strcspn(quoted, "=")] = '\0'; /* never the value */
		sc_log(options, SC_LOG_WARN,
		    "%s in the environment is no setting", quoted);
	}
}

enum sesscache_status
sesscache_options_new(struct sesscache_options **out)
{
	struct sesscache_options *options = NULL;
	enum sesscache_status status;

	if (out == NULL) {
		status = sc_fail(SESSCACHE_EINVAL, "options_new: out is NULL");
		goto out;
	}
	*out = NULL;
	options = calloc(1, sizeof *options);
	if (options == NULL) {
		status = sc_fail(SESSCACHE_ENOMEM,
		    "out of memory for the settings");
		goto out;
	}
	status = set_defaults(options);
	if (status == SESSCACHE_OK)
		status = set_from_environment(options);
	if (status != SESSCACHE_OK)
		goto out;
	warn_of_unknown_variables(options);
	*out = options;
	options = NULL;
out:
	sesscache_options_free(options);
	return status;
}

/* Name every setting, for who misspelt one. */
static enum sesscache_status
fail_unknown(const char *name)
{
	char quoted[QUOTED_BYTES];
	char names[256] = "";
	size_t i, len = 0;
	int n = 0;

	for (i = 0; i < N_SETTINGS && n >= 0 && len < sizeof names; i++) {
		n = snprintf(names + len, sizeof names - len, "%s%s",
		    i == 0 ? "" : ", ", settings[i].text.name);
		len += (size_t)n;
	}
	return sc_fail(SESSCACHE_EINVAL,
	    "there is no setting \"%s\"; the settings are %s",
	    quote(quoted, name), names);
}

enum sesscache_status
sesscache_options_set(struct sesscache_options *options, const char *name,
    const char *value)
{
	const struct setting *setting = NULL;
	enum sesscache_status status;
	size_t i;

	if (options == NULL || name == NULL || value == NULL) {
		status = sc_fail(SESSCACHE_EINVAL, "options_set: %s is NULL",
		    options == NULL  ? "options" :
			name == NULL ? "name" :
				       "value");
		goto out;
	}
	for (i = 0; i < N_SETTINGS && setting == NULL; i++) {
		if (strcmp(settings[i].text.name, name) == 0)
			setting = &settings[i];
	}
	status = setting != NULL ? apply(options, setting, value, NULL) :
				   fail_unknown(name);
out:
	return status;
}

void
sesscache_options_free(struct sesscache_options *options)
{
	free(options);
}

const struct sesscache_setting *
sesscache_setting(size_t index)
{
	return index < N_SETTINGS ? &settings[index].text : NULL;
}
