/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See verify.h.
 *
 * A file is numbered pages.  The first two hold meta pages, of which the one
 * with the higher transaction number counts.  It describes two B+trees: the
 * list of free pages by the transaction that freed them, and the main tree,
 * whose values here are the area and the descriptions of our own four trees.
 * A page has a header, the offsets of its nodes, and the nodes, which grow
 * from its end; a value too long for a node has a run of pages of its own.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/host.h"
#include "store/tree.h"
#include "store/verify.h"

enum {
	META_VERSION = 1,
	META_PAGES = 2,

	/* Offsets in a page. */
	PAGE_NUMBER = 0,
	PAGE_FLAGS = 10,
	PAGE_LOWER = 12, /* where the offsets of the nodes end */
	PAGE_UPPER = 14, /* where the nodes begin */
	PAGE_RUN = 12,   /* in the first page of a run: how many */
	PAGE_HEADER = 16,

	/* In a meta page. */
	META_AT_MAGIC = 16,
	META_AT_VERSION = 20,
	META_AT_FREE = 40,
	META_AT_MAIN = 88,
	META_AT_LAST_PAGE = 136,
	META_AT_TXN = 144,

	/* In the description of a tree. */
	TREE_PAGE_BYTES = 0, /* in that of the free pages */
	TREE_FLAGS = 4,
	TREE_DEPTH = 6,
	TREE_BRANCHES = 8,
	TREE_LEAVES = 16,
	TREE_RUNS = 24,
	TREE_ENTRIES = 32,
	TREE_ROOT = 40,
	TREE_BYTES = 48,

	/* In a node. */
	NODE_LEN = 0, /* of the value; of a branch, the page's number */
	NODE_FLAGS = 4,
	NODE_KEY_LEN = 6,
	NODE_HEADER = 8,

	BRANCH = 0x01,
	LEAF = 0x02,
	RUN = 0x04,
	META = 0x08,

	VALUE_IN_RUN = 0x01,
	VALUE_IS_TREE = 0x02,

	TREE_LASTING_FLAGS = 0x7f,
	TREE_INTEGER_KEYS = 0x08,

	KEY_BYTES = 8,
	VALUE_BYTES = 2000, /* of a piece of a record */
	/* Pages have more than 50 nodes when they are not merged: with 8 levels
	 * there is more than any file can hold. */
	LEVELS = 8,
	/* Pages that are in no tree and not free either are lost for the
	 * shard: a few do no harm, more would eat its reserve. */
	LOST_PAGES = 16,
	IDS = 64,
};

static const uint32_t meta_magic = 0xbeefc0de;
static const uint64_t no_root = UINT64_MAX;

struct description {
	uint16_t flags;
	uint16_t depth;
	uint64_t branches, leaves, runs, entries;
	uint64_t root;
};

struct level {
	uint8_t *page;
	unsigned next; /* node to look at */
	unsigned nodes;
};

struct node {
	const uint8_t *key;
	size_t key_len;
	uint16_t flags;
	const uint8_t *value; /* of it, or the number of its run */
	size_t len;
	uint64_t offset; /* in the file, if it is in a run */
};

struct walk {
	int fd;
	size_t page_bytes;
	uint64_t pages;  /* that were ever used */
	uint64_t taken;  /* of these, by trees and the list of free ones */
	uint64_t txn;    /* the last one */
	uint8_t *seen;   /* a bit a page */
	uint16_t *sizes; /* of the nodes of a page, by half their offsets */
	struct level levels[LEVELS];
	struct description found; /* what there is of the tree under way */
	uint64_t least_key;       /* that may come next in it */
	unsigned named;           /* entries of the main tree so far */
	struct description trees[4];
	uint64_t bad; /* the page where it ended */
	const char *what;
};

struct kind {
	const char *name;
	unsigned least_branches; /* of a page */
	uint16_t flags;
	size_t key_len; /* 0: names */
	bool (*visit)(struct walk *walk, const struct node *node);
};

static uint16_t
u16(const uint8_t *at)
{
	uint16_t n;

	memcpy(&n, at, sizeof(n));
	return n;
}

