/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process that starts, stops, kills and replaces all others, and knows
 * whom it stopped.
 */
#ifndef TESTS_TORTURE_ADVERSARY_H
#define TESTS_TORTURE_ADVERSARY_H

#include <stdbool.h>
#include <stdint.h>

struct torture_options {
	unsigned seconds;
	unsigned workers;
	unsigned kill_every_ms; /* on average */
	uint64_t seed;
	const char *size;
};

struct torture_deeds {
	uint64_t kills; /* at random, not those at points */
	uint64_t stops;
	uint64_t jobs;
	uint64_t jumps;       /* of the time of day */
	uint64_t standstills; /* of the whole machine */
	uint64_t rounds;      /* purges from which all began anew */
};

/* Until the time is over and every process has ended; whether all was well. */
bool torture(const struct torture_options *options,
    struct torture_deeds *deeds);

#endif
