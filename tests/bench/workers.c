/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One cell: processes that are forked, set up and warmed, released together,
 * and counted over one common stretch of time.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define BATCH \
	16 /* operations from one look at the clock to the next;
                              the first of them is a sample of the latency */
/*
 * Sessions stored, then taken: so many that nearly all are in a tree by then,
 * and that what a removal leaves to be done later is done by the takes.
 */
#define TAKE_BATCH 4096
#define MIX_STORES 10 /* one operation of so many stores */
#define WARM_UP_NS UINT64_C(100000000)
#define NS_PER_SECOND 1e9
#define READY_TIMEOUT_MS 60000
#define READY 'r' /* what a process writes when it is set up */
#define NOT_READY 'f'
#define GRACE_SECONDS 60 /* after which a worker that hangs is killed */

/* What one process leaves behind for the one that started it. */
struct slot {
	struct bench_count count;
	struct bench_histogram latencies;
	char detail[BENCH_DETAIL_BYTES]; /* of the last failure */
};

struct board {
	uint64_t start_ns; /* of what is counted, after the warm-up */
	uint64_t end_ns;
	struct slot slots[BENCH_PROCESSES_MAX];
};

struct worker {
	const struct bench_job *job;
	enum bench_op op;
	struct slot *slot;
	uint8_t record[BENCH_RECORD_MAX];
	uint8_t found[BENCH_RECORD_MAX];
	uint8_t ids[TAKE_BATCH][BENCH_ID_LEN];
};

/* A record repeats the end of its ID, so that a wrong answer shows. */
static void
stamp(uint8_t *record, const uint8_t *id)
{
	memcpy(record, &id[BENCH_ID_LEN - BENCH_RECORD_MIN / 2],
	    BENCH_RECORD_MIN / 2);
}

static void
note(struct worker *worker, enum bench_answer answer)
{
	const struct bench_system *system = worker->job->system;

	switch (answer) {
	case BENCH_DONE:
		break;
	case BENCH_MISS:
		worker->slot->count.misses++;
		break;
	case BENCH_FAILED:
		worker->slot->count.failed++;
		if (system->detail != NULL)
			(void)snprintf(worker->slot->detail,
			    sizeof worker->slot->detail, "%s",
			    system->detail());
		break;
	}
}

static enum bench_answer
store_one(const struct bench_system *system, void *state, uint8_t *record,
    size_t record_len, uint8_t *id)
{
	enum bench_answer answer;

	answer = system->new_id(state, id);
	if (answer == BENCH_DONE) {
		stamp(record, id);
		answer = system->put(state, id, record, record_len);
	}
	return answer;
}

static void
do_store(struct worker *worker, bool feed)
{
	const struct bench_job *job = worker->job;
	uint8_t id[BENCH_ID_LEN];
	enum bench_answer answer;

	answer = store_one(job->system, job->state, worker->record,
	    job->record_len, id);
	if (answer == BENCH_DONE && feed)
		bench_pool_add(job->pool, id);
	note(worker, answer);
}

static void
check_found(struct worker *worker, const uint8_t *id, size_t len)
{
	uint8_t want[BENCH_RECORD_MIN / 2];

	stamp(want, id);
	if (len != worker->job->record_len ||
	    memcmp(worker->found, want, sizeof want) != 0)
		worker->slot->count.wrong++;
}

static void
do_lookup(struct worker *worker)
{
	const struct bench_job *job = worker->job;
	enum bench_answer answer = BENCH_FAILED;
	uint8_t id[BENCH_ID_LEN];
	size_t len = 0;

	if (bench_pool_pick(job->pool, id))
		answer = job->system->get(job->state, id, worker->found,
		    sizeof worker->found, &len);
	if (answer == BENCH_DONE)
		check_found(worker, id, len);
	note(worker, answer);
}

static void
do_one(struct worker *worker)
{
	switch (worker->op) {
	case BENCH_STORE:
		do_store(worker, false);
		break;
	case BENCH_FEED:
		do_store(worker, true);
		break;
	case BENCH_MIX:
		if (bench_random() % MIX_STORES == 0)
			do_store(worker, true);
		else
			do_lookup(worker);
		break;
	case BENCH_LOOKUP:
	case BENCH_TAKE: /* has a loop of its own */
		do_lookup(worker);
		break;
	}
}

