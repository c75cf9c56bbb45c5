/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public interface but for TLS: what each bad argument answers, several
 * handles, sizes, restarts, owners, and looking into the cache.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sesscache.h"
#include "support.h"

enum {
	DATA = 200, /* bytes of a usual record */
	NOBODY = 65534,
	TTL = 300,
};

static struct sesscache *cache;
static uint8_t got[30 * 1024];

/* --- handles ------------------------------------------------------------- */

/* What is set of the settings; NULL: nothing. */
struct settings {
	const char *name[4];
	const char *value[4];
};

static struct sesscache_options *
new_options(const struct settings *settings)
{
	struct sesscache_options *options = NULL;
	int i;

	ck_done(sesscache_options_new(&options));
	ck_done(sesscache_options_set(options, "log", "off"));
	ck_done(sesscache_options_set(options, "dir", test_dir("cache")));
	for (i = 0; i < 4 && settings->name[i] != NULL; i++)
		ck_done(sesscache_options_set(options, settings->name[i],
		    settings->value[i]));
	return options;
}

static enum sesscache_status
open_with(struct sesscache **out, const struct settings *settings)
{
	struct sesscache_options *options = new_options(settings);
	enum sesscache_status status = sesscache_open(out, options);

	ck_assert_int_eq(status == SESSCACHE_OK, *out != NULL);
	sesscache_options_free(options);
	return status;
}

static struct sesscache *
open_size(const char *size)
{
	const struct settings settings = { { "size" }, { size } };
	struct sesscache *opened = NULL;

	ck_done(open_with(&opened, &settings));
	return opened;
}

static void
clear_environment(void)
{
	const struct sesscache_setting *setting;
	size_t i;

	for (i = 0; (setting = sesscache_setting(i)) != NULL; i++)
		ck_assert_int_eq(unsetenv(setting->variable), 0);
}

static void
setup(void)
{
	clear_environment();
	test_dir_make();
	cache = open_size("4M");
}

static void
teardown(void)
{
	sesscache_close(cache);
	cache = NULL;
	test_dir_remove();
}

/* --- numbered records ---------------------------------------------------- */

struct id {
	uint8_t bytes[SESSCACHE_ID_LEN];
};

/* As others make them, or as the cache makes them. */
static struct id
id_of(unsigned number)
{
	struct id id = { { 0 } };

	test_fill(id.bytes, sizeof(id.bytes), number);
	return id;
}

static struct id
new_id(void)
{
	struct id id = { { 0 } };

	ck_done(sesscache_new_id(cache, id.bytes));
	return id;
}

static enum sesscache_status
put(struct sesscache *to, const struct id *id, unsigned number)
{
	uint8_t data[DATA];

	test_fill(data, sizeof(data), number);
	return sesscache_put(to, id->bytes, sizeof(id->bytes), data,
	    sizeof(data), TTL);
}

static bool
has(struct sesscache *in, const struct id *id, unsigned number)
{
	uint8_t data[DATA];
	size_t len = 0;

	test_fill(data, sizeof(data), number);
	return sesscache_get(in, id->bytes, sizeof(id->bytes), got, sizeof(got),
		   &len) == SESSCACHE_OK &&
	    len == sizeof(data) && memcmp(got, data, len) == 0;
}

/* How many of the newest are there without a gap. */
static unsigned
newest_there(struct sesscache *in, const struct id *ids, unsigned n)
{
	unsigned there = 0;

	while (there < n && has(in, &ids[n - 1 - there], n - 1 - there))
		there++;
	return there;
}

static void
store_ids(struct id *ids, unsigned from, unsigned to)
{
	unsigned i;

	for (i = from; i < to; i++) {
		ids[i] = i % 5 == 0 ? id_of(i) : new_id();
		ck_done(put(cache, &ids[i], i));
	}
}

/* --- bad arguments ------------------------------------------------------- */

static int
visit_never(const struct sesscache_info *info, void *arg)
{
	(void)info, (void)arg;
	return 0;
}

static const uint8_t an_id[65] = { 1, 2, 3 };
static const uint8_t some_data[31 * 1024];
static size_t a_length;

static enum sesscache_status
open_nowhere(void)
{
	return sesscache_open(NULL, NULL);
}

static enum sesscache_status
options_nowhere(void)
{
	return sesscache_options_new(NULL);
}

static enum sesscache_status
set_of_null(void)
{
	return sesscache_options_set(NULL, "size", "1M");
}

static enum sesscache_status
new_id_of_null(void)
{
	uint8_t id[SESSCACHE_ID_LEN];

	return sesscache_new_id(NULL, id);
}

