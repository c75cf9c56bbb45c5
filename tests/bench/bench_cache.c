/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast is the cache, beside what one would use instead?  Lookups, stores
 * into a full cache, a mix of both and takes, by one process and by several,
 * each next to its baselines in the same run; what a MiB holds; what is
 * allocated.  Exit status 0: it ran; 1: it did not, or with --strict a target
 * was missed; 2: usage.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define EXIT_USAGE 2
#define RECORDS_DEFAULT 100000
#define RECORDS_MIN 10000 /* fewer do not fill the smallest cache */
#define RECORDS_MAX 50000000
#define RECORD_LEN_DEFAULT 160 /* bytes */
#define SECONDS_DEFAULT 0.7
#define SECONDS_MAX 600.0
#define ROUNDS_DEFAULT 3
#define DIR_DEFAULT "/dev/shm"
#define SHORT_OPTIONS "b:d:hn:o:p:r:S:s:t:"

enum { OPTION_JSON = UCHAR_MAX + 1, OPTION_STRICT };

static const struct option long_options[] = {
	{ "json", required_argument, NULL, OPTION_JSON },
	{ "strict", no_argument, NULL, OPTION_STRICT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

const struct bench_system *const bench_systems[BENCH_SYSTEMS] = {
	[BENCH_OURS] = &bench_sesscache,
	[BENCH_A] = &bench_lmdb,
	[BENCH_B] = &bench_shm,
	[BENCH_C] = &bench_floor,
	[BENCH_A_FREE] = &bench_lmdb_free_ids,
	[BENCH_B_FREE] = &bench_shm_free_ids,
};

static void
print_usage(FILE *file)
{
	(void)fputs("usage: bench_cache [-h] [-b BYTES] [-d DIR] [-n RECORDS] "
		    "[-o NAME=VALUE]\n"
		    "                   [-p COUNTS] [-r ROUNDS] [-S SYSTEMS] "
		    "[-s SECONDS] [-t TESTS]\n"
		    "                   [--json FILE] [--strict]\n"
		    "  -b BYTES       of a record (160)\n"
		    "  -d DIR         where files are made (/dev/shm)\n"
		    "  -n RECORDS     that fill a cache (100000)\n"
		    "  -o NAME=VALUE  a setting of sesscache\n"
		    "  -p COUNTS      of processes (1,2,4,8)\n"
		    "  -r ROUNDS      of which the median counts (3)\n"
		    "  -S SYSTEMS     (sesscache,lmdb,shm,floor,lmdb*,shm*)\n"
		    "  -s SECONDS     a cell and round (0.7)\n"
		    "  -t TESTS       (lookup,store,mix,take,beside,capacity)\n"
		    "  --json FILE    the results for programs, too\n"
		    "  --strict       exit with 1 if a target is missed\n",
	    file);
}

/* --- options --------------------------------------------------------------- */

static int
parse_seconds(const char *text, double *out)
{
	double seconds;
	char *end;
	int rc = 0;

	seconds = strtod(text, &end);
	if (end == text || *end != '\0' ||
	    !(seconds >= 0.01 && seconds <= SECONDS_MAX))
		rc = bench_fail("-s %s: not seconds from 0.01 to %g", text,
		    SECONDS_MAX);
	else
		*out = seconds;
	return rc;
}

static int
parse_counts(char *text, struct bench_options *options)
{
	size_t number = 0;
	char *rest = NULL;
	char *word;
	int rc = 0;

	options->n_counts = 0;
	for (word = strtok_r(text, ",", &rest); word != NULL && rc == 0;
	     word = strtok_r(NULL, ",", &rest)) {
		rc = bench_number('p', word, 1, BENCH_PROCESSES_MAX, &number);
		if (rc == 0 && options->n_counts == BENCH_COUNTS_MAX)
			rc = bench_fail("-p: more than %d counts",
			    BENCH_COUNTS_MAX);
		if (rc == 0) {
			options->counts[options->n_counts] = (unsigned)number;
			options->n_counts++;
		}
	}
	if (rc == 0 && options->n_counts == 0)
		rc = bench_fail("-p: no count");
	return rc;
}

static int
parse_systems(char *text, struct bench_options *options)
{
	bool found = false;
	char *rest = NULL;
	char *word;
	int rc = 0;
	size_t i;

	memset(options->systems, 0, sizeof options->systems);
	for (word = strtok_r(text, ",", &rest); word != NULL && rc == 0;
	     word = strtok_r(NULL, ",", &rest)) {
		found = false;
		for (i = 0; i < BENCH_SYSTEMS; i++) {
			if (strcmp(word, bench_systems[i]->name) == 0) {
				options->systems[i] = true;
				found = true;
			}
		}
		if (!found)
			rc = bench_fail("-S %s: no such system", word);
	}
	return rc;
}

static int
parse_tests(char *text, struct bench_options *options)
{
	bool found = false;
	char *rest = NULL;
	size_t phase;
	char *word;
	int rc = 0;

	memset(options->phases, 0, sizeof options->phases);
	options->capacity = false;
	for (word = strtok_r(text, ",", &rest); word != NULL && rc == 0;
	     word = strtok_r(NULL, ",", &rest)) {
		found = strcmp(word, "capacity") == 0;
		options->capacity = options->capacity || found;
		for (phase = 0; phase <= BENCH_PHASE_BESIDE; phase++) {
			if (strcmp(word,
				bench_phase_name((enum bench_phase)phase)) ==
			    0) {
				options->phases[phase] = true;
				found = true;
			}
		}
		if (!found)
			rc = bench_fail("-t %s: no such test", word);
	}
	return rc;
}

static int
add_setting(const char *text, struct bench_options *options)
{
	struct bench_shape *shape = &options->shape;
	int rc = 0;

	if (shape->n_settings == BENCH_SETTINGS_MAX) {
		rc = bench_fail("-o: more than %d settings",
		    BENCH_SETTINGS_MAX);
	} else {
		shape->settings[shape->n_settings] = text;
		shape->n_settings++;
	}
	return rc;
}

static int
parse_option(int option, struct bench_options *options)
{
	struct bench_shape *shape = &options->shape;
	size_t number = options->rounds;
	int rc = 0;

	switch (option) {
	case 'b':
		rc = bench_number('b', optarg, BENCH_RECORD_MIN,
		    BENCH_RECORD_MAX, &shape->record_len);
		break;
	case 'd':
		shape->dir = optarg;
		break;
	case 'n':
		rc = bench_number('n', optarg, RECORDS_MIN, RECORDS_MAX,
		    &shape->records);
		break;
	case 'o':
		rc = add_setting(optarg, options);
		break;
	case 'p':
		rc = parse_counts(optarg, options);
		break;
	case 'r':
		rc = bench_number('r', optarg, 1, BENCH_ROUNDS_MAX, &number);
		options->rounds = (unsigned)number;
		break;
	case 'S':
		rc = parse_systems(optarg, options);
		break;
	case 's':
		rc = parse_seconds(optarg, &options->seconds);
		break;
	case 't':
		rc = parse_tests(optarg, options);
		break;
	case OPTION_JSON:
		options->json = optarg;
		break;
	case OPTION_STRICT:
		options->strict = true;
		break;
	default:
		rc = -1;
	}
	return rc;
}

static void
set_defaults(struct bench_options *options)
{
	static const unsigned counts[] = { 1, 2, 4, 8 };
	size_t i;

	memset(options, 0, sizeof *options);
	options->shape.dir = DIR_DEFAULT;
	options->shape.records = RECORDS_DEFAULT;
	options->shape.record_len = RECORD_LEN_DEFAULT;
	options->seconds = SECONDS_DEFAULT;
	options->rounds = ROUNDS_DEFAULT;
	memcpy(options->counts, counts, sizeof counts);
	options->n_counts = sizeof counts / sizeof counts[0];
	options->capacity = true;
	for (i = 0; i < BENCH_SYSTEMS; i++)
		options->systems[i] = true;
	for (i = 0; i <= BENCH_PHASE_BESIDE; i++)
		options->phases[i] = true;
}

/* --- the run --------------------------------------------------------------- */

static int
write_json(const struct bench_options *options,
    const struct bench_report *report, const struct bench_target *targets)
{
	FILE *file;
	int rc = 0;

	file = fopen(options->json, "we");
	if (file != NULL) {
		bench_print_json(file, options, report, targets);
		if (ferror(file) != 0)
			rc = -1;
		if (fclose(file) != 0)
			rc = -1;
	}
	if (file == NULL || rc != 0)
		rc = bench_fail("%s: %s", options->json, strerror(errno));
	return rc;
}

/* What must not be, however fast it is. */
static int
check_report(const struct bench_report *report)
{
	const struct bench_cell *cell;
	size_t phase, count, system;
	uint64_t lost = 0;
	uint64_t wrong = 0;
	int rc = 0;

	for (phase = 0; phase < BENCH_PHASES; phase++)
		for (count = 0; count < BENCH_COUNTS_MAX; count++)
			for (system = 0; system < BENCH_SYSTEMS; system++) {
				cell = &report->cells[phase][count][system];
				wrong += cell->wrong;
				if (phase == BENCH_PHASE_LOOKUP)
					lost += cell->misses;
			}
	if (lost > 0)
		rc = bench_fail("sessions that nothing evicted were missed");
	if (wrong > 0)
		rc = bench_fail("lookups gave other bytes than were stored");
	if (report->capacity.measured &&
	    !bench_capacity_is_bounded(&report->capacity))
		rc = bench_fail("the files were larger than the size");
	return rc;
}

static bool
is_missed(const struct bench_target *targets)
{
	bool missed = false;
	size_t i;

	for (i = 0; i < BENCH_TARGETS; i++)
		missed = missed || (targets[i].measured && !targets[i].met);
	return missed;
}

static int
run(const struct bench_options *options)
{
	struct bench_target targets[BENCH_TARGETS];
	static struct bench_report report;
	bool missed = false;
	int rc;

	rc = bench_measure(options, &report);
	if (rc == 0) {
		bench_judge(&report, options, targets);
		bench_print_text(stdout, options, &report, targets);
		missed = is_missed(targets);
		if (options->json != NULL)
			rc = write_json(options, &report, targets);
		if (check_report(&report) != 0)
			rc = -1;
		if (fflush(stdout) != 0)
			rc = -1;
	}
	return rc == 0 && !(missed && options->strict) ? EXIT_SUCCESS :
							 EXIT_FAILURE;
}

static int
run_in_dir(const char *dir, const void *arg)
{
	struct bench_options options = *(const struct bench_options *)arg;

	options.shape.dir = dir;
	return run(&options);
}

int
main(int argc, char **argv)
{
	struct bench_options options;
	int exit_status = EXIT_SUCCESS;
	bool help = false;
	int option;
	int rc = 0;

	set_defaults(&options);
	option = getopt_long(argc, argv, SHORT_OPTIONS, long_options, NULL);
	while (option != -1 && rc == 0 && !help) {
		help = option == 'h';
		if (!help)
			rc = parse_option(option, &options);
		option = getopt_long(argc, argv, SHORT_OPTIONS, long_options,
		    NULL);
	}
	if (rc == 0 && !help && optind < argc)
		rc = bench_fail("%s: not an option", argv[optind]);
	if (rc != 0) {
		print_usage(stderr);
		exit_status = EXIT_USAGE;
	} else if (help) {
		print_usage(stdout);
	} else {
		exit_status = bench_in_scratch(options.shape.dir, run_in_dir,
		    &options);
	}
	return exit_status;
}
