/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The results as tables for people and as JSON for programs.
 */
#include <lmdb.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "sesscache.h"

#define MIB (1024.0 * 1024.0)
#define IDLE_SHARE 0.9 /* of a CPU, for a process that never waits */
#define LABEL "%-18s"

static const char *const phase_names[BENCH_PHASES] = {
	[BENCH_PHASE_LOOKUP] = "lookup",
	[BENCH_PHASE_STORE] = "store",
	[BENCH_PHASE_MIX] = "mix",
	[BENCH_PHASE_TAKE] = "take",
	[BENCH_PHASE_BESIDE] = "beside",
	[BENCH_PHASE_ALONE] = "alone",
};

static const char *const headings[BENCH_PHASES] = {
	[BENCH_PHASE_LOOKUP] = "Lookups of random live sessions",
	[BENCH_PHASE_STORE] = "Stores, cache full: each evicts",
	[BENCH_PHASE_MIX] = "90 % lookups, 10 % stores",
	[BENCH_PHASE_TAKE] = "Takes: lookup and removal in one",
};

/* How many processes did what a cell tells of. */
static unsigned
processes_of(const struct bench_options *options, size_t phase, size_t count)
{
	return phase < BENCH_PHASE_BESIDE ? options->counts[count] : 1;
}

const char *
bench_phase_name(enum bench_phase phase)
{
	return phase_names[phase];
}

/* --- text ------------------------------------------------------------------ */

static void
print_head(FILE *file, const struct bench_options *options,
    const struct bench_report *report)
{
	char model[BENCH_MODEL_BYTES];
	size_t i;

	bench_cpu_model(model);
	(void)fprintf(file, "sesscache %s, %s, LMDB %d.%d.%d; %ld CPUs, %s\n",
	    sesscache_version(), OpenSSL_version(OPENSSL_VERSION),
	    MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH,
	    sysconf(_SC_NPROCESSORS_ONLN), model);
	(void)fprintf(file,
	    "%zu records of %zu bytes, all full; median of %u rounds of "
	    "%.2g s\n",
	    options->shape.records, options->shape.record_len, options->rounds,
	    options->seconds);
	if (report->live[BENCH_OURS] > 0)
		(void)fprintf(file,
		    "sesscache with a size of %.1f MiB held %zu of them\n",
		    (double)report->size_bytes / MIB, report->live[BENCH_OURS]);
	(void)fputc('\n', file);
	for (i = 0; i < BENCH_SYSTEMS; i++)
		if (options->systems[i])
			(void)fprintf(file, "%-10s %s\n",
			    bench_systems[i]->name, bench_systems[i]->title);
	(void)fputs("\nus: the CPU's time an operation, then p50 and p99\n",
	    file);
}

static bool
phase_has(const struct bench_report *report, enum bench_phase phase,
    size_t system)
{
	bool has = false;
	size_t i;

	for (i = 0; i < BENCH_COUNTS_MAX; i++)
		has = has || report->cells[phase][i][system].measured;
	return has;
}

static void
print_rates(FILE *file, const struct bench_options *options,
    const struct bench_report *report, enum bench_phase phase, size_t system)
{
	const struct bench_cell *cell;
	size_t i;

	(void)fprintf(file, LABEL, bench_systems[system]->name);
	for (i = 0; i < options->n_counts; i++) {
		cell = &report->cells[phase][i][system];
		if (cell->measured)
			(void)fprintf(file, " %16.1f", cell->rate / 1e3);
		else
			(void)fprintf(file, " %16s", "");
	}
	(void)fputc('\n', file);
}

static void
print_ratios(FILE *file, const struct bench_options *options,
    const struct bench_report *report, enum bench_phase phase, size_t system)
{
	const struct bench_cell *cells;
	char label[64];
	double ratio;
	size_t i;

	(void)snprintf(label, sizeof label, "ours / %s",
	    bench_systems[system]->name);
	(void)fprintf(file, LABEL, label);
	for (i = 0; i < options->n_counts; i++) {
		cells = report->cells[phase][i];
		ratio = bench_ratio(&cells[BENCH_OURS], &cells[system]);
		if (ratio > 0.0)
			(void)fprintf(file, " %16.2f", ratio);
		else
			(void)fprintf(file, " %16s", "");
	}
	(void)fputc('\n', file);
}

