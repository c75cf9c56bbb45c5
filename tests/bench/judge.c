/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library must reach, and whether it did.
 */
#include <string.h>

#include "bench.h"

#define MIB (1024.0 * 1024.0)
#define NS_PER_SECOND 1e9
/*
 * None, but that OpenSSL's random generator allocates where it seeds itself
 * anew, once in 65,536 calls.
 */
#define NO_ALLOCATIONS 0.0001

enum {
	STORE_LMDB,
	STORE_SHM,
	LOOKUP_SHM_2,
	LOOKUP_SHM_4,
	LOOKUP_SCALES,
	LOOKUP_BESIDE,
	TAKE_1,
	TAKE_4,
	CAPACITY,
	HEAP_LOOKUP,
	HEAP_STORE,
};

static const struct bench_target table[BENCH_TARGETS] = {
	[STORE_LMDB] = { .text = "store, full, 1 process: sesscache to lmdb",
	    .unit = "times",
	    .wanted = 2.0 },
	[STORE_SHM] = { .text = "store, full, 4 processes: sesscache to shm",
	    .unit = "times",
	    .wanted = 0.8 },
	[LOOKUP_SHM_2] = { .text = "lookup, 2 processes: sesscache to shm",
	    .unit = "times",
	    .wanted = 1.0 },
	[LOOKUP_SHM_4] = { .text = "lookup, 4 processes: sesscache to shm",
	    .unit = "times",
	    .wanted = 1.0 },
	[LOOKUP_SCALES] = { .text = "lookup: 2 processes to one",
	    .unit = "times",
	    .wanted = 1.7 },
	[LOOKUP_BESIDE] = { .text = "lookup beside a storer, of its rate alone",
	    .unit = "times",
	    .wanted = 0.7 },
	[TAKE_1] = { .text = "take, 1 process: its time to a store's",
	    .unit = "times",
	    .wanted = 2.0,
	    .at_most = true },
	[TAKE_4] = { .text = "take, 4 processes: its time to a store's",
	    .unit = "times",
	    .wanted = 2.0,
	    .at_most = true },
	[CAPACITY] = { .text = "sessions of 130 bytes a MiB, size 16M",
	    .unit = "sessions",
	    .wanted = 5000.0 },
	[HEAP_LOOKUP] = { .text = "heap allocations a lookup",
	    .unit = "allocations",
	    .wanted = NO_ALLOCATIONS,
	    .at_most = true },
	[HEAP_STORE] = { .text = "heap allocations a store",
	    .unit = "allocations",
	    .wanted = NO_ALLOCATIONS,
	    .at_most = true },
};

size_t
bench_count_index(const struct bench_options *options, unsigned processes)
{
	size_t found = BENCH_COUNTS_MAX;
	size_t i;

	for (i = 0; i < options->n_counts; i++)
		if (options->counts[i] == processes)
			found = i;
	return found;
}

double
bench_ratio(const struct bench_cell *cell, const struct bench_cell *other)
{
	double ratio = 0.0;

	if (cell->measured && other->measured && other->rate > 0.0)
		ratio = cell->rate / other->rate;
	return ratio;
}

double
bench_cpu_share(const struct bench_options *options,
    const struct bench_report *report)
{
	size_t one = bench_count_index(options, 1);
	const struct bench_cell *cell;
	double share = 0.0;
	unsigned n = 0;
	size_t i;

	for (i = 0; i < BENCH_SYSTEMS && one < BENCH_COUNTS_MAX; i++) {
		cell = &report->cells[BENCH_PHASE_LOOKUP][one][i];
		if (cell->measured) {
			share += cell->rate * cell->cpu_ns / NS_PER_SECOND;
			n++;
		}
	}
	return n > 0 ? share / n : 0.0;
}

static void
set(struct bench_target *target, bool measured, double value)
{
	target->measured = measured;
	target->value = value;
	if (target->at_most)
		target->met = measured && value <= target->wanted;
	else
		target->met = measured && value >= target->wanted;
}

