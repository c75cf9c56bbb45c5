/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which cells are run, and in which order: within a round the systems take
 * turns, so that a machine that is busy for a while is busy for all of them.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

/* What is in the pool when a phase begins. */
enum pool_kind { POOL_UNUSED, POOL_LIVE, POOL_NEWEST };

struct plan {
	enum bench_op op;
	enum pool_kind pool;
	bool every_count; /* false: every second number of processes */
};

static const struct plan plans[BENCH_PHASES] = {
	[BENCH_PHASE_LOOKUP] = { BENCH_LOOKUP, POOL_LIVE, true },
	[BENCH_PHASE_STORE] = { BENCH_STORE, POOL_UNUSED, true },
	[BENCH_PHASE_MIX] = { BENCH_MIX, POOL_NEWEST, true },
	[BENCH_PHASE_TAKE] = { BENCH_TAKE, POOL_UNUSED, false },
	[BENCH_PHASE_ALONE] = { BENCH_LOOKUP, POOL_NEWEST, true },
	[BENCH_PHASE_BESIDE] = { BENCH_LOOKUP, POOL_NEWEST, true },
};

/* Of what a full cache holds: those that surely live while others are stored. */
#define NEWEST_PERCENT 40

/* One system while a phase runs. */
struct entry {
	const struct bench_system *system;
	void *state;
	struct bench_pool *pool;
};

/* One cell over the rounds. */
struct tally {
	unsigned rounds;
	double rate[BENCH_ROUNDS_MAX];
	double p50_ns[BENCH_ROUNDS_MAX];
	double p99_ns[BENCH_ROUNDS_MAX];
	uint64_t operations;
	uint64_t allocations;
	uint64_t cpu_ns;
	uint64_t misses;
	uint64_t wrong;
	uint64_t failed;
	char detail[BENCH_DETAIL_BYTES];
};

typedef struct tally tally_table[BENCH_PHASES][BENCH_COUNTS_MAX][BENCH_SYSTEMS];

static void
progress(const char *what, unsigned round, unsigned rounds)
{
	if (isatty(STDERR_FILENO) != 0)
		(void)fprintf(stderr, "\r%-8s round %u of %u ", what, round + 1,
		    rounds);
}

static void
tally_add(struct tally *tally, const struct bench_outcome *outcome)
{
	tally->rate[tally->rounds] = outcome->sum.rate;
	tally->p50_ns[tally->rounds] = outcome->p50_ns;
	tally->p99_ns[tally->rounds] = outcome->p99_ns;
	tally->operations += outcome->sum.operations;
	tally->allocations += outcome->sum.allocations;
	tally->cpu_ns += outcome->sum.cpu_ns;
	tally->misses += outcome->sum.misses;
	tally->wrong += outcome->sum.wrong;
	tally->failed += outcome->sum.failed;
	if (outcome->detail[0] != '\0')
		memcpy(tally->detail, outcome->detail, sizeof tally->detail);
	tally->rounds++;
}

static void
cell_from_tally(struct bench_cell *cell, const struct tally *tally)
{
	unsigned i;

	cell->measured = tally->rounds > 0;
	cell->rate = bench_median(tally->rate, tally->rounds);
	cell->p50_ns = bench_median(tally->p50_ns, tally->rounds);
	cell->p99_ns = bench_median(tally->p99_ns, tally->rounds);
	cell->slowest = cell->rate;
	cell->fastest = cell->rate;
	for (i = 0; i < tally->rounds; i++) {
		if (tally->rate[i] < cell->slowest)
			cell->slowest = tally->rate[i];
		if (tally->rate[i] > cell->fastest)
			cell->fastest = tally->rate[i];
	}
	if (tally->operations > 0) {
		cell->allocations = (double)tally->allocations /
		    (double)tally->operations;
		cell->cpu_ns = (double)tally->cpu_ns /
		    (double)tally->operations;
	}
	cell->misses = tally->misses;
	cell->wrong = tally->wrong;
	cell->failed = tally->failed;
	memcpy(cell->detail, tally->detail, sizeof cell->detail);
}

static bool
takes_part(const struct bench_options *options, enum bench_phase phase,
    size_t index)
{
	const struct bench_system *system = bench_systems[index];
	bool part = options->systems[index];

	if (!system->stores)
		part = part && phase == BENCH_PHASE_LOOKUP;
	if (system->alternative)
		part = part && phase == BENCH_PHASE_STORE;
	return part;
}

static bool
is_live(const uint8_t *id, void *arg)
{
	const struct entry *entry = arg;
	uint8_t buf[BENCH_RECORD_MAX];
	size_t len = 0;

	return entry->system->get(entry->state, id, buf, sizeof buf, &len) ==
	    BENCH_DONE;
}

/* Store half as many again as fit, and put into the pool what is needed. */
static int
fill(struct entry *entry, const struct bench_options *options,
    enum pool_kind kind)
{
	size_t records = options->shape.records;
	size_t stored = records + records / 2;
	int rc;