/* p50, p99 and the CPU's time, which a busy machine does not change much. */
static void
print_times(FILE *file, const struct bench_options *options,
    const struct bench_report *report, enum bench_phase phase, size_t system)
{
	const struct bench_cell *cell;
	char label[64];
	char text[64];
	size_t i;

	(void)snprintf(label, sizeof label, "us of %s",
	    bench_systems[system]->name);
	(void)fprintf(file, LABEL, label);
	for (i = 0; i < options->n_counts; i++) {
		cell = &report->cells[phase][i][system];
		text[0] = '\0';
		if (cell->measured)
			(void)snprintf(text, sizeof text, "%.2f %.2f %.1f",
			    cell->cpu_ns / 1e3, cell->p50_ns / 1e3,
			    cell->p99_ns / 1e3);
		(void)fprintf(file, " %16s", text);
	}
	(void)fputc('\n', file);
}

static void
print_heading(FILE *file, const struct bench_options *options,
    enum bench_phase phase)
{
	size_t i;

	(void)fprintf(file, "\n%s, thousand a second\n" LABEL, headings[phase],
	    "processes");
	for (i = 0; i < options->n_counts; i++)
		(void)fprintf(file, " %16u", options->counts[i]);
	(void)fputc('\n', file);
}

static void
print_phase(FILE *file, const struct bench_options *options,
    const struct bench_report *report, enum bench_phase phase)
{
	size_t i;

	print_heading(file, options, phase);
	for (i = 0; i < BENCH_SYSTEMS; i++)
		if (phase_has(report, phase, i))
			print_rates(file, options, report, phase, i);
	for (i = 0; i < BENCH_SYSTEMS; i++)
		if (i != BENCH_OURS && phase_has(report, phase, i) &&
		    phase_has(report, phase, BENCH_OURS))
			print_ratios(file, options, report, phase, i);
	for (i = 0; i < BENCH_SYSTEMS; i++)
		if (phase_has(report, phase, i))
			print_times(file, options, report, phase, i);
}

/* How the rates of sesscache are to one another. */
static void
print_against_self(FILE *file, const struct bench_options *options,
    const struct bench_report *report)
{
	const struct bench_cell *take, *store;
	size_t one = bench_count_index(options, 1);
	size_t two = bench_count_index(options, 2);
	double ratio;
	size_t i, phase;

	(void)fputs("\nsesscache against itself\n", file);
	for (phase = 0; phase <= BENCH_PHASE_MIX; phase++) {
		ratio = 0.0;
		if (one < BENCH_COUNTS_MAX && two < BENCH_COUNTS_MAX)
			ratio =
			    bench_ratio(&report->cells[phase][two][BENCH_OURS],
				&report->cells[phase][one][BENCH_OURS]);
		if (ratio > 0.0)
			(void)fprintf(file,
			    "%s, 2 processes to one: %.2f times\n",
			    phase_names[phase], ratio);
	}
	for (i = 0; i < options->n_counts; i++) {
		take = &report->cells[BENCH_PHASE_TAKE][i][BENCH_OURS];
		store = &report->cells[BENCH_PHASE_STORE][i][BENCH_OURS];
		ratio = bench_ratio(take, store);
		if (ratio > 0.0)
			(void)fprintf(file,
			    "take to store, %u processes: %.2f times\n",
			    options->counts[i], ratio);
	}
}

static void
print_beside(FILE *file, const struct bench_report *report)
{
	const struct bench_cell *alone, *beside;
	size_t i;

	(void)fprintf(file,
	    "\nLookups of one process beside one that stores without pause\n" LABEL
	    " %12s %12s %12s %12s\n",
	    "", "alone k/s", "beside k/s", "share", "p99 us");
	for (i = 0; i < BENCH_SYSTEMS; i++) {
		alone = &report->cells[BENCH_PHASE_ALONE][0][i];
		beside = &report->cells[BENCH_PHASE_BESIDE][0][i];
		if (alone->measured && beside->measured)
			(void)fprintf(file,
			    LABEL " %12.1f %12.1f %10.0f %% %12.2f\n",
			    bench_systems[i]->name, alone->rate / 1e3,
			    beside->rate / 1e3,
			    bench_ratio(beside, alone) * 100.0,
			    beside->p99_ns / 1e3);
	}
}

static void
print_capacity(FILE *file, const struct bench_capacity *capacity)
{
	(void)fprintf(file,
	    "\nCapacity: %zu of %zu sessions of %zu bytes found in %.0f MiB "
	    "(the newest %zu without a gap):\n"
	    "%.0f a MiB, %.0f bytes each; the files were at most %llu bytes "
	    "long, on %llu bytes of disk:\n%s the size of %llu\n",
	    capacity->found, capacity->stored, capacity->record_len,
	    (double)capacity->size_bytes / MIB, capacity->newest_run,
	    (double)capacity->found * MIB / (double)capacity->size_bytes,
	    capacity->found > 0 ?
		(double)capacity->size_bytes / (double)capacity->found :
		0.0,
	    (unsigned long long)capacity->most_bytes,
	    (unsigned long long)capacity->most_blocks,
	    bench_capacity_is_bounded(capacity) ? "within" : "BEYOND",
	    (unsigned long long)capacity->size_bytes);
}

