/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Failures on demand: a program that is linked with fail.o, as local.mk says,
 * has each call that its objects make to libc, LMDB and OpenSSL counted, and
 * can have the n-th call of one function fail as that function fails.  What
 * these libraries call within does not count.
 */
#ifndef TESTS_FAIL_H
#define TESTS_FAIL_H

#include <stdbool.h>

/* In what way: for those that have an error code at all. */
enum fail_kind {
	FAIL_MEMORY, /* ENOMEM */
	FAIL_ROOM,   /* ENOSPC, MDB_MAP_FULL */
	FAIL_DEVICE, /* EIO */
	FAIL_BYTES,  /* MDB_CORRUPTED; EACCES where it is no LMDB call */
	FAIL_KINDS,
};

enum { FAIL_MAX_CALLS = 96 };

struct fail_plan {
	int call;     /* a number below fail_calls() */
	unsigned nth; /* 1: the first */
	enum fail_kind kind;
	bool ever_after; /* and all that follow */
};

int fail_calls(void);
const char *fail_name(int call);
/* How many ways of failing it has. */
int fail_kinds(int call);

/* From now on, until fail_stop(); plan may be NULL: only count. */
void fail_start(const struct fail_plan *plan);
/* Whether one failed. */
bool fail_stop(void);
/* How often it was called between the two. */
unsigned fail_count(int call);

#endif
