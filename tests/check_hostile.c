/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that somebody or something wrote into: page by page and bit by bit,
 * other files in their place, and files that look right and lie.  Whoever
 * opens such a cache refuses it with a status or goes on, with the sessions
 * of the other shards; nobody dies, hangs, or gets wrong bytes.
 *
 * HOSTILE_ROUNDS=n does the random campaigns n times, HOSTILE_COUNT=1 says
 * what became of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "store/shard.h"
#include "support.h"

#define CONTROL "control"
#define SHARD_0 "shard-00.lmdb-0"
#define SHARD_1 "shard-01.lmdb-0"
#define SIZE "2M"

enum {
	PAGE = 4096,
	MAX_BYTES = 2 << 20, /* SIZE */
	SAMPLES = 160,
	FILL = 6000, /* records: more than fit */
	USE = 200,   /* records: the shards evict again */
	OWN_ID = 20, /* bytes of an ID that leads there by an alias */
	HANG_SECONDS = 30,
	NOISE_WORKERS = 3,
	MOST_DEATHS = 6, /* three for each data file */
};

static char scratch[SCRATCH_LEN], dir[SCRATCH_LEN];

/* --- the victim ------------------------------------------------------------ */

struct image {
	const char *name;
	uint8_t *bytes;
	size_t len;
};

static struct image images[] = { { CONTROL, NULL, 0 }, { SHARD_0, NULL, 0 },
	{ SHARD_1, NULL, 0 } };

/* Shared with the children. */
static struct victim {
	struct record samples[SAMPLES];
	bool in_first[SAMPLES]; /* in the shard that is going to be damaged */
	enum sesscache_status opened;
	unsigned kept_first, kept_others;
} * victim;

static void
make_id(struct sesscache *cache, struct record *record, unsigned n)
{
	if (n % 8 == 0) {
		record->id_len = OWN_ID;
		test_fill(record->id, OWN_ID, n);
	} else {
		record_new_id(cache, record);
	}
	record->version = n;
}

static void
fill_cache(void *arg)
{
	struct sesscache *cache = cache_open(dir, "size", SIZE, "shards", "2",
	    NULL);
	struct record record;
	unsigned i;

	(void)arg;
	for (i = 0; i < FILL; i++) {
		memset(&record, 0, sizeof(record));
		make_id(cache, &record, i);
		MUST(record_put(cache, &record) == SESSCACHE_OK);
		if (i % 3 == 0)
			MUST(record_get(cache, &record) == SESSCACHE_OK);
		if (i >= FILL - SAMPLES)
			victim->samples[i - (FILL - SAMPLES)] = record;
	}
	sesscache_close(cache);
}

static void
load(struct image *image)
{
	char path[SCRATCH_LEN];
	struct stat st;
	int fd;

	path_join(path, dir, image->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && fstat(fd, &st) == 0);
	image->len = (size_t)st.st_size;
	image->bytes = malloc(image->len);
	MUST(image->bytes != NULL);
	MUST(read(fd, image->bytes, image->len) == (ssize_t)image->len);
	MUST(close(fd) == 0);
}