static uint32_t
u32(const uint8_t *at)
{
	uint32_t n;

	memcpy(&n, at, sizeof(n));
	return n;
}

static uint64_t
u64(const uint8_t *at)
{
	uint64_t n;

	memcpy(&n, at, sizeof(n));
	return n;
}

static bool
bad(struct walk *walk, uint64_t page, const char *what)
{
	walk->bad = page;
	walk->what = what;
	return false;
}

static bool
read_at(const struct walk *walk, uint64_t offset, void *buf, size_t len)
{
	return pread(walk->fd, buf, len, (off_t)offset) == (ssize_t)len;
}

/* These pages are there, and in use for nothing else. */
static bool
take(struct walk *walk, uint64_t page, uint64_t n)
{
	if (page >= walk->pages || n > walk->pages - page)
		return bad(walk, page, "is not in the file");
	for (; n > 0; n--, page++) {
		if ((walk->seen[page / 8] >> page % 8 & 1) != 0)
			return bad(walk, page, "is used twice");
		walk->seen[page / 8] |= (uint8_t)(1u << page % 8);
		walk->taken++;
	}
	return true;
}

static struct description
describe(const uint8_t *at)
{
	return (struct description){
		.flags = u16(at + TREE_FLAGS) & TREE_LASTING_FLAGS,
		.depth = u16(at + TREE_DEPTH),
		.branches = u64(at + TREE_BRANCHES),
		.leaves = u64(at + TREE_LEAVES),
		.runs = u64(at + TREE_RUNS),
		.entries = u64(at + TREE_ENTRIES),
		.root = u64(at + TREE_ROOT),
	};
}

/* --- values --------------------------------------------------------------- */

/* A value in pages of its own: these are its own, and enough. */
static bool
take_run(struct walk *walk, struct node *node)
{
	uint64_t first = u64(node->value), n;
	uint8_t head[PAGE_HEADER];

	node->offset = first * walk->page_bytes + PAGE_HEADER;
	if (first >= walk->pages ||
	    !read_at(walk, first * walk->page_bytes, head, sizeof(head)))
		return bad(walk, first, "is not in the file");
	n = u32(head + PAGE_RUN);
	if (u64(head + PAGE_NUMBER) != first || u16(head + PAGE_FLAGS) != RUN ||
	    n == 0 || n * walk->page_bytes - PAGE_HEADER < node->len)
		return bad(walk, first, "begins no value");
	walk->found.runs += n;
	return take(walk, first, n);
}

static bool
read_value(const struct walk *walk, const struct node *node, size_t at,
    void *buf, size_t len)
{
	if (at > node->len || len > node->len - at)
		return false;
	if ((node->flags & VALUE_IN_RUN) != 0)
		return read_at(walk, node->offset + at, buf, len);
	memcpy(buf, node->value + at, len);
	return true;
}

/* Some pages of a list, which descends. */
static bool
take_ids(struct walk *walk, const uint64_t *ids, size_t n, uint64_t *last)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (ids[i] >= *last || !take(walk, ids[i], 1))
			return false;
		*last = ids[i];
	}
	return true;
}

/* The pages that a transaction freed: how many, then which. */
static bool
visit_free(struct walk *walk, const struct node *node)
{
	uint64_t ids[IDS], count, last = walk->pages, txn = u64(node->key);
	size_t at = sizeof(count), n;

	if (node->flags > VALUE_IN_RUN || txn == 0 || txn > walk->txn ||
	    !read_value(walk, node, 0, &count, sizeof(count)) ||
	    count > (node->len - at) / sizeof(ids[0]))
		return false;
	for (; count > 0; count -= n, at += n * sizeof(ids[0])) {
		n = count < IDS ? (size_t)count : IDS;
		if (!read_value(walk, node, at, ids, n * sizeof(ids[0])) ||
		    !take_ids(walk, ids, n, &last))
			return false;
	}
	return true;
}

static bool
visit_record(struct walk *walk, const struct node *node)
{
	(void)walk;
	return node->flags == 0 && node->len <= VALUE_BYTES;
}

