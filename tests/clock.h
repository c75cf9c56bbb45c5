/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time as a test wants it: it stands still, and passes or is set when the
 * test says so, or the time of day is off by what a test says.  A program with clock.c in it has these clocks everywhere, in
 * the library and in OpenSSL too; other clocks than the time of day and the
 * time since boot go on.  In one thread at a time.
 */
#ifndef TESTS_CLOCK_H
#define TESTS_CLOCK_H

#include <stdint.h>

/* From now on time stands still; children inherit it. */
void test_clock_stop(void);

/* The same, so many seconds after the boot; the time of day does not change. */
void test_clock_boot(int64_t seconds);

/* The time of day is off by so many seconds, always those that stand there, for
 * all threads and children; they may be in memory that processes share. */
void test_clock_follow(const _Atomic int64_t *seconds);

/* It passes, by so many seconds. */
void test_clock_pass(int64_t seconds);

/* The time of day, and nothing else, is set forward, or back if negative. */
void test_clock_set(int64_t seconds);

/* Seconds since boot, on the clock that nobody sets. */
int64_t test_clock_now(void);

#endif