static void
write_file(const char *name, const void *bytes, size_t len)
{
	char path[SCRATCH_LEN];
	int fd;

	path_join(path, dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	MUST(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	MUST(pwrite(fd, bytes, len, 0) == (ssize_t)len);
	MUST(close(fd) == 0);
}

/* The victim as it was, with the files that it had. */
static void
restore(void)
{
	int i;

	for (i = 0; i < N_OF(images); i++)
		write_file(images[i].name, images[i].bytes, images[i].len);
}

static void
restore_anew(void)
{
	scratch_remove(dir);
	MUST(mkdir(dir, 0700) == 0);
	restore();
}

/* --- using it -------------------------------------------------------------- */

/* This child, and not by Check's handler: that would end the test too. */
static void
end_if_it_hangs(void)
{
	(void)signal(SIGALRM, SIG_DFL);
	alarm(HANG_SECONDS);
}

/* What a call that comes upon damage may say. */
static bool
is_answer(enum sesscache_status status)
{
	return status == SESSCACHE_OK || status == SESSCACHE_MISS ||
	    status == SESSCACHE_ECORRUPT || status == SESSCACHE_EBUSY ||
	    status == SESSCACHE_ETOOBIG; /* that is what its head says */
}

static enum sesscache_status
look(struct sesscache *cache, const struct record *record, bool take)
{
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	size_t len = 0;

	status = (take ? sesscache_take : sesscache_get)(cache, record->id,
	    record->id_len, data, sizeof(data), &len);
	MUST(is_answer(status));
	MUST(status != SESSCACHE_OK || record_is(record, data, len));
	return status;
}

static void
count_kept(struct sesscache *cache)
{
	unsigned i, *kept;

	victim->kept_first = victim->kept_others = 0;
	for (i = 0; i < SAMPLES; i++) {
		kept = victim->in_first[i] ? &victim->kept_first :
					     &victim->kept_others;
		*kept += look(cache, &victim->samples[i], false) ==
		    SESSCACHE_OK;
	}
}

static int
count_visit(const struct sesscache_info *info, void *arg)
{
	unsigned *visited = arg;

	MUST(info->id_len <= SESSCACHE_ID_MAX_LEN);
	MUST(++*visited < 100000); /* the scan ends */
	return 0;
}

static void
use_fully(struct sesscache *cache)
{
	struct record record = { .version = 0 };
	struct sesscache_stats stats;
	uint8_t data[RECORD_MAX_LEN];
	unsigned i, visited = 0;

	MUST(is_answer(sesscache_stats(cache, &stats)));
	MUST(is_answer(sesscache_each(cache, count_visit, &visited)));
	for (i = 0; i < USE; i++) {
		make_id(cache, &record, FILL + i);
		MUST(is_answer(sesscache_put(cache, record.id, record.id_len,
		    data, record_bytes(&record, data), 0)));
		(void)look(cache, &record, i % 4 == 0);
	}
	for (i = 0; i < SAMPLES; i++)
		(void)look(cache, &victim->samples[i], true);
	MUST(is_answer(sesscache_purge(cache,
	    &(struct sesscache_filter){ .expired = true }, NULL)));
	MUST(is_answer(sesscache_purge(cache, NULL, NULL)));
}

/* After whatever was found while serving, the next opener has a cache. */
static void
use_again(void)
{
	struct sesscache *cache = cache_open(dir, "size", SIZE, "shards", "2",
	    NULL);
	struct record record = { .version = 1 };
	unsigned i;

	for (i = 0; i < 32; i++) {
		make_id(cache, &record, i);
		MUST(record_put(cache, &record) == SESSCACHE_OK);
		record_must_be(cache, &record);
	}
	sesscache_close(cache);
}

static void
open_and_use(void *arg)
{
	struct sesscache *cache;

	(void)arg;
	end_if_it_hangs();
	victim->opened = cache_try(&cache, dir, "size", SIZE, "shards", "2",
	    NULL);
	if (victim->opened != SESSCACHE_OK)
		return;
	count_kept(cache);
	use_fully(cache);
	sesscache_close(cache);
	use_again();
}

static void
open_and_count(void *arg)
{
	struct sesscache *cache = cache_open(dir, NULL);

	(void)arg;
	count_kept(cache);
	sesscache_close(cache);
}

static void
open_only(void *arg)
{
	struct sesscache *cache;

	(void)arg;
	end_if_it_hangs();
	victim->opened = cache_try(&cache, dir, "create", "off", NULL);
	sesscache_close(cache);
}

/* Which samples are in the first shard: those that go with its file. */
static void
tell_shards_apart(void)
{
	char path[SCRATCH_LEN];
	struct sesscache *cache;
	unsigned i;

	path_join(path, dir, SHARD_0);
	MUST(unlink(path) == 0);
	cache = cache_open(dir, NULL);
	for (i = 0; i < SAMPLES; i++)
		victim->in_first[i] = look(cache, &victim->samples[i], false) ==
		    SESSCACHE_MISS;
	sesscache_close(cache);
}

static void
setup(void)
{
	int i;

	scratch_make(scratch, "hostile");
	path_join(dir, scratch, "cache");
	victim = shared_new(sizeof(*victim));
	MUST(child_does(fill_cache, NULL));
	for (i = 0; i < N_OF(images); i++)
		load(&images[i]);
	tell_shards_apart();
	restore();
	MUST(child_does(open_and_count, NULL));
	MUST(victim->kept_first + victim->kept_others == SAMPLES);
	MUST(victim->kept_first > 0 && victim->kept_others > 0);
}

static void
teardown(void)
{
	int i;

	for (i = 0; i < N_OF(images); i++) {
		free(images[i].bytes);
		images[i].bytes = NULL;
	}
	munmap(victim, sizeof(*victim));
	scratch_remove(scratch);
}

/* --- what became of it ----------------------------------------------------- */

enum outcome { CRASHED, HUNG, WRONG, REFUSED, ANEW, USED, OUTCOMES };

static const char *const outcome_names[] = { "crashed", "hung", "wrong",
	"refused", "made anew", "used" };

struct campaign {
	const char *name;
	unsigned cases, outcomes[OUTCOMES];
};

static enum outcome
outcome_of(int status)
{
	if (status == -1 ||
	    (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM))
		return HUNG;
	if (WIFSIGNALED(status))
		return CRASHED;
	if (WEXITSTATUS(status) != 0)
		return WRONG;
	if (victim->opened != SESSCACHE_OK)
		return REFUSED;
	return victim->kept_first + victim->kept_others == 0 ? ANEW : USED;
}

/* A child opens what is there and uses it. */
static enum outcome
try_it(struct campaign *campaign)
{
	enum outcome outcome;

	victim->opened = SESSCACHE_OK;
	victim->kept_first = victim->kept_others = 0;
	outcome = outcome_of(child_end(child_start(open_and_use, NULL)));
	if (outcome == USED && victim->kept_first == 0)
		outcome = ANEW;
	campaign->cases++;
	campaign->outcomes[outcome]++;
	return outcome;
}

static void
tell(const struct campaign *campaign)
{
	int i;

	if (getenv("HOSTILE_COUNT") == NULL)
		return;
	printf("%-28s %6u cases:", campaign->name, campaign->cases);
	for (i = 0; i < OUTCOMES; i++)
		printf(" %s %u", outcome_names[i], campaign->outcomes[i]);
	printf("\n");
}

/* Assert it, or only count. */
static void
expect_survival(const struct campaign *campaign)
{
	tell(campaign);
	if (getenv("HOSTILE_COUNT") != NULL)
		return;
	ck_assert_msg(campaign->outcomes[CRASHED] == 0 &&
		campaign->outcomes[HUNG] == 0 && campaign->outcomes[WRONG] == 0,
	    "%s: of %u cases %u crashed, %u hung, %u went wrong",
	    campaign->name, campaign->cases, campaign->outcomes[CRASHED],
	    campaign->outcomes[HUNG], campaign->outcomes[WRONG]);
	ck_assert_uint_le(test_measure(dir).disk_bytes, MAX_BYTES);
}

static unsigned
rounds(void)
{
	const char *text = getenv("HOSTILE_ROUNDS");
	unsigned n = text == NULL ? 1 : (unsigned)strtoul(text, NULL, 10);

	return n == 0 ? 1 : n;
}

/* --- pages and bits -------------------------------------------------------- */

typedef void spoil_fn(struct image *copy, size_t page, uint64_t *dice);

static void
spoil_zeros(struct image *copy, size_t page, uint64_t *dice)
{
	(void)dice;
	memset(copy->bytes + page * PAGE, 0, PAGE);
}

static void
spoil_ones(struct image *copy, size_t page, uint64_t *dice)
{
	(void)dice;
	memset(copy->bytes + page * PAGE, 0xff, PAGE);
}

static void
spoil_random(struct image *copy, size_t page, uint64_t *dice)
{
	test_fill(copy->bytes + page * PAGE, PAGE, test_random(dice));
}

static void
spoil_copied(struct image *copy, size_t page, uint64_t *dice)
{
	size_t other = test_random(dice) % (copy->len / PAGE);

	memmove(copy->bytes + page * PAGE, copy->bytes + other * PAGE, PAGE);
}

/* Twenty bytes in the first hundred of a page: its header and its nodes. */
static void
spoil_head(struct image *copy, size_t page, uint64_t *dice)
{
	int i;

	for (i = 0; i < 20; i++)
		copy->bytes[page * PAGE + test_random(dice) % 100] = (uint8_t)
		    test_random(dice);
}

static void
spoil_bit(struct image *copy, size_t page, uint64_t *dice)
{
	uint64_t bit = test_random(dice) % (PAGE * 8);

	copy->bytes[page * PAGE + bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* Twenty bytes anywhere, as a bug or a bad disk leaves them. */
static void
spoil_anywhere(struct image *copy, size_t page, uint64_t *dice)
{
	int i;

	(void)page;
	for (i = 0; i < 20; i++)
		copy->bytes[test_random(dice) % copy->len] = (uint8_t)
		    test_random(dice);
}

static const struct {
	const char *name;
	unsigned file; /* of the images */
	spoil_fn *spoil;
	size_t pages;  /* at the beginning; 0: all */
	unsigned step; /* one page in so many, in each round another */
} page_cases[] = {
	{ "shard: pages of zeros", 1, spoil_zeros, 0, 16 },
	{ "shard: pages of ones", 1, spoil_ones, 0, 16 },
	{ "shard: random pages", 1, spoil_random, 0, 16 },
	{ "shard: pages copied", 1, spoil_copied, 0, 16 },
	{ "shard: heads of pages", 1, spoil_head, 0, 8 },
	{ "shard: bits", 1, spoil_bit, 0, 16 },
	{ "shard: bits of meta pages", 1, spoil_bit, 2, 1 },
	{ "shard: heads of meta pages", 1, spoil_head, 2, 1 },
	{ "shard: 20 bytes", 1, spoil_anywhere, 0, 16 },
	{ "control: pages of zeros", 0, spoil_zeros, 0, 1 },
	{ "control: pages of ones", 0, spoil_ones, 0, 1 },
	{ "control: random pages", 0, spoil_random, 0, 1 },
	{ "control: pages copied", 0, spoil_copied, 0, 1 },
	{ "control: heads of pages", 0, spoil_head, 0, 1 },
	{ "control: bits", 0, spoil_bit, 0, 1 },
};

enum { FEW_PAGES = 8, TURNS = 3 };

START_TEST(spoiled_page_kills_nobody)
{
	const struct image *whole = &images[page_cases[_i].file];
	struct campaign campaign = { .name = page_cases[_i].name };
	struct image copy = { whole->name, malloc(whole->len), whole->len };
	size_t page, pages = page_cases[_i].pages;
	unsigned round, turn, step = page_cases[_i].step;
	uint64_t dice = (uint64_t)_i + 1;

	if (pages == 0)
		pages = whole->len / PAGE;
	for (round = 0; round < rounds(); round++) {
		/* Few pages come several times in a round. */
		for (turn = 0; turn < (pages > FEW_PAGES ? 1 : TURNS); turn++) {
			for (page = (round + (unsigned)_i) % step; page < pages;
			     page += step) {
				memcpy(copy.bytes, whole->bytes, whole->len);
				page_cases[_i].spoil(&copy, page, &dice);
				restore();
				write_file(copy.name, copy.bytes, copy.len);
				if (try_it(&campaign) == REFUSED)
					restore_anew();
				else if (page_cases[_i].file == 1 &&
				    campaign.outcomes[CRASHED] == 0)
					ck_assert_uint_gt(victim->kept_others,
					    0);
			}
		}
	}
	free(copy.bytes);
	expect_survival(&campaign);
}
END_TEST

/* --- the format of LMDB's files, for those that lie ------------------------- */

static uint8_t *file; /* the first shard's, as it will be written */

static uint16_t
get16(const uint8_t *at)
{
	uint16_t n;

	memcpy(&n, at, sizeof(n));
	return n;
}

static uint64_t
get64(const uint8_t *at)
{
	uint64_t n;

	memcpy(&n, at, sizeof(n));
	return n;
}

static void
put16(uint8_t *at, unsigned n)
{
	uint16_t n16 = (uint16_t)n;

	memcpy(at, &n16, sizeof(n16));
}

static void
put32(uint8_t *at, uint32_t n)
{
	memcpy(at, &n, sizeof(n));
}

static void
put64(uint8_t *at, uint64_t n)
{
	memcpy(at, &n, sizeof(n));
}

static uint8_t *
page_of(uint64_t number)
{
	MUST(number < images[1].len / PAGE);
	return file + number * PAGE;
}

static uint8_t *
meta(void)
{
	return get64(file + 144) < get64(file + PAGE + 144) ? file + PAGE :
							      file;
}

/* Descriptions of trees. */
static uint8_t *
free_tree(void)
{
	return meta() + 40;
}

static uint8_t *
main_tree(void)
{
	return meta() + 88;
}

static uint8_t *
root_of(const uint8_t *tree)
{
	return page_of(get64(tree + 40));
}

static unsigned
nodes_of(const uint8_t *page)
{
	return (get16(page + 12) - 16U) / 2;
}

static uint8_t *
node_of(uint8_t *page, unsigned nth)
{
	MUST(nth < nodes_of(page));
	return page + get16(page + 16 + 2 * (size_t)nth);
}

static uint8_t *
value_of(uint8_t *node)
{
	return node + 8 + get16(node + 6);
}

static uint64_t
child_of(const uint8_t *node)
{
	uint32_t low;

	memcpy(&low, node, sizeof(low));
	return (uint64_t)get16(node + 4) << 32 | low;
}

static uint8_t *
main_node(const char *name)
{
	uint8_t *page = root_of(main_tree()), *node;
	unsigned i = 0;

	do
		node = node_of(page, i++); /* which ends it if there is none */
	while (get16(node + 6) != strlen(name) ||
	    memcmp(node + 8, name, strlen(name)) != 0);
	return node;
}

static uint8_t *
records(void)
{
	return value_of(main_node("newcomers"));
}

static uint8_t *
branch(void)
{
	uint8_t *page = root_of(records());

	MUST(get16(page + 10) == 1 && nodes_of(page) > 2);
	return page;
}

/* A leaf of records, neither the first nor with long ones alone. */
static uint8_t *
leaf(void)
{
	uint8_t *page = NULL;
	unsigned nth = 1;

	do
		page = page_of(child_of(node_of(branch(), nth++)));
	while (nodes_of(page) <= 2);
	MUST(get16(page + 10) == 2);
	return page;
}

/* The newest list of free pages that is in a leaf: its number, then they. */
static uint8_t *
free_list(void)
{
	uint8_t *page = root_of(free_tree()), *node = NULL;
	unsigned i;

	MUST(get16(page + 10) == 2);
	for (i = nodes_of(page); i > 0; i--) {
		node = node_of(page, i - 1);
		if (get16(node + 4) == 0 && get64(value_of(node)) > 2)
			break;
	}
	MUST(i > 0);
	return value_of(node);
}

#define LIE(name, ...) \
	static void name(void) \
	{ \
		__VA_ARGS__; \
	}

LIE(last_page_past_the_end, put64(meta() + 136, 1 << 20))
LIE(last_page_is_huge, put64(meta() + 136, UINT64_MAX))
LIE(last_page_too_low, put64(meta() + 136, 4))
LIE(no_page_size, put32(meta() + 40, 0))
LIE(small_page_size, put32(meta() + 40, 512))
LIE(wrong_data_version, put32(meta() + 20, 999))
LIE(newer_transaction, put64(meta() + 144, get64(meta() + 144) + 1))
LIE(main_root_past_the_end, put64(main_tree() + 40, 1 << 20))
LIE(main_root_is_a_meta_page, put64(main_tree() + 40, 0))
LIE(main_root_is_of_records, put64(main_tree() + 40, get64(records() + 40)))
LIE(main_root_is_none, put64(main_tree() + 40, UINT64_MAX))
LIE(free_root_is_of_records, put64(free_tree() + 40, get64(records() + 40)))
LIE(free_list_is_gone, memset(free_tree() + 6, 0, 34);
    put64(free_tree() + 40, UINT64_MAX))
LIE(main_sorts_duplicates, put16(main_tree() + 4, 4))
LIE(records_sort_duplicates, put16(records() + 4, 0x1c))
LIE(records_have_no_integer_keys, put16(records() + 4, 0))
LIE(depth_is_nothing, put16(records() + 6, 0))
LIE(depth_is_more, put16(records() + 6, get16(records() + 6) + 1U))
LIE(depth_is_much, put16(records() + 6, 4000))
LIE(entries_are_more, put64(records() + 32, get64(records() + 32) + 1))
LIE(leaves_are_none, put64(records() + 16, 0))
LIE(records_root_past_the_end, put64(records() + 40, 1 << 20))
LIE(records_root_is_of_aliases,
    put64(records() + 40, get64(value_of(main_node("aliases")) + 40)))
LIE(tree_has_another_name, main_node("pieces")[8] = 'q')
LIE(tree_is_no_tree, put16(main_node("pieces") + 4, 0))
LIE(tree_is_short, put32(main_node("pieces"), 40))
LIE(child_past_the_end, put32(node_of(branch(), 1), 1 << 20))
LIE(child_is_itself, put32(node_of(branch(), 1), (uint32_t)get64(branch())))
LIE(child_is_its_sister,
    put32(node_of(branch(), 1), (uint32_t)child_of(node_of(branch(), 2))))
LIE(child_is_a_meta_page, put32(node_of(branch(), 1), 1))
LIE(branch_has_one_child, put16(branch() + 12, 18))
LIE(branch_has_no_child, put16(branch() + 12, 16))
LIE(branch_keys_are_swapped, put64(node_of(branch(), 1) + 8, UINT64_MAX / 2))
LIE(branch_key_is_short, put16(node_of(branch(), 1) + 6, 4))
LIE(page_has_another_number, put64(leaf(), get64(leaf()) + 1))
LIE(leaf_is_dirty, put16(leaf() + 10, 0x12))
LIE(leaf_has_fixed_nodes, put16(leaf() + 10, 0x22))
LIE(leaf_is_a_branch, put16(leaf() + 10, 1))
LIE(leaf_is_a_run, put16(leaf() + 10, 4))
LIE(leaf_is_empty, put16(leaf() + 12, 16))
LIE(leaf_has_too_many_nodes, put16(leaf() + 12, 0xfff0))
LIE(leaf_has_a_low_end, put16(leaf() + 12, 2))
LIE(leaf_begins_past_the_page, put16(leaf() + 14, 0xfff0))
LIE(node_past_the_page, put16(leaf() + 18, 0xfffe))
LIE(node_in_the_header, put16(leaf() + 18, 8))
LIE(node_at_an_odd_place, put16(leaf() + 18, get16(leaf() + 18) + 1U))
LIE(nodes_in_one_place, put16(leaf() + 18, get16(leaf() + 16)))
LIE(nodes_overlap, put16(leaf() + 18, get16(leaf() + 18) + 2U))
LIE(key_is_long, put16(node_of(leaf(), 1) + 6, 0xffff))
LIE(key_is_short, put16(node_of(leaf(), 1) + 6, 6))
LIE(keys_are_out_of_order, put64(node_of(leaf(), 1) + 8, 1))
LIE(keys_are_the_same,
    memcpy(node_of(leaf(), 1) + 8, node_of(leaf(), 0) + 8, 8))
LIE(value_is_long, put32(node_of(leaf(), 1), 0xffffff))
LIE(value_has_all_bits, put32(node_of(leaf(), 1), UINT32_MAX))
LIE(value_is_in_a_run, put16(node_of(leaf(), 1) + 4, 1))
LIE(value_is_a_tree, put16(node_of(leaf(), 1) + 4, 2))
LIE(value_has_duplicates, put16(node_of(leaf(), 1) + 4, 4))
LIE(area_past_the_end, put64(value_of(main_node("area")), 1 << 20))
LIE(area_is_huge, put32(main_node("area"), UINT32_MAX))
LIE(area_is_small, put32(main_node("area"), 3000))
LIE(area_is_in_its_node, put16(main_node("area") + 4, 0))
LIE(area_has_no_pages,
    put32(page_of(get64(value_of(main_node("area")))) + 12, 0))
LIE(area_has_too_many_pages,
    put32(page_of(get64(value_of(main_node("area")))) + 12, 1 << 20))
LIE(area_is_over_records, put64(value_of(main_node("area")), get64(leaf())))
LIE(free_list_is_huge, put64(free_list(), UINT64_MAX / 8))
LIE(free_list_is_longer, put64(free_list(), get64(free_list()) + 200))
LIE(free_page_is_a_root, put64(free_list() + 8, get64(branch())))
LIE(free_page_is_a_meta_page, put64(free_list() + 8, 0))
LIE(free_page_past_the_end, put64(free_list() + 8, 1 << 20))
LIE(free_pages_are_the_same, memcpy(free_list() + 8, free_list() + 16, 8))
LIE(free_pages_ascend, uint64_t first = get64(free_list() + 8);
    memcpy(free_list() + 8, free_list() + 16, 8);
    put64(free_list() + 16, first))

#define LIE_CASE(name) \
	{ \
#name, name \
	}

static const struct lie {
	const char *name;
	void (*tell)(void);
} lies[] = {
	LIE_CASE(last_page_past_the_end),
	LIE_CASE(last_page_is_huge),
	LIE_CASE(last_page_too_low),
	LIE_CASE(no_page_size),
	LIE_CASE(small_page_size),
	LIE_CASE(wrong_data_version),
	LIE_CASE(newer_transaction),
	LIE_CASE(main_root_past_the_end),
	LIE_CASE(main_root_is_a_meta_page),
	LIE_CASE(main_root_is_of_records),
	LIE_CASE(main_root_is_none),
	LIE_CASE(free_root_is_of_records),
	LIE_CASE(free_list_is_gone),
	LIE_CASE(main_sorts_duplicates),
	LIE_CASE(records_sort_duplicates),
	LIE_CASE(records_have_no_integer_keys),
	LIE_CASE(depth_is_nothing),
	LIE_CASE(depth_is_more),
	LIE_CASE(depth_is_much),
	LIE_CASE(entries_are_more),
	LIE_CASE(leaves_are_none),
	LIE_CASE(records_root_past_the_end),
	LIE_CASE(records_root_is_of_aliases),
	LIE_CASE(tree_has_another_name),
	LIE_CASE(tree_is_no_tree),
	LIE_CASE(tree_is_short),
	LIE_CASE(child_past_the_end),
	LIE_CASE(child_is_itself),
	LIE_CASE(child_is_its_sister),
	LIE_CASE(child_is_a_meta_page),
	LIE_CASE(branch_has_one_child),
	LIE_CASE(branch_has_no_child),
	LIE_CASE(branch_keys_are_swapped),
	LIE_CASE(branch_key_is_short),
	LIE_CASE(page_has_another_number),
	LIE_CASE(leaf_is_dirty),
	LIE_CASE(leaf_has_fixed_nodes),
	LIE_CASE(leaf_is_a_branch),
	LIE_CASE(leaf_is_a_run),
	LIE_CASE(leaf_is_empty),
	LIE_CASE(leaf_has_too_many_nodes),
	LIE_CASE(leaf_has_a_low_end),
	LIE_CASE(leaf_begins_past_the_page),
	LIE_CASE(node_past_the_page),
	LIE_CASE(node_in_the_header),
	LIE_CASE(node_at_an_odd_place),
	LIE_CASE(nodes_in_one_place),
	LIE_CASE(nodes_overlap),
	LIE_CASE(key_is_long),
	LIE_CASE(key_is_short),
	LIE_CASE(keys_are_out_of_order),
	LIE_CASE(keys_are_the_same),
	LIE_CASE(value_is_long),
	LIE_CASE(value_has_all_bits),
	LIE_CASE(value_is_in_a_run),
	LIE_CASE(value_is_a_tree),
	LIE_CASE(value_has_duplicates),
	LIE_CASE(area_past_the_end),
	LIE_CASE(area_is_huge),
	LIE_CASE(area_is_small),
	LIE_CASE(area_is_in_its_node),
	LIE_CASE(area_has_no_pages),
	LIE_CASE(area_has_too_many_pages),
	LIE_CASE(area_is_over_records),
	LIE_CASE(free_list_is_huge),
	LIE_CASE(free_list_is_longer),
	LIE_CASE(free_page_is_a_root),
	LIE_CASE(free_page_is_a_meta_page),
	LIE_CASE(free_page_past_the_end),
	LIE_CASE(free_pages_are_the_same),
	LIE_CASE(free_pages_ascend),
};

static void
write_lie_to_shard(const struct lie *lie)
{
	file = malloc(images[1].len);
	MUST(file != NULL);
	memcpy(file, images[1].bytes, images[1].len);
	lie->tell();
	write_file(SHARD_0, file, images[1].len);
	free(file);
	file = NULL;
}

/* It is found before LMDB sees it, and nothing is changed without create. */
START_TEST(file_that_lies_is_found_out_and_made_anew)
{
	struct campaign campaign = { .name = "lies" };
	const struct lie *lie;
	int i;

	for (i = 0; i < N_OF(lies); i++) {
		lie = &lies[i];
		restore();
		write_lie_to_shard(lie);
		if (getenv("HOSTILE_COUNT") == NULL) {
			ck_assert_msg(child_does(open_only, NULL) &&
				victim->opened == SESSCACHE_ECORRUPT,
			    "%s: %d", lie->name, victim->opened);
		}
		ck_assert_msg(try_it(&campaign) == ANEW ||
			getenv("HOSTILE_COUNT") != NULL,
		    "%s", lie->name);
		ck_assert_msg(victim->kept_others > 0 ||
			getenv("HOSTILE_COUNT") != NULL,
		    "%s: the other shard", lie->name);
	}
	expect_survival(&campaign);
}
END_TEST

/* --- the control file's numbers -------------------------------------------- */

static const struct {
	const char *name;
	size_t at;
	uint64_t value;
} numbers[] = {
	{ "size huge", offsetof(struct sc_control, size_bytes), 1ULL << 40 },
	{ "size larger", offsetof(struct sc_control, size_bytes), 64 << 20 },
	{ "size none", offsetof(struct sc_control, size_bytes), 0 },
	{ "shard huge",
	    SC_CONTROL_SHARDS_AT + offsetof(struct sc_state, file_bytes),
	    1ULL << 40 },
	{ "shard of no bytes",
	    SC_CONTROL_SHARDS_AT + offsetof(struct sc_state, file_bytes), 0 },
	{ "number at its end",
	    SC_CONTROL_SHARDS_AT + offsetof(struct sc_state, next_seq),
	    UINT64_MAX },
	{ "number at its beginning",
	    SC_CONTROL_SHARDS_AT + offsetof(struct sc_state, next_seq), 1 },
	{ "generations and damage",
	    SC_CONTROL_SHARDS_AT + offsetof(struct sc_state, commits),
	    UINT64_MAX },
};

static void
open_by_default(void *arg)
{
	struct sesscache *cache;

	(void)arg;
	end_if_it_hangs();
	cache = cache_open(dir, "shards", "2", NULL);
	use_fully(cache);
	sesscache_close(cache);
}

/* No size is asked for: that of the cache holds, or that of a new one. */
START_TEST(number_that_is_wrong_makes_no_file_grow)
{
	const uint64_t most = UINT64_C(64) << 20; /* the default */
	struct image copy = images[0];
	uint8_t bytes[65536];

	MUST(copy.len <= sizeof(bytes));
	memcpy(bytes, copy.bytes, copy.len);
	memcpy(bytes + numbers[_i].at, &numbers[_i].value, 8);
	restore_anew();
	write_file(CONTROL, bytes, copy.len);
	write_file(SHARD_0, "", 0); /* so that it is made anew */
	ck_assert_msg(child_does(open_by_default, NULL), "%s",
	    numbers[_i].name);
	ck_assert_msg(test_measure(dir).bytes <= most, "%s", numbers[_i].name);
	restore_anew();
}
END_TEST

/* --- other files in their place -------------------------------------------- */

static void
be_text(const char *path, size_t len)
{
	FILE *stream = fopen(path, "w");
	size_t n;

	MUST(stream != NULL);
	for (n = 0; n < len; n += 16)
		MUST(fputs("not a database.\n", stream) >= 0);
	MUST(fclose(stream) == 0 && truncate(path, (off_t)len) == 0);
}

static void
begin_with(const char *path, const void *head, size_t head_len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0 && pwrite(fd, head, head_len, 0) == (ssize_t)head_len);
	MUST(close(fd) == 0);
}

static void
be_sqlite(const char *path, size_t len)
{
	be_text(path, len);
	begin_with(path, "SQLite format 3\0\020\0\1\1\0@  ", 24);
}

static void
be_elf(const char *path, size_t len)
{
	uint8_t *bytes = calloc(1, len);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	MUST(bytes != NULL && fd >= 0 && read(fd, bytes, len) > 0);
	MUST(close(fd) == 0);
	begin_with(path, bytes, len);
	free(bytes);
}

static void
be_random(const char *path, size_t len)
{
	uint8_t *bytes = malloc(len);

	MUST(bytes != NULL);
	test_fill(bytes, len, len);
	begin_with(path, bytes, len);
	free(bytes);
}

/* A database of another program: whole, with trees of its own. */
static void
be_lmdb(const char *path, size_t len)
{
	char name[] = "users", text[] = "somebody";
	MDB_val key = { 5, name }, value = { 8, text };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	MUST(truncate(path, 0) == 0);
	MUST(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 4) == 0);
	MUST(mdb_env_set_mapsize(env, MAX_BYTES) == 0);
	MUST(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600) == 0);
	MUST(mdb_txn_begin(env, NULL, 0, &txn) == 0);
	MUST(mdb_dbi_open(txn, "newcomers", MDB_CREATE, &dbi) == 0);
	MUST(mdb_put(txn, dbi, &key, &value, 0) == 0);
	MUST(mdb_txn_commit(txn) == 0);
	mdb_env_close(env);
	MUST(truncate(path, (off_t)len) == 0);
}

static void
cut_to(const char *path, size_t len)
{
	MUST(truncate(path, (off_t)len) == 0);
}

static void
cut_to_nothing(const char *path, size_t len)
{
	(void)len;
	cut_to(path, 0);
}

static void
cut_to_a_byte(const char *path, size_t len)
{
	(void)len;
	cut_to(path, 1);
}

static void
cut_to_its_head(const char *path, size_t len)
{
	(void)len;
	cut_to(path, 152);
}

static void
cut_to_half(const char *path, size_t len)
{
	cut_to(path, len / 2);
}

static void
cut_by_a_page(const char *path, size_t len)
{
	cut_to(path, len - PAGE);
}

static void
grow(const char *path, size_t len)
{
	cut_to(path, len + 64 * PAGE);
}

/* A file that says it has its bytes, and has none on disk. */
static void
be_a_hole(const char *path, size_t len)
{
	cut_to(path, 0);
	cut_to(path, len);
}

static void
be_its_older_self(const char *path, size_t len)
{
	(void)path, (void)len;
	MUST(child_does(open_and_use, NULL)); /* and purge everything */
	write_file(SHARD_0, images[1].bytes, images[1].len);
}

static void
be_the_other_shard(const char *path, size_t len)
{
	(void)path, (void)len;
	write_file(SHARD_0, images[2].bytes, images[2].len);
	write_file(SHARD_1, images[1].bytes, images[1].len);
}

static void
be_the_control_file(const char *path, size_t len)
{
	begin_with(path, images[0].bytes, images[0].len);
	cut_to(path, len);
}

typedef void become_fn(const char *path, size_t len);

static const struct {
	const char *name;
	become_fn *become;
} others[] = {
	{ "text", be_text },
	{ "SQLite", be_sqlite },
	{ "ELF", be_elf },
	{ "random", be_random },
	{ "LMDB of another program", be_lmdb },
	{ "nothing", cut_to_nothing },
	{ "one byte", cut_to_a_byte },
	{ "its head", cut_to_its_head },
	{ "half", cut_to_half },
	{ "a page less", cut_by_a_page },
	{ "longer", grow },
	{ "a hole", be_a_hole },
	{ "its older self", be_its_older_self },
	{ "the other shard", be_the_other_shard },
	{ "the control file", be_the_control_file },
};

START_TEST(another_file_in_its_place_kills_nobody)
{
	const char *files[] = { SHARD_0, CONTROL };
	struct campaign campaign = { .name = others[_i].name };
	char path[SCRATCH_LEN];
	int i;

	for (i = 0; i < N_OF(files); i++) {
		restore_anew();
		path_join(path, dir, files[i]);
		others[_i].become(path, images[i == 0].len);
		(void)try_it(&campaign);
		expect_survival(&campaign);
	}
	restore_anew();
}
END_TEST

/* --- what is no plain file, or another's ------------------------------------ */

static void
be_a_directory(const char *path)
{
	MUST(unlink(path) == 0 && mkdir(path, 0700) == 0);
}

static void
be_a_fifo(const char *path)
{
	MUST(unlink(path) == 0 && mkfifo(path, 0600) == 0);
}

/* The null device: reads end, maps fail. */
static void
be_a_device(const char *path)
{
	MUST(unlink(path) == 0);
	MUST(mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0);
}

static void
move_outside(const char *path, char outside[SCRATCH_LEN])
{
	path_join(outside, scratch, "outside");
	(void)unlink(outside);
	MUST(rename(path, outside) == 0);
}

static void
be_a_symlink(const char *path)
{
	char outside[SCRATCH_LEN];

	move_outside(path, outside);
	MUST(symlink(outside, path) == 0);
}

static void
be_a_hard_link(const char *path)
{
	char outside[SCRATCH_LEN];

	move_outside(path, outside);
	MUST(link(outside, path) == 0);
}

static void
be_anothers(const char *path)
{
	MUST(chown(path, NOBODY, NOBODY) == 0);
}

static void
be_open_to_all(const char *path)
{
	MUST(chmod(path, 0666) == 0);
}

static const struct {
	const char *name;
	void (*become)(const char *path);
	bool by_root;
} types[] = {
	{ "a directory", be_a_directory, false },
	{ "a FIFO", be_a_fifo, false },
	{ "a device", be_a_device, true },
	{ "a symbolic link", be_a_symlink, false },
	{ "a hard link", be_a_hard_link, false },
	{ "another user's", be_anothers, true },
	{ "open to all", be_open_to_all, false },
};

/* And what a link leads to stays as it is. */
START_TEST(what_is_no_plain_file_of_ours_is_refused)
{
	const char *files[] = { SHARD_0, CONTROL };
	struct campaign campaign = { .name = types[_i].name };
	char path[SCRATCH_LEN], outside[SCRATCH_LEN];
	struct stat st;
	int i;

	if (types[_i].by_root && geteuid() != 0)
		return;
	path_join(outside, scratch, "outside");
	for (i = 0; i < N_OF(files); i++) {
		restore_anew();
		path_join(path, dir, files[i]);
		types[_i].become(path);
		ck_assert_msg(try_it(&campaign) == REFUSED, "%s", files[i]);
		ck_assert_int_eq(victim->opened, SESSCACHE_EUNSAFE);
		if (stat(outside, &st) == 0)
			ck_assert_uint_eq((uint64_t)st.st_size,
			    images[i == 0].len);
		(void)unlink(outside);
	}
	tell(&campaign);
	restore_anew();
}
END_TEST

/* --- while it is open ------------------------------------------------------- */

/* A worker that has the cache: it waits for a byte, then uses it. */
struct worker {
	int ready[2], go[2];
};

static void
serve(void *arg)
{
	struct worker *worker = arg;
	struct sesscache *cache = cache_open(dir, NULL);
	char byte = 'r';

	end_if_it_hangs();
	MUST(write(worker->ready[1], &byte, 1) == 1);
	MUST(read(worker->go[0], &byte, 1) == 1);
	use_fully(cache);
	sesscache_close(cache);
}

static pid_t
start_worker(struct worker *worker)
{
	char byte;
	pid_t pid;

	MUST(pipe(worker->ready) == 0 && pipe(worker->go) == 0);
	pid = child_start(serve, worker);
	MUST(read(worker->ready[0], &byte, 1) == 1);
	return pid;
}

/* Let it go on; what waitpid() says. */
static int
end_worker(struct worker *worker, pid_t pid)
{
	int status;

	MUST(write(worker->go[1], "g", 1) == 1);
	status = child_end(pid);
	MUST(close(worker->ready[0]) == 0 && close(worker->ready[1]) == 0);
	MUST(close(worker->go[0]) == 0 && close(worker->go[1]) == 0);
	return status;
}

/* The next opener finds it, and who had it open maps it again. */
START_TEST(damage_to_a_live_cache_is_repaired_by_the_next_opener)
{
	struct campaign campaign = { .name = "live" };
	struct worker worker;
	pid_t pid;
	int i;

	for (i = 0; i < N_OF(lies); i += 4) {
		restore_anew();
		pid = start_worker(&worker);
		write_lie_to_shard(&lies[i]);
		ck_assert_msg(try_it(&campaign) == ANEW, "%s", lies[i].name);
		ck_assert_msg(end_worker(&worker, pid) == 0, "%s",
		    lies[i].name);
	}
	expect_survival(&campaign);
	restore_anew();
}
END_TEST

/*
 * What nobody can help: LMDB, in a worker that has the file mapped, follows
 * what is written into it, and a file that is cut is gone from under its map.
 * That worker dies; the next opener has a cache again, and so do those who have
 * it open already, after two more.
 */
static const struct {
	const char *name;
	const char *lie; /* NULL: cut the file */
	int signal;
} fatal[] = {
	{ "a lie", "branch_has_one_child", SIGABRT },
	{ "a file that is cut", NULL, SIGBUS },
};

static void
make_fatal(int row)
{
	char path[SCRATCH_LEN];
	int i;

	path_join(path, dir, SHARD_0);
	if (fatal[row].lie == NULL)
		cut_to(path, 0);
	for (i = 0; fatal[row].lie != NULL && i < N_OF(lies); i++) {
		if (strcmp(lies[i].name, fatal[row].lie) == 0)
			write_lie_to_shard(&lies[i]);
	}
}

START_TEST(damage_under_a_live_worker_may_kill_it_and_nobody_else)
{
	struct campaign campaign = { .name = fatal[_i].name };
	struct worker worker;
	int status;
	pid_t pid;

	restore_anew();
	pid = start_worker(&worker);
	make_fatal(_i);
	status = end_worker(&worker, pid);
	/* A sanitizer makes an exit of the signal. */
	ck_assert_msg(SANITIZED ?
		status != 0 :
		WIFSIGNALED(status) && WTERMSIG(status) == fatal[_i].signal,
	    "%s: 0x%x", fatal[_i].name, (unsigned)status);
	ck_assert_int_eq(try_it(&campaign), ANEW);
	ck_assert_uint_gt(victim->kept_others, 0);
	restore_anew();
}
END_TEST

/* Some random bytes every 1,500, as a stray pointer leaves them. */
static void
spoil_often(struct image *copy, size_t page, uint64_t *dice)
{
	size_t at = page * PAGE + test_random(dice) % 1500;

	for (; at < (page + 1) * PAGE - 16; at += 1500)
		test_fill(copy->bytes + at, 1 + test_random(dice) % 16,
		    test_random(dice));
}

static const struct {
	const char *name;
	spoil_fn *spoil;
	unsigned step; /* one page in so many */
} noises[] = {
	{ "live: bytes everywhere", spoil_often, 1 },
	{ "live: bytes", spoil_often, 11 },
	{ "live: bits everywhere", spoil_bit, 1 },
	{ "live: heads of pages", spoil_head, 7 },
	{ "live: pages of zeros", spoil_zeros, 5 },
	{ "live: random pages", spoil_random, 5 },
	{ "live: pages copied", spoil_copied, 3 },
};

/* In place, as it is now: those who have it mapped see it. */
static void
make_noise(unsigned nth, uint64_t *dice)
{
	struct image now = { .name = SHARD_0 };
	size_t page;
	char path[SCRATCH_LEN];
	int fd;

	load(&now);
	for (page = 2; page < now.len / PAGE; page += noises[nth].step)
		noises[nth].spoil(&now, page, dice);
	path_join(path, dir, now.name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST(pwrite(fd, now.bytes, now.len, 0) == (ssize_t)now.len);
	MUST(close(fd) == 0);
	free(now.bytes);
}

/* It may die, for LMDB trusts its map; it may not hang, nor get wrong bytes. */
static bool
is_fate(int status)
{
	if (status == 0 || SANITIZED)
		return status != -1;
	return WIFSIGNALED(status) &&
	    (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS ||
		WTERMSIG(status) == SIGABRT);
}

START_TEST(noise_in_a_live_cache_hangs_nobody)
{
	struct campaign campaign = { .name = noises[_i].name };
	struct worker workers[NOISE_WORKERS];
	pid_t pids[NOISE_WORKERS];
	uint64_t dice = (uint64_t)_i + 1;
	unsigned round, i;
	int status;

	for (round = 0; round < rounds(); round++) {
		restore_anew();
		for (i = 0; i < NOISE_WORKERS; i++)
			pids[i] = start_worker(&workers[i]);
		make_noise((unsigned)_i, &dice);
		for (i = 0; i < NOISE_WORKERS; i++)
			MUST(write(workers[i].go[1], "g", 1) == 1);
		for (i = 0; i < NOISE_WORKERS; i++) {
			status = end_worker(&workers[i], pids[i]);
			ck_assert_msg(is_fate(status), "%s: 0x%x",
			    noises[_i].name, (unsigned)status);
		}
		(void)try_it(&campaign);
	}
	expect_survival(&campaign);
	restore_anew();
}
END_TEST

static void
use_inherited(void *arg)
{
	end_if_it_hangs();
	use_fully(arg);
}

/* Workers that a master replaces one by one, which opens nothing again. */
START_TEST(damage_kills_few_of_those_who_inherit_it)
{
	struct sesscache *cache;
	uint64_t dice = (uint64_t)_i + 1;
	unsigned deaths = 0;
	int status;

	restore_anew();
	cache = cache_open(dir, NULL);
	if (_i < N_OF(fatal))
		make_fatal(_i);
	else
		make_noise((unsigned)(_i - N_OF(fatal)), &dice);
	while ((status = child_end(child_start(use_inherited, cache))) != 0) {
		ck_assert_msg(is_fate(status), "0x%x", (unsigned)status);
		ck_assert_uint_le(++deaths, MOST_DEATHS);
	}
	sesscache_close(cache);
	restore_anew();
}
END_TEST

static void
take_one(void *arg)
{
	struct sesscache *cache = cache_open(dir, NULL);

	(void)arg;
	MUST(look(cache, &victim->samples[0], true) == SESSCACHE_OK);
	MUST(look(cache, &victim->samples[0], true) == SESSCACHE_MISS);
	sesscache_close(cache);
}

/* Nor this: an older copy of all files, of the same boot, is the cache. */
START_TEST(older_copy_of_the_whole_cache_brings_back_what_was_taken)
{
	restore_anew();
	ck_assert(child_does(take_one, NULL));
	restore();
	ck_assert(child_does(take_one, NULL));
	restore_anew();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hostile");
	TCase *tc = tcase_create("files");

	tcase_set_timeout(tc, 3600); /* the campaign may be a long one */
	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, spoiled_page_kills_nobody, 0, N_OF(page_cases));
	tcase_add_test(tc, file_that_lies_is_found_out_and_made_anew);
	tcase_add_loop_test(tc, number_that_is_wrong_makes_no_file_grow, 0,
	    N_OF(numbers));
	tcase_add_loop_test(tc, another_file_in_its_place_kills_nobody, 0,
	    N_OF(others));
	tcase_add_loop_test(tc, what_is_no_plain_file_of_ours_is_refused, 0,
	    N_OF(types));
	tcase_add_test(tc,
	    damage_to_a_live_cache_is_repaired_by_the_next_opener);
	tcase_add_loop_test(tc,
	    damage_under_a_live_worker_may_kill_it_and_nobody_else, 0,
	    N_OF(fatal));
	tcase_add_loop_test(tc, damage_kills_few_of_those_who_inherit_it, 0,
	    N_OF(fatal) + N_OF(noises));
	tcase_add_loop_test(tc, noise_in_a_live_cache_hangs_nobody, 0,
	    N_OF(noises));
	tcase_add_test(tc,
	    older_copy_of_the_whole_cache_brings_back_what_was_taken);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