static enum sesscache_status
new_id_nowhere(void)
{
	return sesscache_new_id(cache, NULL);
}

static enum sesscache_status
put_to_null(void)
{
	return sesscache_put(NULL, an_id, 32, some_data, 1, 0);
}

static enum sesscache_status
put_without_id(void)
{
	return sesscache_put(cache, NULL, 32, some_data, 1, 0);
}

static enum sesscache_status
put_id_of_0(void)
{
	return sesscache_put(cache, an_id, 0, some_data, 1, 0);
}

static enum sesscache_status
put_id_of_65(void)
{
	return sesscache_put(cache, an_id, 65, some_data, 1, 0);
}

static enum sesscache_status
put_without_data(void)
{
	return sesscache_put(cache, an_id, 32, NULL, 1, 0);
}

static enum sesscache_status
put_too_long(void)
{
	return sesscache_put(cache, an_id, 32, some_data, 16 * 1024 + 1, 0);
}

static enum sesscache_status
put_endless(void)
{
	return sesscache_put(cache, an_id, 32, some_data, SIZE_MAX, 0);
}

static enum sesscache_status
add_to_null(void)
{
	return sesscache_add(NULL, an_id, 32, some_data, 1, 0);
}

static enum sesscache_status
add_id_of_0(void)
{
	return sesscache_add(cache, an_id, 0, some_data, 1, 0);
}

static enum sesscache_status
add_without_data(void)
{
	return sesscache_add(cache, an_id, 32, NULL, 1, 0);
}

static enum sesscache_status
add_too_long(void)
{
	return sesscache_add(cache, an_id, 32, some_data, 16 * 1024 + 1, 0);
}

static enum sesscache_status
get_from_null(void)
{
	return sesscache_get(NULL, an_id, 32, got, 1, &a_length);
}

static enum sesscache_status
get_without_id(void)
{
	return sesscache_get(cache, NULL, 32, got, 1, &a_length);
}

static enum sesscache_status
get_id_of_0(void)
{
	return sesscache_get(cache, an_id, 0, got, 1, &a_length);
}

static enum sesscache_status
get_id_of_65(void)
{
	return sesscache_get(cache, an_id, 65, got, 1, &a_length);
}

static enum sesscache_status
get_nowhere(void)
{
	return sesscache_get(cache, an_id, 32, NULL, 1, &a_length);
}

static enum sesscache_status
get_without_length(void)
{
	return sesscache_get(cache, an_id, 32, got, 1, NULL);
}

static enum sesscache_status
take_from_null(void)
{
	return sesscache_take(NULL, an_id, 32, got, 1, &a_length);
}

static enum sesscache_status
take_id_of_65(void)
{
	return sesscache_take(cache, an_id, 65, got, 1, &a_length);
}

static enum sesscache_status
take_nowhere(void)
{
	return sesscache_take(cache, an_id, 32, NULL, 1, &a_length);
}

static enum sesscache_status
take_without_length(void)
{
	return sesscache_take(cache, an_id, 32, got, 1, NULL);
}

static enum sesscache_status
remove_from_null(void)
{
	return sesscache_remove(NULL, an_id, 32);
}

static enum sesscache_status
remove_without_id(void)
{
	return sesscache_remove(cache, NULL, 32);
}

static enum sesscache_status
remove_id_of_0(void)
{
	return sesscache_remove(cache, an_id, 0);
}

static enum sesscache_status
each_of_null(void)
{
	return sesscache_each(NULL, visit_never, NULL);
}

static enum sesscache_status
each_without_visit(void)
{
	return sesscache_each(cache, NULL, NULL);
}

static enum sesscache_status
purge_null(void)
{
	return sesscache_purge(NULL, NULL, NULL);
}

static enum sesscache_status
stats_of_null(void)
{
	struct sesscache_stats stats;

	return sesscache_stats(NULL, &stats);
}

static enum sesscache_status
stats_nowhere(void)
{
	return sesscache_stats(cache, NULL);
}

static enum sesscache_status
attach_null(void)
{
	return sesscache_attach(NULL, NULL);
}

static enum sesscache_status
attach_nothing(void)
{
	return sesscache_attach(cache, NULL);
}