static void
print_heap(FILE *file, const struct bench_report *report,
    const struct bench_options *options)
{
	size_t one = bench_count_index(options, 1);
	const struct bench_cell *lookup, *store;
	size_t i;

	if (one == BENCH_COUNTS_MAX || !bench_heap_is_counted())
		return;
	(void)fprintf(file,
	    "\nHeap allocations, 1 process\n" LABEL " %12s %12s\n", "",
	    "a lookup", "a store");
	for (i = 0; i < BENCH_SYSTEMS; i++) {
		lookup = &report->cells[BENCH_PHASE_LOOKUP][one][i];
		store = &report->cells[BENCH_PHASE_STORE][one][i];
		if (lookup->measured && store->measured)
			(void)fprintf(file, LABEL " %12.6f %12.6f\n",
			    bench_systems[i]->name, lookup->allocations,
			    store->allocations);
	}
}

static void
print_cell_trouble(FILE *file, const char *phase, unsigned processes,
    size_t system, const struct bench_cell *cell)
{
	if (cell->misses + cell->wrong + cell->failed > 0)
		(void)fprintf(file,
		    "%s, %s, %u processes: %llu missed, %llu wrong, %llu "
		    "failed%s%s\n",
		    bench_systems[system]->name, phase, processes,
		    (unsigned long long)cell->misses,
		    (unsigned long long)cell->wrong,
		    (unsigned long long)cell->failed,
		    cell->detail[0] != '\0' ? ": " : "", cell->detail);
}

/* What should not have been: said only where there is something to say. */
static void
print_trouble(FILE *file, const struct bench_options *options,
    const struct bench_report *report)
{
	double share = bench_cpu_share(options, report);
	size_t phase, count, system;

	(void)fputc('\n', file);
	if (share > 0.0 && share < IDLE_SHARE)
		(void)fprintf(file,
		    "The machine was busy: a process that never waits had "
		    "%.0f %% of a CPU.\nRates and their ratios say little; "
		    "compare the CPU times.\n",
		    share * 100.0);
	for (phase = 0; phase < BENCH_PHASES; phase++)
		for (count = 0; count < BENCH_COUNTS_MAX; count++)
			for (system = 0; system < BENCH_SYSTEMS; system++)
				print_cell_trouble(file, phase_names[phase],
				    processes_of(options, phase, count), system,
				    &report->cells[phase][count][system]);
}

static const char *
verdict(const struct bench_target *target)
{
	const char *word = "not measured";

	if (target->measured)
		word = target->met ? "met" : "missed";
	return word;
}

static void
print_targets(FILE *file, const struct bench_target *targets)
{
	char text[32];
	size_t i;

	(void)fprintf(file, "\n%-44s %10s %10s\n", "target", "wanted",
	    "measured");
	for (i = 0; i < BENCH_TARGETS; i++) {
		text[0] = '\0';
		if (targets[i].measured)
			(void)snprintf(text, sizeof text, "%.4g",
			    targets[i].value);
		(void)fprintf(file, "%-44s %s %7g %10s  %s\n", targets[i].text,
		    targets[i].at_most ? "<=" : ">=", targets[i].wanted, text,
		    verdict(&targets[i]));
	}
}

void
bench_print_text(FILE *file, const struct bench_options *options,
    const struct bench_report *report,
    const struct bench_target targets[BENCH_TARGETS])
{
	size_t phase;

	print_head(file, options, report);
	for (phase = 0; phase < BENCH_PHASE_BESIDE; phase++)
		if (options->phases[phase])
			print_phase(file, options, report,
			    (enum bench_phase)phase);
	if (options->phases[BENCH_PHASE_BESIDE])
		print_beside(file, report);
	if (options->systems[BENCH_OURS])
		print_against_self(file, options, report);
	print_heap(file, report, options);
	if (report->capacity.measured)
		print_capacity(file, &report->capacity);
	print_trouble(file, options, report);
	print_targets(file, targets);
}

/* --- JSON ------------------------------------------------------------------ */

static void
json_string(FILE *file, const char *text)
{
	(void)fputc('"', file);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			(void)fputc('\\', file);
		if ((unsigned char)*text >= ' ')
			(void)fputc(*text, file);
	}
	(void)fputc('"', file);
}