static bool
visit_alias(struct walk *walk, const struct node *node)
{
	(void)walk;
	return node->flags == 0 && node->len == sizeof(uint64_t);
}

/* As lmdb.c names them, in the order of their names. */
static const char *const names[] = { "aliases", "newcomers", "pieces",
	"regulars" };
enum { TREES = sizeof(names) / sizeof(names[0]), AREA = 1 };

static bool
is_named(const struct node *node, const char *name)
{
	return node->key_len == strlen(name) &&
	    memcmp(node->key, name, node->key_len) == 0;
}

static bool
visit_main(struct walk *walk, const struct node *node)
{
	unsigned nth = walk->named++;

	if (nth == AREA)
		return node->flags == VALUE_IN_RUN && is_named(node, "area");
	nth -= nth > AREA;
	if (nth >= TREES || node->flags != VALUE_IS_TREE ||
	    node->len != TREE_BYTES || !is_named(node, names[nth]))
		return false;
	walk->trees[nth] = describe(node->value);
	return true;
}

static const struct kind free_kind = { "the list of free pages", 1,
	TREE_INTEGER_KEYS, KEY_BYTES, visit_free };
static const struct kind main_kind = { "the main tree", 2, 0, 0, visit_main };
static const struct kind alias_kind = { "aliases", 2, TREE_INTEGER_KEYS,
	KEY_BYTES, visit_alias };
static const struct kind record_kind = { "records", 2, TREE_INTEGER_KEYS,
	KEY_BYTES, visit_record };

/* --- pages ---------------------------------------------------------------- */

/* The bytes that a node takes, or 0 if it is not within its page. */
static size_t
node_bytes(const struct walk *walk, const uint8_t *page, size_t offset)
{
	const uint8_t *node = page + offset;
	size_t len;

	if (offset % 2 != 0 || offset < u16(page + PAGE_UPPER) ||
	    offset > walk->page_bytes - NODE_HEADER)
		return 0;
	len = NODE_HEADER + u16(node + NODE_KEY_LEN);
	if (u16(page + PAGE_FLAGS) == LEAF)
		len += (u16(node + NODE_FLAGS) & VALUE_IN_RUN) != 0 ?
		    sizeof(uint64_t) :
		    u32(node + NODE_LEN);
	len += len % 2;
	return len <= walk->page_bytes - offset ? len : 0;
}

/* The nodes lie end to end from where they begin to the end of the page. */
static bool
are_end_to_end(struct walk *walk, const struct level *level)
{
	const uint8_t *page = level->page;
	size_t offset, len, at = u16(page + PAGE_UPPER);
	unsigned i;

	memset(walk->sizes, 0, walk->page_bytes / 2 * sizeof(*walk->sizes));
	for (i = 0; i < level->nodes; i++) {
		offset = u16(page + PAGE_HEADER + 2 * (size_t)i);
		len = node_bytes(walk, page, offset);
		if (len == 0 || walk->sizes[offset / 2] != 0)
			return false;
		walk->sizes[offset / 2] = (uint16_t)len;
	}
	for (i = 0; i < level->nodes && at < walk->page_bytes; i++) {
		if (walk->sizes[at / 2] == 0)
			return false;
		at += walk->sizes[at / 2];
	}
	return i == level->nodes && at == walk->page_bytes;
}

/* Whether the offsets and the nodes of a page are where they can be. */
static bool
count_nodes(const struct walk *walk, struct level *level, unsigned least)
{
	unsigned lower = u16(level->page + PAGE_LOWER);
	unsigned upper = u16(level->page + PAGE_UPPER);

	level->next = 0;
	if (lower < PAGE_HEADER || lower % 2 != 0 || lower > upper ||
	    upper >= walk->page_bytes || upper % 2 != 0)
		return false;
	level->nodes = (lower - PAGE_HEADER) / 2;
	return level->nodes >= least;
}