static const struct {
	const char *name;
	enum sesscache_status (*call)(void);
	enum sesscache_status want;
	const char *says;
} argument_cases[] = {
	{ "open nowhere", open_nowhere, SESSCACHE_EINVAL, "out" },
	{ "options nowhere", options_nowhere, SESSCACHE_EINVAL, "out" },
	{ "options of NULL", set_of_null, SESSCACHE_EINVAL, "options" },
	{ "new_id of NULL", new_id_of_null, SESSCACHE_EINVAL, "cache" },
	{ "new_id nowhere", new_id_nowhere, SESSCACHE_EINVAL, "id" },
	{ "put to NULL", put_to_null, SESSCACHE_EINVAL, "cache" },
	{ "put without ID", put_without_id, SESSCACHE_EINVAL, "ID" },
	{ "put, ID of 0", put_id_of_0, SESSCACHE_EINVAL, "not 0" },
	{ "put, ID of 65", put_id_of_65, SESSCACHE_EINVAL, "not 65" },
	{ "put without data", put_without_data, SESSCACHE_EINVAL, "data" },
	{ "put, too long", put_too_long, SESSCACHE_ETOOBIG, "max-session" },
	{ "put, endless", put_endless, SESSCACHE_ETOOBIG, "max-session" },
	{ "add to NULL", add_to_null, SESSCACHE_EINVAL, "cache" },
	{ "add, ID of 0", add_id_of_0, SESSCACHE_EINVAL, "not 0" },
	{ "add without data", add_without_data, SESSCACHE_EINVAL, "data" },
	{ "add, too long", add_too_long, SESSCACHE_ETOOBIG, "max-session" },
	{ "get from NULL", get_from_null, SESSCACHE_EINVAL, "cache" },
	{ "get without ID", get_without_id, SESSCACHE_EINVAL, "ID" },
	{ "get, ID of 0", get_id_of_0, SESSCACHE_EINVAL, "not 0" },
	{ "get, ID of 65", get_id_of_65, SESSCACHE_EINVAL, "not 65" },
	{ "get nowhere", get_nowhere, SESSCACHE_EINVAL, "buf" },
	{ "get without length", get_without_length, SESSCACHE_EINVAL, "len" },
	{ "take from NULL", take_from_null, SESSCACHE_EINVAL, "cache" },
	{ "take, ID of 65", take_id_of_65, SESSCACHE_EINVAL, "not 65" },
	{ "take nowhere", take_nowhere, SESSCACHE_EINVAL, "buf" },
	{ "take without length", take_without_length, SESSCACHE_EINVAL, "len" },
	{ "remove from NULL", remove_from_null, SESSCACHE_EINVAL, "cache" },
	{ "remove without ID", remove_without_id, SESSCACHE_EINVAL, "ID" },
	{ "remove, ID of 0", remove_id_of_0, SESSCACHE_EINVAL, "not 0" },
	{ "each of NULL", each_of_null, SESSCACHE_EINVAL, "cache" },
	{ "each without visit", each_without_visit, SESSCACHE_EINVAL, "visit" },
	{ "purge NULL", purge_null, SESSCACHE_EINVAL, "cache" },
	{ "stats of NULL", stats_of_null, SESSCACHE_EINVAL, "cache" },
	{ "stats nowhere", stats_nowhere, SESSCACHE_EINVAL, "out" },
	{ "attach NULL", attach_null, SESSCACHE_EINVAL, "cache" },
	{ "attach nothing", attach_nothing, SESSCACHE_EINVAL, "SSL_CTX" },
};

START_TEST(bad_argument_has_its_status_and_is_named)
{
	const char *name = argument_cases[_i].name;
	enum sesscache_status status = argument_cases[_i].call();

	ck_assert_msg(status == argument_cases[_i].want, "%s: %d (%s)", name,
	    status, sesscache_detail());
	ck_assert_msg(strstr(sesscache_detail(), argument_cases[_i].says) !=
		NULL,
	    "%s: \"%s\"", name, sesscache_detail());
	ck_assert_str_ne(sesscache_strerror(status), "");
}
END_TEST

START_TEST(release_functions_accept_null)
{
	sesscache_close(NULL);
	sesscache_options_free(NULL);
}
END_TEST

START_TEST(each_status_has_a_name_of_its_own)
{
	int i, j;

	for (i = SESSCACHE_EBUSY; i <= SESSCACHE_EXISTS; i++) {
		for (j = SESSCACHE_EBUSY; j < i; j++)
			ck_assert_str_ne(sesscache_strerror(
					     (enum sesscache_status)i),
			    sesscache_strerror((enum sesscache_status)j));
	}
	ck_assert_ptr_nonnull(sesscache_strerror((enum sesscache_status)99));
	ck_assert_str_ne(sesscache_version(), "");
}
END_TEST