static void
json_head(FILE *file, const struct bench_options *options,
    const struct bench_report *report)
{
	char model[BENCH_MODEL_BYTES];

	bench_cpu_model(model);
	(void)fprintf(file, "{\n  \"sesscache\": \"%s\",\n  \"openssl\": ",
	    sesscache_version());
	json_string(file, OpenSSL_version(OPENSSL_VERSION));
	(void)fprintf(file, ",\n  \"lmdb\": \"%d.%d.%d\",\n  \"cpus\": %ld,\n",
	    MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH,
	    sysconf(_SC_NPROCESSORS_ONLN));
	(void)fputs("  \"cpu_model\": ", file);
	json_string(file, model);
	(void)fprintf(file,
	    ",\n  \"records\": %zu,\n  \"record_bytes\": %zu,\n"
	    "  \"size_bytes\": %llu,\n  \"live\": %zu,\n  \"rounds\": %u,\n"
	    "  \"seconds\": %g,\n  \"cpu_share\": %.2f,\n",
	    options->shape.records, options->shape.record_len,
	    (unsigned long long)report->size_bytes, report->live[BENCH_OURS],
	    options->rounds, options->seconds,
	    bench_cpu_share(options, report));
}

static void
json_cell(FILE *file, const char *phase, unsigned processes, size_t system,
    const struct bench_cell *cell)
{
	(void)fprintf(file,
	    "    {\"test\": \"%s\", \"processes\": %u, \"system\": \"%s\", "
	    "\"per_second\": %.0f, \"slowest_round\": %.0f, "
	    "\"fastest_round\": %.0f, \"p50_us\": %.3f, \"p99_us\": %.3f, "
	    "\"cpu_us\": %.3f, ",
	    phase, processes, bench_systems[system]->name, cell->rate,
	    cell->slowest, cell->fastest, cell->p50_ns / 1e3,
	    cell->p99_ns / 1e3, cell->cpu_ns / 1e3);
	if (bench_heap_is_counted())
		(void)fprintf(file, "\"allocations\": %.6f, ",
		    cell->allocations);
	(void)fprintf(file,
	    "\"misses\": %llu, \"wrong\": %llu, \"failed\": %llu}",
	    (unsigned long long)cell->misses, (unsigned long long)cell->wrong,
	    (unsigned long long)cell->failed);
}

static void
json_cells(FILE *file, const struct bench_options *options,
    const struct bench_report *report)
{
	const struct bench_cell *cell;
	size_t phase, count, system;
	const char *comma = "";

	(void)fputs("  \"cells\": [\n", file);
	for (phase = 0; phase < BENCH_PHASES; phase++)
		for (count = 0; count < BENCH_COUNTS_MAX; count++)
			for (system = 0; system < BENCH_SYSTEMS; system++) {
				cell = &report->cells[phase][count][system];
				if (cell->measured) {
					(void)fputs(comma, file);
					comma = ",\n";
					json_cell(file, phase_names[phase],
					    processes_of(options, phase, count),
					    system, cell);
				}
			}
	(void)fputs("\n  ],\n", file);
}

static void
json_capacity(FILE *file, const struct bench_capacity *capacity)
{
	(void)fprintf(file,
	    "  \"capacity\": {\"size_bytes\": %llu, \"record_bytes\": %zu, "
	    "\"stored\": %zu, \"found\": %zu, \"newest_run\": %zu, "
	    "\"most_file_bytes\": %llu, \"most_disk_bytes\": %llu},\n",
	    (unsigned long long)capacity->size_bytes, capacity->record_len,
	    capacity->stored, capacity->found, capacity->newest_run,
	    (unsigned long long)capacity->most_bytes,
	    (unsigned long long)capacity->most_blocks);
}

static void
json_targets(FILE *file, const struct bench_target *targets)
{
	size_t i;

	(void)fputs("  \"targets\": [\n", file);
	for (i = 0; i < BENCH_TARGETS; i++) {
		(void)fputs("    {\"target\": ", file);
		json_string(file, targets[i].text);
		(void)fprintf(file,
		    ", \"unit\": \"%s\", \"%s\": %g, \"measured\": ",
		    targets[i].unit,
		    targets[i].at_most ? "at_most" : "at_least",
		    targets[i].wanted);
		if (targets[i].measured)
			(void)fprintf(file, "%.6g, \"met\": %s}",
			    targets[i].value,
			    targets[i].met ? "true" : "false");
		else
			(void)fputs("null, \"met\": null}", file);
		(void)fputs(i + 1 < BENCH_TARGETS ? ",\n" : "\n", file);
	}
	(void)fputs("  ]\n}\n", file);
}

void
bench_print_json(FILE *file, const struct bench_options *options,
    const struct bench_report *report,
    const struct bench_target targets[BENCH_TARGETS])
{
	json_head(file, options, report);
	json_cells(file, options, report);
	if (report->capacity.measured)
		json_capacity(file, &report->capacity);
	json_targets(file, targets);
}