/* Operations until the time is over; those in it are counted. */
static void
work_by_time(struct worker *worker, const struct board *board)
{
	struct bench_count *count = &worker->slot->count;
	uint64_t allocations = 0;
	uint64_t cpu_ns = 0;
	uint64_t before, now;
	bool counted;
	unsigned i;

	now = bench_now_ns();
	while (now < board->end_ns) {
		counted = now >= board->start_ns;
		if (!counted) {
			allocations = bench_heap_allocations();
			cpu_ns = bench_cpu_ns();
		}
		before = now;
		do_one(worker);
		now = bench_now_ns();
		if (counted)
			bench_histogram_add(&worker->slot->latencies,
			    now - before);
		for (i = 1; i < BATCH; i++)
			do_one(worker);
		now = bench_now_ns();
		if (counted && now <= board->end_ns)
			count->operations += BATCH;
	}
	count->allocations = bench_heap_allocations() - allocations;
	count->cpu_ns = bench_cpu_ns() - cpu_ns;
	count->rate = (double)count->operations * NS_PER_SECOND /
	    (double)(board->end_ns - board->start_ns);
}

static void
do_take(struct worker *worker, const uint8_t *id)
{
	const struct bench_job *job = worker->job;
	enum bench_answer answer;
	size_t len = 0;

	answer = job->system->take(job->state, id, worker->found,
	    sizeof worker->found, &len);
	if (answer == BENCH_DONE)
		check_found(worker, id, len);
	note(worker, answer);
}

/* Returns the time that the takes took, in ns. */
static uint64_t
take_batch(struct worker *worker, bool counted)
{
	uint64_t begun = bench_now_ns();
	uint64_t cpu_ns = bench_cpu_ns();
	uint64_t before;
	unsigned i;

	for (i = 0; i < TAKE_BATCH; i++) {
		if (counted && i % BATCH == 0) {
			before = bench_now_ns();
			do_take(worker, worker->ids[i]);
			bench_histogram_add(&worker->slot->latencies,
			    bench_now_ns() - before);
		} else {
			do_take(worker, worker->ids[i]);
		}
	}
	if (counted)
		worker->slot->count.cpu_ns += bench_cpu_ns() - cpu_ns;
	return bench_now_ns() - begun;
}

static void
work_by_takes(struct worker *worker, const struct board *board)
{
	const struct bench_job *job = worker->job;
	struct bench_count *count = &worker->slot->count;
	uint64_t spent_ns = 0;
	uint64_t now, took_ns;
	unsigned i;

	now = bench_now_ns();
	while (now < board->end_ns) {
		for (i = 0; i < TAKE_BATCH; i++)
			note(worker,
			    store_one(job->system, job->state, worker->record,
				job->record_len, worker->ids[i]));
		took_ns = take_batch(worker, now >= board->start_ns);
		spent_ns += now >= board->start_ns ? took_ns : 0;
		count->operations += now >= board->start_ns ? TAKE_BATCH : 0;
		now = bench_now_ns();
	}
	if (spent_ns > 0)
		count->rate = (double)count->operations * NS_PER_SECOND /
		    (double)spent_ns;
}

/* Be gone when the parent is, and after a while in any case. */
static void
bind_to_parent(pid_t parent, double seconds)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	(void)alarm((unsigned)seconds + GRACE_SECONDS);
}

/*
 * Each process has a processor, as far as there are enough: how the scheduler
 * spreads them for a second is not what is measured.  If that is not allowed,
 * it is measured all the same.
 */
static void
bind_to_processor(unsigned number)
{
	cpu_set_t allowed, one;
	unsigned nth;
	size_t cpu;

	if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
		return;
	nth = number % (unsigned)CPU_COUNT(&allowed);
	for (cpu = 0; cpu < CPU_SETSIZE - 1; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && nth-- == 0)
			break;
	}
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof one, &one);
}

/* One byte says whether this process is ready; the end of file says go. */
static int
wait_for_release(int ready_fd, int go_fd, bool ready)
{
	char byte = ready ? READY : NOT_READY;
	ssize_t n;

	n = write(ready_fd, &byte, 1);
	while (n == 1)
		n = read(go_fd, &byte, 1);
	return n == 0 && ready ? 0 : -1;
}