START_TEST(session_that_is_too_long_is_counted)
{
	struct sesscache_stats stats;

	ck_status(put_too_long(), SESSCACHE_ETOOBIG);
	ck_done(sesscache_stats(cache, &stats));
	ck_assert_uint_eq(stats.too_big, 1);
	ck_assert_uint_eq(stats.records, 0);
	ck_done(sesscache_put(cache, an_id, 32, some_data, 16 * 1024, 0));
}
END_TEST

/* --- opening ------------------------------------------------------------- */

static void
make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(close(fd), 0);
}

static void
make_link(const char *path)
{
	ck_assert_int_eq(symlink(test_dir("cache"), path), 0);
}

static void
make_open_dir(const char *path)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(chmod(path, 0777), 0);
}

static void
make_nothing(const char *path)
{
	(void)path;
}

static const struct {
	const char *name;
	void (*make)(const char *path);
	const char *below; /* within it */
	struct settings settings;
	enum sesscache_status want;
	const char *says;
} open_cases[] = {
	{ "a file", make_file, "", { { NULL }, { NULL } }, SESSCACHE_EUNSAFE,
	    "it is a file, not a directory" },
	{ "a link", make_link, "", { { NULL }, { NULL } }, SESSCACHE_EUNSAFE,
	    "it is a symbolic link" },
	{ "for all", make_open_dir, "", { { NULL }, { NULL } },
	    SESSCACHE_EUNSAFE, "mode 0777" },
	{ "below nothing", make_nothing, "/below", { { NULL }, { NULL } },
	    SESSCACHE_ESYS, "it/below" },
	{ "too small for its shards", make_nothing, "",
	    { { "size", "shards" }, { "1M", "64" } }, SESSCACHE_EINVAL,
	    "size 1048576" },
	{ "none, and create is off", make_nothing, "",
	    { { "create" }, { "off" } }, SESSCACHE_MISS, "it" },
};

START_TEST(directory_that_will_not_do_is_named)
{
	struct settings settings = open_cases[_i].settings;
	struct sesscache *opened = cache;
	char path[TEST_PATH + 16];
	int i;

	open_cases[_i].make(test_dir("it"));
	(void)snprintf(path, sizeof(path), "%s%s", test_dir("it"),
	    open_cases[_i].below);
	for (i = 0; settings.name[i] != NULL; i++)
		continue;
	settings.name[i] = "dir";
	settings.value[i] = path;
	ck_assert_msg(open_with(&opened, &settings) == open_cases[_i].want &&
		strstr(sesscache_detail(), open_cases[_i].says) != NULL,
	    "%s: %s", open_cases[_i].name, sesscache_detail());
	ck_assert_ptr_null(opened);
}
END_TEST

START_TEST(environment_opens_the_cache)
{
	const struct id id = new_id();
	struct sesscache *opened = NULL;

	ck_done(put(cache, &id, 1));
	ck_assert_int_eq(setenv("SESSCACHE_DIR", test_dir("cache"), 1), 0);
	ck_assert_int_eq(setenv("SESSCACHE_LOG", "off", 1), 0);
	ck_done(sesscache_open(&opened, NULL));
	ck_assert(has(opened, &id, 1));
	sesscache_close(opened);
	ck_assert_int_eq(setenv("SESSCACHE_SIZE", "64X", 1), 0);
	ck_status(sesscache_open(&opened, NULL), SESSCACHE_EINVAL);
	ck_assert_ptr_null(opened);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "SIZE"));
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "64X"));
	clear_environment();
}
END_TEST

/* Lines of this process's map of memory that name a path. */
static unsigned
count_maps(const char *path)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	unsigned n = 0;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
		n += strstr(line, path) != NULL;
	ck_assert_int_eq(fclose(maps), 0);
	return n;
}

static unsigned
count_descriptors(void)
{
	DIR *stream = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(stream);
	while (readdir(stream) != NULL)
		n++;
	(void)closedir(stream);
	return n;
}

START_TEST(handles_on_one_directory_share_its_maps)
{
	unsigned maps = count_maps(test_dir("cache"));
	unsigned descriptors = count_descriptors();
	struct sesscache *others[5] = { NULL };
	const struct id id = new_id();
	int i;

	ck_assert_uint_gt(maps, 0);
	for (i = 0; i < 5; i++) {
		others[i] = open_size("4M");
		ck_assert_uint_eq(count_maps(test_dir("cache")), maps);
		ck_assert_uint_eq(count_descriptors(), descriptors);
	}
	ck_done(put(others[4], &id, 1));
	sesscache_close(cache);
	for (i = 0; i < 5; i++) {
		ck_assert(has(others[i], &id, 1));
		sesscache_close(others[i]);
	}
	cache = NULL;
	ck_assert_uint_eq(count_maps(test_dir("cache")), 0);
}
END_TEST