/* Read a page of the tree and see that it can be one. */
static bool
enter(struct walk *walk, const struct kind *kind, struct level *level,
    uint64_t number, bool is_leaf)
{
	unsigned least = is_leaf ? 1 : kind->least_branches;
	uint8_t *page = level->page;

	if (!take(walk, number, 1))
		return false;
	if (!read_at(walk, number * walk->page_bytes, page, walk->page_bytes))
		return bad(walk, number, "cannot be read");
	if (u64(page + PAGE_NUMBER) != number ||
	    u16(page + PAGE_FLAGS) != (is_leaf ? LEAF : BRANCH))
		return bad(walk, number, "is another one");
	if (!count_nodes(walk, level, least) || !are_end_to_end(walk, level))
		return bad(walk, number, "has bad nodes");
	if (is_leaf)
		walk->found.leaves++;
	else
		walk->found.branches++;
	return true;
}

static const uint8_t *
next_node(struct level *level)
{
	size_t at = PAGE_HEADER + 2 * (size_t)level->next++;

	return level->page + u16(level->page + at);
}

/* The next entry of a leaf. */
static bool
visit_entry(struct walk *walk, const struct kind *kind, struct level *level)
{
	const uint8_t *at = next_node(level);
	struct node node = { .key = at + NODE_HEADER,
		.key_len = u16(at + NODE_KEY_LEN),
		.flags = u16(at + NODE_FLAGS),
		.len = u32(at + NODE_LEN) };
	uint64_t page = u64(level->page + PAGE_NUMBER);

	node.value = node.key + node.key_len;
	if (kind->key_len != 0) {
		if (node.key_len != kind->key_len ||
		    u64(node.key) < walk->least_key ||
		    u64(node.key) == UINT64_MAX)
			return bad(walk, page, "has a key out of order");
		walk->least_key = u64(node.key) + 1;
	}
	if ((node.flags & VALUE_IN_RUN) != 0 && !take_run(walk, &node))
		return false;
	walk->found.entries++;
	return kind->visit(walk, &node) || bad(walk, page, "has a bad value");
}

/* The next child of a branch: its number.  The key of the first one, if it
 * has any, is not looked at by anybody. */
static bool
next_child(struct walk *walk, struct level *level, uint64_t *child)
{
	bool is_first = level->next == 0;
	const uint8_t *at = next_node(level);

	*child = (uint64_t)u16(at + NODE_FLAGS) << 32 | u32(at + NODE_LEN);
	if (is_first)
		return true;
	if (u16(at + NODE_KEY_LEN) != KEY_BYTES ||
	    u64(at + NODE_HEADER) < walk->least_key)
		return bad(walk, u64(level->page + PAGE_NUMBER),
		    "has a key out of order");
	walk->least_key = u64(at + NODE_HEADER);
	return true;
}

/* --- trees ---------------------------------------------------------------- */

static bool
walk_pages(struct walk *walk, const struct kind *kind,
    const struct description *tree)
{
	unsigned at = 0, bottom = tree->depth - 1U;
	struct level *level = &walk->levels[0];
	uint64_t child = 0;
	bool ok;

	ok = enter(walk, kind, level, tree->root, at == bottom);
	while (ok && (at > 0 || level->next < level->nodes)) {
		if (level->next == level->nodes) {
			level = &walk->levels[--at];
		} else if (at == bottom) {
			ok = visit_entry(walk, kind, level);
		} else {
			ok = next_child(walk, level, &child);
			level = &walk->levels[++at];
			if (ok)
				ok = enter(walk, kind, level, child,
				    at == bottom);
		}
	}
	return ok;
}

static bool
walk_tree(struct walk *walk, const struct kind *kind,
    const struct description *tree)
{
	const struct description *found = &walk->found;

	walk->found = (struct description){ .root = tree->root };
	walk->least_key = 0;
	if (tree->flags != kind->flags || tree->depth > LEVELS ||
	    (tree->depth == 0) != (tree->root == no_root))
		return bad(walk, tree->root, kind->name);
	if (tree->depth > 0 && !walk_pages(walk, kind, tree))
		return false;
	if (found->branches != tree->branches ||
	    found->leaves != tree->leaves || found->runs != tree->runs ||
	    found->entries != tree->entries)
		return bad(walk, tree->root, kind->name);
	return true;
}