	rc = entry->system->enter(entry->state);
	if (rc != 0)
		return rc;
	rc = bench_fill(entry->system, entry->state, options->shape.record_len,
	    entry->pool, stored);
	if (rc == 0 && kind == POOL_LIVE)
		bench_pool_filter(entry->pool, is_live, entry);
	if (rc == 0 && kind == POOL_NEWEST)
		bench_pool_keep_newest(entry->pool,
		    records / 100 * NEWEST_PERCENT);
	entry->system->leave(entry->state);
	if (rc == 0 && kind == POOL_LIVE && entry->system->stores &&
	    bench_pool_count(entry->pool) == stored)
		rc = bench_fail("%s: was not full after %zu sessions",
		    entry->system->name, stored);
	return rc;
}

static int
entry_open(struct entry *entry, size_t index,
    const struct bench_options *options, enum pool_kind kind)
{
	size_t records = options->shape.records;
	int rc;

	entry->system = bench_systems[index];
	entry->pool = bench_pool_new(records + records / 2);
	if (entry->pool == NULL)
		rc = bench_fail("no memory for %zu IDs", records);
	else
		rc = entry->system->make(&entry->state, &options->shape);
	if (rc == 0)
		rc = fill(entry, options, kind);
	return rc;
}

static void
entry_close(struct entry *entry)
{
	if (entry->system != NULL)
		entry->system->destroy(entry->state);
	bench_pool_free(entry->pool);
}

static int
run_cell(const struct bench_options *options, enum bench_phase phase,
    unsigned processes, const struct entry *entry, struct tally *tally)
{
	static struct bench_job job;
	static struct bench_outcome outcome;
	unsigned i;
	int rc;

	job.system = entry->system;
	job.state = entry->state;
	job.pool = entry->pool;
	job.record_len = options->shape.record_len;
	job.seconds = options->seconds;
	job.processes = processes;
	for (i = 0; i < processes; i++)
		job.ops[i] = plans[phase].op;
	if (phase == BENCH_PHASE_BESIDE)
		job.ops[1] = BENCH_FEED;
	rc = bench_run(&job, &outcome);
	if (rc == 0)
		tally_add(tally, &outcome);
	return rc;
}

/* One round with one number of processes: each system in its turn. */
static int
run_turns(const struct bench_options *options, enum bench_phase phase,
    size_t count_index, unsigned processes, const struct entry *entries,
    tally_table tallies)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < BENCH_SYSTEMS && rc == 0; i++)
		if (entries[i].state != NULL &&
		    !(entries[i].system->alternative && count_index % 2 != 0))
			rc = run_cell(options, phase, processes, &entries[i],
			    &tallies[phase][count_index][i]);
	return rc;
}

static int
run_round(const struct bench_options *options, enum bench_phase phase,
    const struct entry *entries, tally_table tallies)
{
	size_t i;
	int rc = 0;

	if (phase == BENCH_PHASE_BESIDE) {
		rc = run_turns(options, BENCH_PHASE_ALONE, 0, 1, entries,
		    tallies);
		if (rc == 0)
			rc = run_turns(options, phase, 0, 2, entries, tallies);
	} else {
		for (i = 0; i < options->n_counts && rc == 0; i++)
			if (plans[phase].every_count || i % 2 == 0)
				rc = run_turns(options, phase, i,
				    options->counts[i], entries, tallies);
	}
	return rc;
}

static int
run_phase(const struct bench_options *options, enum bench_phase phase,
    struct bench_report *report, tally_table tallies)
{
	struct entry entries[BENCH_SYSTEMS] = { 0 };
	unsigned round;
	size_t i;
	int rc = 0;

	for (i = 0; i < BENCH_SYSTEMS && rc == 0; i++) {
		if (takes_part(options, phase, i)) {
			rc = entry_open(&entries[i], i, options,
			    plans[phase].pool);
			if (rc == 0 && phase == BENCH_PHASE_LOOKUP)
				report->live[i] = bench_pool_count(
				    entries[i].pool);
		}
	}
	for (round = 0; round < options->rounds && rc == 0; round++) {
		progress(bench_phase_name(phase), round, options->rounds);
		rc = run_round(options, phase, entries, tallies);
	}
	for (i = 0; i < BENCH_SYSTEMS; i++)
		entry_close(&entries[i]);
	return rc;
}

static void
summarize(struct bench_report *report, tally_table tallies)
{
	size_t phase, count, system;

	for (phase = 0; phase < BENCH_PHASES; phase++)
		for (count = 0; count < BENCH_COUNTS_MAX; count++)
			for (system = 0; system < BENCH_SYSTEMS; system++)
				cell_from_tally(&report->cells[phase][count]
							      [system],
				    &tallies[phase][count][system]);
}

int
bench_measure(const struct bench_options *options, struct bench_report *report)
{
	struct bench_options mine = *options;
	static tally_table tallies;
	size_t phase;
	int rc = 0;

	memset(tallies, 0, sizeof tallies);
	if (mine.systems[BENCH_OURS] && mine.capacity)
		rc = bench_measure_capacity(&mine, &report->capacity);
	if (rc == 0 && mine.systems[BENCH_OURS])
		rc = bench_sesscache_calibrate(&mine.shape);
	for (phase = 0; phase < BENCH_PHASES && rc == 0; phase++)
		if (mine.phases[phase])
			rc = run_phase(&mine, (enum bench_phase)phase, report,
			    tallies);
	if (isatty(STDERR_FILENO) != 0)
		(void)fputs("\r                            \r", stderr);
	summarize(report, tallies);
	report->size_bytes = mine.shape.size_bytes;
	return rc;
}