START_TEST(failed_opens_leave_no_descriptors)
{
	const struct settings settings = { { "size", "shards" },
		{ "1M", "64" } };
	unsigned descriptors;
	struct sesscache *opened = NULL;
	int i;

	sesscache_close(cache);
	cache = NULL;
	descriptors = count_descriptors();
	test_remove_tree(test_dir("cache"));
	for (i = 0; i < 5; i++)
		ck_status(open_with(&opened, &settings), SESSCACHE_EINVAL);
	make_open_dir(test_dir("it"));
	for (i = 0; i < 5; i++) {
		const struct settings unsafe = { { "dir" },
			{ test_dir("it") } };

		ck_status(open_with(&opened, &unsafe), SESSCACHE_EUNSAFE);
	}
	ck_assert_uint_eq(count_descriptors(), descriptors);
}
END_TEST

START_TEST(without_create_a_cache_is_used_but_not_changed)
{
	const struct settings settings = { { "create", "size" },
		{ "off", "8M" } };
	const struct id id = new_id();
	struct sesscache *opened = NULL;
	struct sesscache_stats stats;

	ck_done(put(cache, &id, 1));
	sesscache_close(cache);
	cache = NULL;
	ck_done(open_with(&opened, &settings));
	ck_assert(has(opened, &id, 1));
	ck_done(sesscache_stats(opened, &stats));
	ck_assert_uint_eq(stats.size_bytes, 4 << 20);
	sesscache_close(opened);
}
END_TEST

/* A process of its own opens the cache, uses it, and ends. */
struct restart {
	struct id *ids; /* in memory that children share */
	unsigned from, to;
};

static int
store_and_end(void *arg)
{
	const struct restart *restart = arg;

	sesscache_close(cache);
	cache = open_size("4M");
	store_ids(restart->ids, restart->from, restart->to);
	if (newest_there(cache, restart->ids, restart->to) != restart->to)
		return 1;
	sesscache_close(cache);
	return 0;
}

START_TEST(everything_is_there_after_all_processes_have_ended)
{
	enum { N = 600 };
	struct restart restart = { NULL, 0, 0 };
	struct sesscache_stats stats;

	restart.ids = mmap(NULL, N * sizeof(*restart.ids),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(restart.ids, MAP_FAILED);
	sesscache_close(cache);
	cache = NULL;
	while (restart.to < N) {
		restart.from = restart.to;
		restart.to += N / 3;
		ck_assert_int_eq(test_wait(test_fork(store_and_end, &restart)),
		    0);
	}
	cache = open_size("4M");
	ck_assert_uint_eq(newest_there(cache, restart.ids, N), N);
	ck_done(sesscache_stats(cache, &stats));
	ck_assert_uint_eq(stats.records, N);
	ck_assert_uint_eq(stats.stored, N);
	ck_assert_int_eq(munmap(restart.ids, N * sizeof(*restart.ids)), 0);
}
END_TEST

/* --- sizes --------------------------------------------------------------- */

START_TEST(resize_in_both_directions_keeps_the_newest)
{
	enum { N = 30000 };
	unsigned n = test_times(N, 6000), fit, there;
	struct id *ids = calloc(N, sizeof(*ids));
	struct sesscache *other;

	ck_assert_ptr_nonnull(ids);
	store_ids(ids, 0, n);
	fit = newest_there(cache, ids, n);
	ck_assert_uint_gt(fit, 4000);
	other = open_size("16M");
	ck_assert_msg(newest_there(cache, ids, n) >= fit,
	    "growing lost some of %u", fit);
	ck_assert_uint_le(test_measure(test_dir("cache")).bytes, 16 << 20);
	sesscache_close(other);
	other = open_size("2M");
	there = newest_there(cache, ids, n);
	ck_assert_msg(there > fit / 4, "%u are left of %u", there, fit);
	ck_assert_uint_le(test_measure(test_dir("cache")).bytes, 2 << 20);
	ck_assert_uint_le(test_measure(test_dir("cache")).disk_bytes, 2 << 20);
	ck_done(put(cache, &ids[0], 0));
	ck_assert(has(other, &ids[0], 0));
	sesscache_close(other);
	free(ids);
}
END_TEST

struct asking {
	int go[2];
	int done[2];
	struct id *ids;
	unsigned n;
};

static bool
send_byte(const int ends[2])
{
	return write(ends[1], "x", 1) == 1;
}

static bool
wait_byte(const int ends[2])
{
	char c;

	return read(ends[0], &c, 1) == 1;
}

/* Has it open and mapped, and works with it after each resize. */
static int
work_meanwhile(void *arg)
{
	struct asking *asking = arg;
	struct id id;
	int round;

	for (round = 0; wait_byte(asking->go); round++) {
		if (newest_there(cache, asking->ids, asking->n) < 300)
			return 1;
		id = new_id();
		if (put(cache, &id, 7) != SESSCACHE_OK || !has(cache, &id, 7))
			return 2;
		if (!send_byte(asking->done))
			return 3;
	}
	return round == 5 ? 0 : 4;
}

START_TEST(processes_that_have_it_open_go_on_after_a_resize)
{
	static const char *const sizes[] = { "16M", "3M", "4M", "2M", "8M" };
	struct asking asking = { .n = 1000 };
	struct sesscache *other;
	int i;
	pid_t child;

	asking.ids = calloc(asking.n, sizeof(*asking.ids));
	ck_assert_ptr_nonnull(asking.ids);
	store_ids(asking.ids, 0, asking.n);
	ck_assert_int_eq(pipe(asking.go), 0);
	ck_assert_int_eq(pipe(asking.done), 0);
	(void)fcntl(asking.go[1], F_SETFD, FD_CLOEXEC);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		(void)close(asking.go[1]);
		_exit(work_meanwhile(&asking));
	}
	for (i = 0; i < N_OF(sizes); i++) {
		other = open_size(sizes[i]);
		sesscache_close(other);
		ck_assert(send_byte(asking.go));
		ck_assert_msg(wait_byte(asking.done), "after %s", sizes[i]);
		ck_assert_msg(newest_there(cache, asking.ids, asking.n) >= 300,
		    "after %s", sizes[i]);
	}
	(void)close(asking.go[1]);
	ck_assert_int_eq(test_wait(child), 0);
	(void)close(asking.go[0]);
	(void)close(asking.done[0]), (void)close(asking.done[1]);
	free(asking.ids);
}
END_TEST