static void __attribute__((__noreturn__))
work(struct worker *worker, const struct board *board, int ready_fd, int go_fd)
{
	const struct bench_job *job = worker->job;
	int rc;

	bench_random_seed(bench_now_ns() ^ ((uint64_t)getpid() << 40));
	memset(worker->record, 'r', sizeof worker->record);
	rc = job->system->enter(job->state);
	rc = wait_for_release(ready_fd, go_fd, rc == 0);
	if (rc == 0) {
		if (worker->op == BENCH_TAKE)
			work_by_takes(worker, board);
		else
			work_by_time(worker, board);
		job->system->leave(job->state);
	}
	_exit(rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

struct pipes {
	int ready[2];
	int go[2];
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Returns how many processes were started. */
static unsigned
start(const struct bench_job *job, struct board *board, struct pipes *pipes,
    pid_t *pids)
{
	static struct worker worker; /* each child fills its own copy */
	pid_t parent = getpid();
	unsigned started = 0;
	bool going = true;

	while (going && started < job->processes) {
		pids[started] = fork();
		if (pids[started] == 0) {
			bind_to_parent(parent, job->seconds);
			bind_to_processor(started);
			close_fd(&pipes->ready[0]);
			close_fd(&pipes->go[1]);
			worker.job = job;
			worker.op = job->ops[started];
			worker.slot = &board->slots[started];
			work(&worker, board, pipes->ready[1], pipes->go[0]);
		}
		going = pids[started] > 0;
		if (going)
			started++;
	}
	return started;
}

/* Wait until so many processes are ready; the pipe ends if one is not. */
static int
wait_until_ready(int fd, unsigned processes)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	unsigned ready = 0;
	bool going = true;
	char byte;
	int n;

	while (going && ready < processes) {
		n = poll(&poller, 1, READY_TIMEOUT_MS);
		going = n > 0 && read(fd, &byte, 1) == 1 && byte == READY;
		ready++;
	}
	return going ? 0 : -1;
}

static void
release(const struct bench_job *job, struct board *board, struct pipes *pipes)
{
	board->start_ns = bench_now_ns() + WARM_UP_NS;
	board->end_ns = board->start_ns +
	    (uint64_t)(job->seconds * NS_PER_SECOND);
	close_fd(&pipes->go[1]);
}

/* Returns 0 if all ended well. */
static int
reap(const pid_t *pids, unsigned count, bool kill_them)
{
	int result = 0;
	int status;
	unsigned i;
	pid_t pid;

	for (i = 0; i < count; i++) {
		if (kill_them)
			(void)kill(pids[i], SIGKILL);
		do {
			pid = waitpid(pids[i], &status, 0);
		} while (pid < 0 && errno == EINTR);
		if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
			result = -1;
	}
	return result;
}

/* Those that do what the first does; another kind only makes the weather. */
static void
collect(const struct bench_job *job, const struct board *board,
    struct bench_outcome *out)
{
	static struct bench_histogram all;
	const struct bench_count *count;
	const struct slot *slot;
	unsigned i;

	memset(&all, 0, sizeof all);
	memset(out, 0, sizeof *out);
	for (i = 0; i < job->processes; i++) {
		slot = &board->slots[i];
		count = &slot->count;
		out->sum.failed += count->failed;
		out->sum.wrong += count->wrong;
		if (slot->detail[0] != '\0')
			memcpy(out->detail, slot->detail, sizeof out->detail);
		if (job->ops[i] == job->ops[0]) {
			out->sum.rate += count->rate;
			out->sum.operations += count->operations;
			out->sum.misses += count->misses;
			out->sum.allocations += count->allocations;
			out->sum.cpu_ns += count->cpu_ns;
			bench_histogram_merge(&all, &slot->latencies);
		}
	}
	out->p50_ns = bench_histogram_quantile(&all, 0.50);
	out->p99_ns = bench_histogram_quantile(&all, 0.99);
}

static int
run_on_board(const struct bench_job *job, struct board *board,
    struct bench_outcome *out)
{
	struct pipes pipes = { { -1, -1 }, { -1, -1 } };
	pid_t pids[BENCH_PROCESSES_MAX];
	unsigned started = 0;
	int rc = -1;

	if (pipe(pipes.ready) == 0 && pipe(pipes.go) == 0)
		started = start(job, board, &pipes, pids);
	close_fd(&pipes.ready[1]);
	close_fd(&pipes.go[0]);
	if (started == job->processes) {
		rc = wait_until_ready(pipes.ready[0], started);
		if (rc == 0)
			release(job, board, &pipes);
	}
	if (reap(pids, started, rc != 0) != 0)
		rc = bench_fail("%s: a process of the benchmark failed",
		    job->system->name);
	if (rc == 0)
		collect(job, board, out);
	close_fd(&pipes.ready[0]);
	close_fd(&pipes.go[1]);
	return rc;
}

int
bench_run(const struct bench_job *job, struct bench_outcome *out)
{
	struct board *board = NULL;
	int rc;

	board = bench_shared_alloc(sizeof *board);
	if (board == NULL || job->processes > BENCH_PROCESSES_MAX)
		rc = bench_fail("no memory for %u processes", job->processes);
	else
		rc = run_on_board(job, board, out);
	bench_shared_free(board, sizeof *board);
	return rc;
}

int
bench_fill(const struct bench_system *system, void *state, size_t record_len,
    struct bench_pool *pool, size_t count)
{
	uint8_t record[BENCH_RECORD_MAX];
	enum bench_answer answer = BENCH_DONE;
	uint8_t id[BENCH_ID_LEN];
	size_t i;

	memset(record, 'r', sizeof record);
	for (i = 0; i < count && answer == BENCH_DONE; i++) {
		answer = store_one(system, state, record, record_len, id);
		if (answer == BENCH_DONE)
			bench_pool_add(pool, id);
	}
	return answer == BENCH_DONE ?
	    0 :
	    bench_fail("%s: cannot be filled: %s", system->name,
		system->detail != NULL ? system->detail() : "");
}