static bool
walk_trees(struct walk *walk, const struct description *list,
    const struct description *main_tree)
{
	unsigned i;

	if (!take(walk, 0, META_PAGES) || !walk_tree(walk, &free_kind, list) ||
	    !walk_tree(walk, &main_kind, main_tree))
		return false;
	if (walk->named != TREES + 1)
		return bad(walk, main_tree->root, "lacks a tree");
	for (i = 0; i < TREES; i++) {
		if (!walk_tree(walk, i == 0 ? &alias_kind : &record_kind,
			&walk->trees[i]))
			return false;
	}
	return walk->pages - walk->taken <= LOST_PAGES ||
	    bad(walk, walk->pages, "follows too many that are lost");
}

/* --- files ---------------------------------------------------------------- */

static bool
is_meta(const struct walk *walk, const uint8_t *page, uint64_t pages)
{
	return u16(page + PAGE_FLAGS) == META &&
	    u32(page + META_AT_MAGIC) == meta_magic &&
	    u32(page + META_AT_VERSION) == META_VERSION &&
	    u32(page + META_AT_FREE + TREE_PAGE_BYTES) == walk->page_bytes &&
	    u64(page + META_AT_LAST_PAGE) >= META_PAGES - 1 &&
	    u64(page + META_AT_LAST_PAGE) < pages;
}

/*
 * The meta page that counts.  The other may be half written, by a process
 * that was killed; what LMDB looks at, it looks at in both.
 */
static bool
read_meta(struct walk *walk, uint64_t pages, uint8_t **meta)
{
	uint64_t txns[META_PAGES];
	uint8_t *page;
	unsigned i;

	for (i = 0; i < META_PAGES; i++) {
		page = walk->levels[i].page;
		if (!read_at(walk, i * walk->page_bytes, page,
			walk->page_bytes) ||
		    !is_meta(walk, page, pages))
			return bad(walk, i, "is no meta page");
		txns[i] = u64(page + META_AT_TXN);
		if (txns[i] % 2 != i && txns[i] != 0)
			return bad(walk, i, "is of another transaction");
	}
	i = txns[0] < txns[1];
	*meta = walk->levels[i].page;
	walk->txn = txns[i];
	walk->pages = u64(*meta + META_AT_LAST_PAGE) + 1;
	return true;
}

static bool
verify(struct walk *walk, uint64_t pages)
{
	struct description list, main_tree;
	uint8_t *meta;

	if (!read_meta(walk, pages, &meta))
		return false;
	list = describe(meta + META_AT_FREE);
	main_tree = describe(meta + META_AT_MAIN);
	return walk_trees(walk, &list, &main_tree);
}

enum sesscache_status
sc_verify_file(int fd, uint64_t bytes)
{
	struct walk walk = { .fd = fd, .page_bytes = sc_host_page_size() };
	enum sesscache_status status = SESSCACHE_OK;
	uint64_t pages = bytes / walk.page_bytes;
	uint8_t *buffers;
	unsigned i;

	if (sizeof(size_t) != KEY_BYTES)
		return SESSCACHE_OK; /* another layout, not known here */
	buffers = malloc(LEVELS * walk.page_bytes);
	walk.sizes = malloc(walk.page_bytes / 2 * sizeof(*walk.sizes));
	walk.seen = calloc(1, (size_t)(pages / 8) + 1);
	if (buffers == NULL || walk.sizes == NULL || walk.seen == NULL) {
		status = sc_fail(SESSCACHE_ENOMEM, "out of memory");
	} else {
		for (i = 0; i < LEVELS; i++)
			walk.levels[i].page = buffers + i * walk.page_bytes;
		if (!verify(&walk, pages))
			status = sc_fail(SESSCACHE_ECORRUPT,
			    "it is damaged: page %llu: %s",
			    (unsigned long long)walk.bad, walk.what);
	}
	free(walk.seen);
	free(walk.sizes);
	if (buffers != NULL) /* in no core dump: see sc_host_hide() */
		explicit_bzero(buffers, LEVELS * walk.page_bytes);
	free(buffers);
	return status;
}