static int
resize_often(void *arg)
{
	const char *const *sizes = arg;
	struct sesscache *other;
	unsigned i, n = test_times(20, 3);

	for (i = 0; i < n; i++) {
		other = open_size(sizes[i % 2]);
		sesscache_close(other);
	}
	return 0;
}

START_TEST(processes_with_different_sizes_do_not_hurt_each_other)
{
	static const char *sizes[2][2] = { { "4M", "6M" }, { "5M", "3M" } };
	struct id ids[200];
	struct sesscache_stats stats;
	enum sesscache_status status;
	pid_t children[2];
	unsigned i, tries;

	for (i = 0; i < 2; i++)
		children[i] = test_fork(resize_often, (void *)sizes[i]);
	for (i = 0; i < 200; i++) {
		ids[i] = id_of(i);
		status = SESSCACHE_EBUSY; /* a resize may be under way */
		for (tries = 0; tries < 20000 && status == SESSCACHE_EBUSY;
		     tries++) {
			status = put(cache, &ids[i], i);
			if (status == SESSCACHE_EBUSY)
				usleep(1000); /* let it have the CPU */
		}
		ck_done(status);
	}
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(test_wait(children[i]), 0);
	for (i = 0; i < 200; i++)
		ck_assert_msg(has(cache, &ids[i], i), "%u", i);
	ck_done(sesscache_stats(cache, &stats));
	ck_assert_uint_le(test_measure(test_dir("cache")).bytes,
	    stats.size_bytes);
}
END_TEST

START_TEST(size_that_was_not_given_resizes_nothing)
{
	const struct settings none = { { NULL }, { NULL } };
	struct sesscache *other = NULL;
	struct sesscache_stats stats;

	ck_done(open_with(&other, &none));
	ck_done(sesscache_stats(other, &stats));
	ck_assert_uint_eq(stats.size_bytes, 4 << 20);
	sesscache_close(other);
}
END_TEST

/* --- owners -------------------------------------------------------------- */

static int
open_as_nobody(void *arg)
{
	const struct settings none = { { NULL }, { NULL } };
	struct id id = id_of(1);
	bool may = arg != NULL;
	enum sesscache_status status;

	sesscache_close(cache);
	cache = NULL;
	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		return 1;
	status = open_with(&cache, &none);
	if (!may)
		return status == SESSCACHE_EUNSAFE || status == SESSCACHE_ESYS ?
		    0 :
		    2;
	return status == SESSCACHE_OK && has(cache, &id, 1) &&
		put(cache, &id, 2) == SESSCACHE_OK ?
	    0 :
	    3;
}