static void
set_ratio(struct bench_target *target, const struct bench_cell *cell,
    const struct bench_cell *other)
{
	set(target, cell->measured && other->measured,
	    bench_ratio(cell, other));
}

/* A cell that was not run, for numbers of processes that were not asked for. */
static const struct bench_cell *
cell_of(const struct bench_report *report, const struct bench_options *options,
    enum bench_phase phase, unsigned processes, size_t system)
{
	static const struct bench_cell not_run;
	size_t index = bench_count_index(options, processes);
	const struct bench_cell *cell = &not_run;

	if (index < BENCH_COUNTS_MAX)
		cell = &report->cells[phase][index][system];
	return cell;
}

/* In time, not in rates: what takes twice as long has half the rate. */
static void
judge_take(struct bench_target *target, const struct bench_report *report,
    const struct bench_options *options, unsigned processes)
{
	double ratio = bench_ratio(cell_of(report, options, BENCH_PHASE_STORE,
				       processes, BENCH_OURS),
	    cell_of(report, options, BENCH_PHASE_TAKE, processes, BENCH_OURS));

	set(target, ratio > 0.0, ratio);
}

static void
judge_rates(const struct bench_report *report,
    const struct bench_options *options, struct bench_target *targets)
{
	const struct bench_cell *lookup[3]; /* by 1, 2 and 4 processes */
	unsigned i;

	for (i = 0; i < 3; i++)
		lookup[i] = cell_of(report, options, BENCH_PHASE_LOOKUP,
		    1U << i, BENCH_OURS);
	set_ratio(&targets[STORE_LMDB],
	    cell_of(report, options, BENCH_PHASE_STORE, 1, BENCH_OURS),
	    cell_of(report, options, BENCH_PHASE_STORE, 1, BENCH_A));
	set_ratio(&targets[STORE_SHM],
	    cell_of(report, options, BENCH_PHASE_STORE, 4, BENCH_OURS),
	    cell_of(report, options, BENCH_PHASE_STORE, 4, BENCH_B));
	set_ratio(&targets[LOOKUP_SHM_2], lookup[1],
	    cell_of(report, options, BENCH_PHASE_LOOKUP, 2, BENCH_B));
	set_ratio(&targets[LOOKUP_SHM_4], lookup[2],
	    cell_of(report, options, BENCH_PHASE_LOOKUP, 4, BENCH_B));
	set_ratio(&targets[LOOKUP_SCALES], lookup[1], lookup[0]);
	judge_take(&targets[TAKE_1], report, options, 1);
	judge_take(&targets[TAKE_4], report, options, 4);
	set_ratio(&targets[LOOKUP_BESIDE],
	    &report->cells[BENCH_PHASE_BESIDE][0][BENCH_OURS],
	    &report->cells[BENCH_PHASE_ALONE][0][BENCH_OURS]);
}

void
bench_judge(const struct bench_report *report,
    const struct bench_options *options,
    struct bench_target targets[BENCH_TARGETS])
{
	const struct bench_capacity *capacity = &report->capacity;
	const struct bench_cell *lookup, *store;
	bool counted = bench_heap_is_counted();

	memcpy(targets, table, sizeof table);
	judge_rates(report, options, targets);
	if (capacity->measured)
		set(&targets[CAPACITY], true,
		    (double)capacity->found * MIB /
			(double)capacity->size_bytes);
	lookup = cell_of(report, options, BENCH_PHASE_LOOKUP, 1, BENCH_OURS);
	store = cell_of(report, options, BENCH_PHASE_STORE, 1, BENCH_OURS);
	set(&targets[HEAP_LOOKUP], lookup->measured && counted,
	    lookup->allocations);
	set(&targets[HEAP_STORE], store->measured && counted,
	    store->allocations);
}