START_TEST(owner_may_open_what_root_has_made)
{
	const struct settings owner = { { "owner", "size" },
		{ "65534:65534", "2M" } };
	struct id id = id_of(1);
	struct stat st;

	if (geteuid() != 0)
		return; /* only root may give files away */
	/* The directories above are the test's own. */
	ck_assert_int_eq(chmod(test_dir(""), 0711), 0);
	(void)snprintf((char *)got, sizeof(got), "%s/..", test_dir(""));
	ck_assert_int_eq(chmod((char *)got, 0711), 0);
	ck_assert_int_eq(test_wait(test_fork(open_as_nobody, NULL)), 0);
	sesscache_close(cache);
	test_remove_tree(test_dir("cache"));
	ck_done(open_with(&cache, &owner));
	ck_done(put(cache, &id, 1));
	ck_assert_int_eq(stat(test_dir("cache"), &st), 0);
	ck_assert_uint_eq(st.st_uid, NOBODY);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat(test_dir("cache/control"), &st), 0);
	ck_assert_uint_eq(st.st_uid, NOBODY);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(test_wait(test_fork(open_as_nobody, &st)), 0);
	ck_assert(has(cache, &id, 2));
	/* Root without the setting is told what is wrong. */
	sesscache_close(cache);
	ck_status(open_with(&cache,
		      &(const struct settings){ { NULL }, { NULL } }),
	    SESSCACHE_EUNSAFE);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "owner"));
}
END_TEST

/* --- looking into it ----------------------------------------------------- */

struct seen {
	unsigned n;
	unsigned stop_after;
	unsigned expired;
};

static int
look_at(const struct sesscache_info *info, void *arg)
{
	struct seen *seen = arg;

	seen->n++;
	seen->expired += info->expired;
	ck_assert_uint_eq(info->data_len, DATA);
	ck_assert_uint_eq(info->expires_at - info->created_at, TTL);
	ck_assert_ptr_null(info->problem);
	ck_assert_ptr_null(info->protocol);
	return seen->n == seen->stop_after;
}

START_TEST(each_shows_every_record_until_it_is_told_to_stop)
{
	struct seen seen = { .n = 0 };
	struct id ids[150];

	store_ids(ids, 0, 150);
	ck_done(sesscache_each(cache, look_at, &seen));
	ck_assert_uint_eq(seen.n, 150);
	ck_assert_uint_eq(seen.expired, 0);
	seen = (struct seen){ .stop_after = 3 };
	ck_done(sesscache_each(cache, look_at, &seen));
	ck_assert_uint_eq(seen.n, 3);
}
END_TEST

START_TEST(purge_by_id_takes_one)
{
	struct sesscache_filter filter = { .id_len = SESSCACHE_ID_LEN };
	uint64_t removed = 99;
	struct id ids[20];
	unsigned i;

	store_ids(ids, 0, 20);
	for (i = 0; i < 2; i++) { /* one of others, one of ours */
		filter.id = ids[5 + i].bytes;
		ck_done(sesscache_purge(cache, &filter, &removed));
		ck_assert_uint_eq(removed, 1);
		ck_assert(!has(cache, &ids[5 + i], 5 + i));
		ck_done(sesscache_purge(cache, &filter, &removed));
		ck_assert_uint_eq(removed, 0);
	}
	ck_assert(has(cache, &ids[0], 0));
}
END_TEST

START_TEST(purge_of_everything_leaves_nothing)
{
	struct sesscache_stats stats;
	uint64_t removed = 99;
	struct id ids[300];
	unsigned i;

	store_ids(ids, 0, 300);
	ck_done(sesscache_purge(cache, NULL, &removed));
	ck_assert_uint_eq(removed, 300);
	for (i = 0; i < 300; i++)
		ck_assert(!has(cache, &ids[i], i));
	ck_done(sesscache_stats(cache, &stats));
	ck_assert_uint_eq(stats.records, 0);
	ck_done(sesscache_purge(cache, NULL, NULL));
	ck_done(put(cache, &ids[0], 0));
	ck_assert(has(cache, &ids[0], 0));
}
END_TEST

static const struct {
	const char *name;
	struct sesscache_filter filter;
	struct sesscache_info info;
	bool want;
} filter_cases[] = {
	{ "no condition", { 0 }, { .created_at = 5 }, true },
	{ "expired, is not", { .expired = true }, { .expired = false }, false },
	{ "expired, is", { .expired = true }, { .expired = true }, true },
	{ "older, just as old", { .older_than_seconds = 10 },
	    { .created_at = 90 }, false },
	{ "older, is", { .older_than_seconds = 10 }, { .created_at = 89 },
	    true },
	{ "older, of the future", { .older_than_seconds = 10 },
	    { .created_at = 200 }, false },
	{ "name, has none", { .server_name = "a" }, { .server_name = NULL },
	    false },
	{ "name, of another", { .server_name = "a.b" },
	    { .server_name = "a.c" }, false },
	{ "name, in capitals", { .server_name = "A.b" },
	    { .server_name = "a.B" }, true },
	{ "ID, shorter", { .id = an_id, .id_len = 3 },
	    { .id = an_id, .id_len = 4 }, false },
	{ "ID, another", { .id = an_id + 1, .id_len = 3 },
	    { .id = an_id, .id_len = 3 }, false },
	{ "ID, the same", { .id = an_id, .id_len = 3 },
	    { .id = an_id, .id_len = 3 }, true },
	{ "both, one fails", { .expired = true, .server_name = "a" },
	    { .expired = true, .server_name = "b" }, false },
};

START_TEST(filter_fits_what_fits_all_its_conditions)
{
	ck_assert_msg(sesscache_filter_match(&filter_cases[_i].filter,
			  &filter_cases[_i].info, 100) == filter_cases[_i].want,
	    "%s", filter_cases[_i].name);
	ck_assert(sesscache_filter_match(NULL, &filter_cases[_i].info, 100));
}
END_TEST

static int
look_at_lifetime(const struct sesscache_info *info, void *arg)
{
	*(uint64_t *)arg = info->expires_at - info->created_at;
	return 0;
}

START_TEST(lifetime_of_0_is_the_timeout_setting)
{
	const struct settings settings = { { "timeout" }, { "77" } };
	struct sesscache *other = NULL;
	const struct id id = new_id();
	uint64_t lifetime = 0;

	ck_done(open_with(&other, &settings));
	ck_done(sesscache_put(other, id.bytes, sizeof(id.bytes), some_data,
	    DATA, 0));
	ck_done(sesscache_each(cache, look_at_lifetime, &lifetime));
	ck_assert_uint_eq(lifetime, 77);
	sesscache_close(other);
}
END_TEST

/* --- all of them --------------------------------------------------------- */

static TCase *
new_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_unchecked_fixture(tc, test_root_make, test_root_remove);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	suite_add_tcase(suite, tc);
	return tc;
}

static void
add_arguments(Suite *suite)
{
	TCase *tc = new_case(suite, "arguments");

	tcase_add_loop_test(tc, bad_argument_has_its_status_and_is_named, 0,
	    N_OF(argument_cases));
	tcase_add_test(tc, release_functions_accept_null);
	tcase_add_test(tc, each_status_has_a_name_of_its_own);
	tcase_add_test(tc, session_that_is_too_long_is_counted);
}

static void
add_opening(Suite *suite)
{
	TCase *tc = new_case(suite, "opening");

	tcase_add_loop_test(tc, directory_that_will_not_do_is_named, 0,
	    N_OF(open_cases));
	tcase_add_test(tc, environment_opens_the_cache);
	tcase_add_test(tc, handles_on_one_directory_share_its_maps);
	tcase_add_test(tc, failed_opens_leave_no_descriptors);
	tcase_add_test(tc, without_create_a_cache_is_used_but_not_changed);
	tcase_add_test(tc, everything_is_there_after_all_processes_have_ended);
	tcase_add_test(tc, resize_in_both_directions_keeps_the_newest);
	tcase_add_test(tc, processes_that_have_it_open_go_on_after_a_resize);
	tcase_add_test(tc,
	    processes_with_different_sizes_do_not_hurt_each_other);
	tcase_add_test(tc, size_that_was_not_given_resizes_nothing);
	tcase_add_test(tc, owner_may_open_what_root_has_made);
}

static void
add_views(Suite *suite)
{
	TCase *tc = new_case(suite, "views");

	tcase_add_test(tc, each_shows_every_record_until_it_is_told_to_stop);
	tcase_add_test(tc, purge_by_id_takes_one);
	tcase_add_test(tc, purge_of_everything_leaves_nothing);
	tcase_add_loop_test(tc, filter_fits_what_fits_all_its_conditions, 0,
	    N_OF(filter_cases));
	tcase_add_test(tc, lifetime_of_0_is_the_timeout_setting);
}

int
main(void)
{
	Suite *suite = suite_create("handle");

	add_arguments(suite);
	add_opening(suite);
	add_views(suite);
	return test_run(suite);
}
