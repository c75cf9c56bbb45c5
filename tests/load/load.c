/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load client: many TLS clients that come back.  It remembers a session for
 * each of them, offers it on the next visit, and counts what the server made
 * of it.  Knows the pages of examples/prefork.c, from which it learns which
 * worker answered; needs no sesscache.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#define CONNECTION_MS 30000 /* a connection may take */
#define TICKETS 4           /* sessions that a client holds at most */
#define ANSWER_MAX 16384
#define ERRORS_SHOWN 5
#define WORKERS_MAX 1024

enum { USAGE = 2 };

struct options {
	const char *host;
	const char *port;
	const char *name; /* SNI; NULL: none */
	const char *cert; /* of the client; NULL: none */
	const char *key;
	const char *save; /* keep the sessions in FILE.0, FILE.1, ... */
	const char *load; /* begin with those */
	int version;      /* TLS1_2_VERSION, ...; 0: any */
	unsigned clients;
	unsigned visits;   /* connections of each client */
	unsigned burst;    /* more connections at once after each first */
	unsigned jobs;     /* processes */
	unsigned parallel; /* visits at once in a process */
	unsigned seed;
	bool eager;    /* burst as soon as there is a session */
	bool no_offer; /* offer no session */
	bool server_stats;
	bool json;
};

/* What is counted; crosses a pipe from each job to the parent. */
struct result {
	uint64_t connections;
	uint64_t failed;
	uint64_t offered; /* of the connections that did not fail */
	uint64_t resumed;
	uint64_t stateless; /* offered, with the session in the ticket */
	uint64_t moved;     /* offered to another worker than the last one */
	uint64_t differ;    /* the page says otherwise than our own OpenSSL */
	uint64_t cpu_us;    /* of the clients */
	uint8_t seen[WORKERS_MAX / 8]; /* workers that answered, one bit each */
};

struct client {
	SSL_SESSION *sessions[TICKETS]; /* newest first; then NULL */
	uint8_t used;                   /* one bit for each */
	int worker;                     /* that answered last; -1: none yet */
};

enum stage { FREE, CONNECTING, HANDSHAKE, REQUEST, RESPONSE, CLOSING };

/* What a step on a connection came to. */
enum progress { GO_ON, WAIT, DONE, FAILED };

struct conn {
	SSL *ssl;
	int fd;
	enum stage stage;
	short events; /* waited for */
	int64_t deadline_ms;
	struct client *client;
	int last_worker; /* of the client, when this began */
	bool offered;
	bool stateless;
	bool burst_due; /* this one's answer is followed by a burst */
	char answer[ANSWER_MAX];
	size_t answer_len;
};

/* One process at work. */
struct job {
	const struct options *options;
	const struct addrinfo *address;
	const char *path;
	SSL_CTX *ctx;
	struct client *clients;
	unsigned clients_len;
	struct conn *conns;
	struct pollfd *pollfds;
	unsigned conns_len;
	unsigned busy;     /* connections */
	unsigned promised; /* more, of bursts that have not begun */
	uint64_t random;
	struct result result;
	char last_answer[ANSWER_MAX];
};

static int64_t
now_us(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
now_ms(void)
{
	return now_us() / 1000;
}

/* xorshift64: good enough to shuffle, and the same on each run. */
static uint64_t
next_random(struct job *job)
{
	job->random ^= job->random << 13;
	job->random ^= job->random >> 7;
	job->random ^= job->random << 17;
	return job->random;
}

/* --- the sessions of a client ---------------------------------------------- */

/* Takes the session; the oldest one goes if there is no room. */
static void
remember(struct client *client, SSL_SESSION *session)
{
	unsigned i;

	SSL_SESSION_free(client->sessions[TICKETS - 1]);
	for (i = TICKETS - 1; i > 0; i--)
		client->sessions[i] = client->sessions[i - 1];
	client->sessions[0] = session;
	client->used = (uint8_t)(client->used << 1);
}

/*
 * A copy of the newest that was not offered yet, or else of the newest; NULL
 * if there is none.  OpenSSL spoils a TLS 1.3 session when a handshake with
 * it is over, even if others are just about to offer it.
 */
static SSL_SESSION *
choose(struct client *client)
{
	SSL_SESSION *copy = NULL;
	unsigned i = 0;

	while (i < TICKETS && client->sessions[i] != NULL &&
	    (client->used >> i & 1) != 0)
		i++;
	if (i == TICKETS || client->sessions[i] == NULL)
		i = 0;
	client->used = (uint8_t)(client->used | 1 << i);
	if (client->sessions[i] != NULL)
		copy = SSL_SESSION_dup(client->sessions[i]);
	return copy;
}

static void
forget(struct client *client)
{
	unsigned i;

	for (i = 0; i < TICKETS; i++)
		SSL_SESSION_free(client->sessions[i]);
}

/* OpenSSL has a session: after a TLS 1.2 handshake, or a TLS 1.3 ticket. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct conn *c = SSL_get_app_data(ssl);

	remember(c->client, session);
	return 1; /* ours now */
}

/* --- one connection --------------------------------------------------------- */

static enum progress
tls_progress(struct conn *c, int rc)
{
	enum progress progress = WAIT;

	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		c->events = POLLIN;
		break;
	case SSL_ERROR_WANT_WRITE:
		c->events = POLLOUT;
		break;
	default:
		progress = FAILED;
		break;
	}
	return progress;
}

static enum progress
finish_connect(struct conn *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };
	enum progress progress = FAILED;
	socklen_t len = sizeof(int);
	int error = 0;

	c->events = POLLOUT;
	if (poll(&pfd, 1, 0) == 0) {
		progress = WAIT;
	} else if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
	    error == 0) {
		c->stage = HANDSHAKE;
		progress = GO_ON;
	} else {
		errno = error;
	}
	return progress;
}

static enum progress
do_handshake(struct conn *c)
{
	enum progress progress = GO_ON;
	int rc;

	ERR_clear_error();
	rc = SSL_connect(c->ssl);
	if (rc == 1)
		c->stage = REQUEST;
	else
		progress = tls_progress(c, rc);
	return progress;
}

static enum progress
send_request(const struct job *job, struct conn *c)
{
	enum progress progress = GO_ON;
	char request[256];
	int rc, len;

	len = snprintf(request, sizeof(request),
	    "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", job->path);
	ERR_clear_error();
	rc = SSL_write(c->ssl, request, len);
	if (rc > 0)
		c->stage = RESPONSE;
	else
		progress = tls_progress(c, rc);
	return progress;
}

static enum progress
read_response(struct conn *c)
{
	size_t room = sizeof(c->answer) - 1 - c->answer_len;
	enum progress progress = GO_ON;
	int rc;

	ERR_clear_error();
	rc = SSL_read(c->ssl, c->answer + c->answer_len, (int)room);
	if (rc > 0) {
		c->answer_len += (size_t)rc;
	} else if (SSL_get_error(c->ssl, rc) == SSL_ERROR_ZERO_RETURN) {
		(void)SSL_shutdown(c->ssl);
		c->stage = CLOSING;
	} else {
		progress = tls_progress(c, rc);
	}
	c->answer[c->answer_len] = '\0';
	return progress;
}

/*
 * Let the server close first: it keeps the TIME_WAIT then, and the ports on
 * our side do not run out.
 */
static enum progress
wait_for_close(struct conn *c)
{
	enum progress progress = DONE;
	char byte;

	if (recv(c->fd, &byte, 1, 0) < 0 &&
	    (errno == EAGAIN || errno == EINTR)) {
		c->events = POLLIN;
		progress = WAIT;
	}
	return progress;
}

static enum progress
step(const struct job *job, struct conn *c)
{
	enum progress progress = FAILED;

	switch (c->stage) {
	case FREE:
		break;
	case CONNECTING:
		progress = finish_connect(c);
		break;
	case HANDSHAKE:
		progress = do_handshake(c);
		break;
	case REQUEST:
		progress = send_request(job, c);
		break;
	case RESPONSE:
		progress = read_response(c);
		break;
	case CLOSING:
		progress = wait_for_close(c);
		break;
	}
	return progress;
}

/* The number after "name: " in an answer, or -1. */
static long long
number_in(const char *answer, const char *name)
{
	const char *at = strstr(answer, name);
	long long number = -1;

	if (at != NULL)
		number = strtoll(at + strlen(name), NULL, 10);
	return number;
}

static void
count_answer(struct job *job, struct conn *c)
{
	struct result *result = &job->result;
	bool resumed = SSL_session_reused(c->ssl) == 1;
	long long worker = number_in(c->answer, "\nworker: ");

	if (c->offered) {
		result->offered++;
		result->stateless += c->stateless;
	}
	if (resumed)
		result->resumed++;
	if (strstr(c->answer, resumed ? "\nresumed: no" : "\nresumed: yes") !=
	    NULL)
		result->differ++;
	if (worker < 0 || worker >= WORKERS_MAX)
		return;
	result->seen[worker / 8] |= (uint8_t)(1 << worker % 8);
	if (c->offered && c->last_worker >= 0 && c->last_worker != worker)
		result->moved++;
	c->client->worker = (int)worker;
}

static void
tell_failure(const struct job *job, const struct conn *c)
{
	static const char *const stages[] = { "start", "connect", "handshake",
		"request", "response", "close" };
	unsigned long error = ERR_peek_error();
	int saved = errno;

	if (job->result.failed > ERRORS_SHOWN)
		return;
	fprintf(stderr, "load: %s failed: %s\n", stages[c->stage],
	    error != 0                     ? ERR_reason_error_string(error) :
		now_ms() >= c->deadline_ms ? "too slow" :
					     strerror(saved));
}

static void
end_connection(struct job *job, struct conn *c, bool fine)
{
	if (fine && strncmp(c->answer, "HTTP/1.1 200", 12) == 0) {
		count_answer(job, c);
	} else {
		job->result.failed++;
		tell_failure(job, c);
	}
	memcpy(job->last_answer, c->answer, c->answer_len + 1);
	SSL_free(c->ssl);
	ERR_clear_error();
	close(c->fd);
	c->stage = FREE;
	job->busy--;
}

static int
open_socket(const struct addrinfo *address)
{
	const int on = 1;
	int fd;

	fd = socket(address->ai_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (connect(fd, address->ai_addr, address->ai_addrlen) != 0 &&
		    errno != EINPROGRESS) {
			close(fd);
			fd = -1;
		}
	}
	return fd;
}

static struct conn *
free_conn(struct job *job)
{
	unsigned i = 0;

	while (i < job->conns_len && job->conns[i].stage != FREE)
		i++;
	return i < job->conns_len ? &job->conns[i] : NULL;
}

/* What is longer than a session ID holds the session itself. */
static bool
is_stateless(const SSL_SESSION *session)
{
	const unsigned char *ticket = NULL;
	size_t len = 0;

	if (session != NULL)
		SSL_SESSION_get0_ticket(session, &ticket, &len);
	return len > SSL_MAX_SSL_SESSION_ID_LENGTH;
}

/* Begin a connection; the caller has seen to it that one is free. */
static struct conn *
begin(struct job *job, struct client *client)
{
	const struct options *options = job->options;
	struct conn *c = free_conn(job);
	SSL_SESSION *session = options->no_offer ? NULL : choose(client);

	c->client = client;
	c->last_worker = client->worker;
	c->offered = session != NULL && SSL_SESSION_is_resumable(session) == 1;
	c->stateless = is_stateless(session);
	c->burst_due = false;
	c->answer_len = 0;
	c->answer[0] = '\0';
	c->events = POLLOUT;
	c->deadline_ms = now_ms() + CONNECTION_MS;
	c->stage = CONNECTING;
	job->busy++;
	job->result.connections++;
	c->fd = open_socket(job->address);
	c->ssl = SSL_new(job->ctx);
	if (c->ssl == NULL || c->fd < 0 || SSL_set_fd(c->ssl, c->fd) != 1 ||
	    (session != NULL && SSL_set_session(c->ssl, session) != 1) ||
	    (options->name != NULL &&
		SSL_set_tlsext_host_name(c->ssl, options->name) != 1))
		end_connection(job, c, false);
	else
		SSL_set_app_data(c->ssl, c);
	SSL_SESSION_free(session); /* the connection has its own reference */
	return c;
}

/* The burst that was promised to a client begins, or never will. */
static void
settle_burst(struct job *job, struct client *client, bool wanted)
{
	unsigned i;

	job->promised -= job->options->burst;
	for (i = 0; wanted && i < job->options->burst; i++)
		(void)begin(job, client);
}

/* The connection ends, and what was to follow it follows. */
static void
finish(struct job *job, struct conn *c, bool fine)
{
	struct client *client = c->client;
	bool burst_due = c->burst_due;

	end_connection(job, c, fine);
	if (burst_due)
		settle_burst(job, client, fine);
}

/* As far as it goes without waiting. */
static void
advance(struct job *job, struct conn *c)
{
	bool eager = job->options->eager;
	enum progress progress;

	do {
		progress = step(job, c);
		/*
		 * A browser that has a session opens more connections with
		 * it, some after the first answer, some before.
		 */
		if (c->burst_due && eager && c->client->sessions[0] != NULL) {
			c->burst_due = false;
			settle_burst(job, c->client, true);
		}
	} while (progress == GO_ON);
	if (progress != WAIT)
		finish(job, c, progress == DONE);
}

/* --- one job ---------------------------------------------------------------- */

static void
wait_and_advance(struct job *job)
{
	struct conn *c;
	unsigned i;

	for (i = 0; i < job->conns_len; i++) {
		c = &job->conns[i];
		job->pollfds[i] = (struct pollfd){ .fd = c->stage == FREE ?
			    -1 :
			    c->fd,
			.events = c->events };
	}
	(void)poll(job->pollfds, job->conns_len, 1000);
	for (i = 0; i < job->conns_len; i++) {
		c = &job->conns[i];
		if (job->pollfds[i].revents != 0)
			advance(job, c);
		else if (c->stage != FREE && now_ms() >= c->deadline_ms)
			finish(job, c, false);
	}
}

/* Every client comes once, in this order. */
static void
visit(struct job *job, const unsigned *order, bool burst)
{
	unsigned next = 0, more = burst ? job->options->burst : 0;
	unsigned at_once = job->options->parallel * (1 + more);
	struct conn *c;

	while (next < job->clients_len || job->busy > 0) {
		while (next < job->clients_len &&
		    job->busy + job->promised + 1 + more <= at_once) {
			c = begin(job, &job->clients[order[next++]]);
			c->burst_due = burst && c->stage != FREE;
			if (c->burst_due)
				job->promised += more;
		}
		wait_and_advance(job);
	}
}

/* Fisher and Yates. */
static void
shuffle(struct job *job, unsigned *order)
{
	unsigned i, j, swap;

	for (i = job->clients_len; i > 1; i--) {
		j = (unsigned)(next_random(job) % i);
		swap = order[i - 1];
		order[i - 1] = order[j];
		order[j] = swap;
	}
}

/* "FILE.3"; false if it has no room. */
static bool
file_name(char *out, size_t size, const char *file, unsigned index)
{
	int len = snprintf(out, size, "%s.%u", file, index);

	return len > 0 && (size_t)len < size;
}

static bool
load_sessions(struct job *job, unsigned index)
{
	char name[4096];
	SSL_SESSION *session;
	FILE *file = NULL;
	unsigned i;
	bool done = false;

	if (!file_name(name, sizeof(name), job->options->load, index))
		goto out;
	file = fopen(name, "r");
	if (file == NULL) {
		fprintf(stderr, "load: %s: %s\n", name, strerror(errno));
		goto out;
	}
	for (i = 0; i < job->clients_len; i++) {
		session = PEM_read_SSL_SESSION(file, NULL, NULL, NULL);
		if (session == NULL)
			break;
		remember(&job->clients[i], session);
	}
	ERR_clear_error();
	done = true;
out:
	if (file != NULL)
		fclose(file);
	return done;
}

static bool
save_sessions(const struct job *job, unsigned index)
{
	char name[4096];
	FILE *file = NULL;
	unsigned i;
	bool done = false;

	if (!file_name(name, sizeof(name), job->options->save, index))
		goto out;
	file = fopen(name, "w");
	done = file != NULL;
	for (i = 0; done && i < job->clients_len; i++) {
		if (job->clients[i].sessions[0] != NULL)
			done = PEM_write_SSL_SESSION(file,
				   job->clients[i].sessions[0]) == 1;
	}
	if (file != NULL && fclose(file) != 0)
		done = false;
	if (!done)
		fprintf(stderr, "load: %s: %s\n", name, strerror(errno));
out:
	return done;
}

static void
job_close(struct job *job)
{
	unsigned i;

	for (i = 0; job->clients != NULL && i < job->clients_len; i++)
		forget(&job->clients[i]);
	free(job->clients);
	free(job->conns);
	free(job->pollfds);
	SSL_CTX_free(job->ctx);
}

static SSL_CTX *
make_context(const struct options *options)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool done;

	done = ctx != NULL &&
	    SSL_CTX_set_min_proto_version(ctx, options->version) == 1 &&
	    SSL_CTX_set_max_proto_version(ctx, options->version) == 1 &&
	    (options->cert == NULL ||
		(SSL_CTX_use_certificate_chain_file(ctx, options->cert) == 1 &&
		    SSL_CTX_use_PrivateKey_file(ctx, options->key,
			SSL_FILETYPE_PEM) == 1));
	if (done) {
		SSL_CTX_set_session_cache_mode(ctx,
		    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, on_session);
	} else {
		ERR_print_errors_fp(stderr);
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

static bool
job_open(struct job *job, unsigned clients_len)
{
	const struct options *options = job->options;
	unsigned i;
	bool done;

	job->clients_len = clients_len;
	job->conns_len = options->parallel * (1 + options->burst);
	job->clients = calloc(clients_len, sizeof(struct client));
	job->conns = calloc(job->conns_len, sizeof(struct conn));
	job->pollfds = calloc(job->conns_len, sizeof(struct pollfd));
	job->ctx = make_context(options);
	done = job->clients != NULL && job->conns != NULL &&
	    job->pollfds != NULL && job->ctx != NULL;
	for (i = 0; done && i < clients_len; i++)
		job->clients[i].worker = -1;
	return done;
}

static uint64_t
cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) *
	    1000000 +
	    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* The clients whose turn is in this job. */
static unsigned
share(const struct options *options, unsigned index)
{
	return options->clients / options->jobs +
	    (index < options->clients % options->jobs ? 1 : 0);
}

static bool
do_visits(struct job *job, unsigned index)
{
	const struct options *options = job->options;
	unsigned *order = calloc(job->clients_len, sizeof(*order));
	bool done = order != NULL &&
	    (options->load == NULL || load_sessions(job, index));
	unsigned i;

	for (i = 0; done && i < job->clients_len; i++)
		order[i] = i;
	for (i = 0; done && i < options->visits; i++) {
		visit(job, order, i == 0 && options->burst > 0);
		shuffle(job, order);
	}
	if (done && options->save != NULL)
		done = save_sessions(job, index);
	free(order);
	return done;
}

static bool
run_job(struct result *out, const struct options *options,
    const struct addrinfo *address, unsigned index)
{
	struct job job = { .options = options,
		.address = address,
		.path = "/",
		.random = ((uint64_t)options->seed << 32) + index + 1 };
	bool done = job_open(&job, share(options, index)) &&
	    do_visits(&job, index);

	job.result.cpu_us = cpu_us();
	*out = job.result;
	job_close(&job);
	return done;
}

/* --- all of it -------------------------------------------------------------- */

static void
add_result(struct result *sum, const struct result *one)
{
	size_t i;

	sum->connections += one->connections;
	sum->failed += one->failed;
	sum->offered += one->offered;
	sum->resumed += one->resumed;
	sum->stateless += one->stateless;
	sum->moved += one->moved;
	sum->differ += one->differ;
	sum->cpu_us += one->cpu_us;
	for (i = 0; i < sizeof(sum->seen); i++)
		sum->seen[i] |= one->seen[i];
}

/* Runs in a child; the result is small enough to fit into the pipe. */
static int
child_job(int out_fd, const struct options *options,
    const struct addrinfo *address, unsigned index)
{
	struct result result;
	bool done = run_job(&result, options, address, index);

	if (done)
		done = write(out_fd, &result, sizeof(result)) ==
		    (ssize_t)sizeof(result);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool
start_jobs(int out_fd, const struct options *options,
    const struct addrinfo *address)
{
	bool done = true;
	unsigned i;
	pid_t pid;

	for (i = 0; done && i < options->jobs; i++) {
		pid = fork();
		if (pid == 0)
			exit(child_job(out_fd, options, address, i));
		if (pid < 0) {
			fprintf(stderr, "load: fork: %s\n", strerror(errno));
			done = false;
		}
	}
	return done;
}

static bool
run_jobs(struct result *sum, const struct options *options,
    const struct addrinfo *address)
{
	struct result one;
	int fds[2], status;
	bool done;

	done = pipe(fds) == 0;
	if (!done) {
		fprintf(stderr, "load: pipe: %s\n", strerror(errno));
		goto out;
	}
	done = start_jobs(fds[1], options, address);
	close(fds[1]);
	while (read(fds[0], &one, sizeof(one)) == (ssize_t)sizeof(one))
		add_result(sum, &one);
	while (wait(&status) > 0)
		done = done && status == 0;
	close(fds[0]);
out:
	return done;
}

/* What the server has spent so far; all 0 if it does not say. */
struct server_stats {
	long long full;
	long long full_cpu_us;
	long long resumed;
	long long resumed_cpu_us;
};

static bool
fetch_stats(struct server_stats *out, const struct options *options,
    const struct addrinfo *address)
{
	struct options one = *options;
	struct job job = { .options = &one,
		.address = address,
		.path = "/stats" };
	unsigned order = 0;
	bool done;

	one.burst = 0;
	one.parallel = 1;
	done = job_open(&job, 1);
	if (done) {
		visit(&job, &order, false);
		out->full = number_in(job.last_answer, "\nfull: ");
		out->full_cpu_us = number_in(job.last_answer,
		    "\nfull-cpu-us: ");
		out->resumed = number_in(job.last_answer, "\nresumed: ");
		out->resumed_cpu_us = number_in(job.last_answer,
		    "\nresumed-cpu-us: ");
		done = job.result.failed == 0 && out->resumed_cpu_us >= 0;
	}
	if (!done)
		fprintf(stderr, "load: the server has no /stats\n");
	job_close(&job);
	return done;
}

static double
ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static unsigned
count_seen(const struct result *result)
{
	unsigned count = 0, i;

	for (i = 0; i < WORKERS_MAX; i++)
		count += result->seen[i / 8] >> i % 8 & 1;
	return count;
}

static void
print_result(const struct options *options, const struct result *r,
    const struct server_stats *before, const struct server_stats *after,
    double seconds)
{
	const char *begin_with = options->json ? "{\"" : "";
	const char *is = options->json ? "\":" : "=";
	const char *then = options->json ? ",\"" : " ";

	printf("%sconnections%s%" PRIu64 "%sfailed%s%" PRIu64, begin_with, is,
	    r->connections, then, is, r->failed);
	printf("%soffered%s%" PRIu64 "%sresumed%s%" PRIu64, then, is,
	    r->offered, then, is, r->resumed);
	printf("%sstateless%s%" PRIu64, then, is, r->stateless);
	printf("%spercent%s%.2f%smoved%s%" PRIu64, then, is,
	    100 * ratio((double)r->resumed, (double)r->offered), then, is,
	    r->moved);
	printf("%sdiffer%s%" PRIu64 "%sworkers%s%u", then, is, r->differ, then,
	    is, count_seen(r));
	printf("%sseconds%s%.2f%sclient_cpu_seconds%s%.2f", then, is, seconds,
	    then, is, (double)r->cpu_us / 1e6);
	if (options->server_stats)
		printf("%sfull_cpu_us%s%.1f%sresumed_cpu_us%s%.1f", then, is,
		    ratio((double)(after->full_cpu_us - before->full_cpu_us),
			(double)(after->full - before->full)),
		    then, is,
		    ratio((double)(after->resumed_cpu_us -
			      before->resumed_cpu_us),
			(double)(after->resumed - before->resumed)));
	printf("%s\n", options->json ? "}" : "");
}

static bool
run(const struct options *options)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct server_stats before = { 0 }, after = { 0 };
	struct addrinfo *address = NULL;
	struct result result = { 0 };
	int64_t began_us;
	bool done = false;
	int rc;

	rc = getaddrinfo(options->host, options->port, &hints, &address);
	if (rc != 0) {
		fprintf(stderr, "load: %s port %s: %s\n", options->host,
		    options->port, gai_strerror(rc));
		goto out;
	}
	if (options->server_stats && !fetch_stats(&before, options, address))
		goto out;
	began_us = now_us();
	done = run_jobs(&result, options, address);
	began_us = now_us() - began_us;
	if (options->server_stats && !fetch_stats(&after, options, address))
		done = false;
	print_result(options, &result, &before, &after, (double)began_us / 1e6);
	done = done && result.failed == 0 && result.differ == 0;
out:
	if (address != NULL)
		freeaddrinfo(address);
	return done;
}

/* --- the command line ------------------------------------------------------- */

static const char usage[] =
    "usage: load --port N [options]\n"
    "  --host NAME        (127.0.0.1)\n"
    "  --tls VERSION      1.2, 1.3 or any (any)\n"
    "  --clients N        (100)\n"
    "  --visits N         connections of each client, in random order (2)\n"
    "  --burst N          N more connections at once after each first one\n"
    "  --eager            burst as soon as the client has a session, while\n"
    "                     its first connection still goes on\n"
    "  --jobs N           processes (2)\n"
    "  --parallel N       visits at once in each process (4)\n"
    "  --name NAME        server name to ask for\n"
    "  --cert F --key F   certificate of the client\n"
    "  --no-offer         keep no session: full handshakes only\n"
    "  --save FILE        keep the sessions in FILE.0, FILE.1, ... by job\n"
    "  --load FILE        begin with those; same --clients and --jobs\n"
    "  --seed N           for the order of the visits (1)\n"
    "  --server-stats     CPU per handshake, from the server's /stats\n"
    "  --json             one JSON object instead of name=number\n"
    "Exit: 0 done, 1 a connection failed, 2 usage.  A session that was not\n"
    "resumed is no failure: see \"resumed\" and \"offered\".\n";

enum option_code {
	OPT_BURST = 256,
	OPT_CERT,
	OPT_CLIENTS,
	OPT_EAGER,
	OPT_HELP,
	OPT_HOST,
	OPT_JOBS,
	OPT_JSON,
	OPT_KEY,
	OPT_LOAD,
	OPT_NAME,
	OPT_NO_OFFER,
	OPT_PARALLEL,
	OPT_PORT,
	OPT_SAVE,
	OPT_SEED,
	OPT_SERVER_STATS,
	OPT_TLS,
	OPT_VISITS,
};

static const struct option long_options[] = {
	{ "burst", required_argument, NULL, OPT_BURST },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "clients", required_argument, NULL, OPT_CLIENTS },
	{ "eager", no_argument, NULL, OPT_EAGER },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "jobs", required_argument, NULL, OPT_JOBS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "load", required_argument, NULL, OPT_LOAD },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "no-offer", no_argument, NULL, OPT_NO_OFFER },
	{ "parallel", required_argument, NULL, OPT_PARALLEL },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "save", required_argument, NULL, OPT_SAVE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "server-stats", no_argument, NULL, OPT_SERVER_STATS },
	{ "tls", required_argument, NULL, OPT_TLS },
	{ "visits", required_argument, NULL, OPT_VISITS },
	{ NULL, 0, NULL, 0 },
};

static bool
parse_count(unsigned *out, const char *text, unsigned long max)
{
	unsigned long value;
	char *end;
	bool fine;

	errno = 0;
	value = strtoul(text, &end, 10);
	fine = errno == 0 && end != text && *end == '\0' && value >= 1 &&
	    value <= max;
	if (fine)
		*out = (unsigned)value;
	return fine;
}

static bool
parse_version(int *out, const char *text)
{
	bool known = true;

	if (strcmp(text, "1.2") == 0)
		*out = TLS1_2_VERSION;
	else if (strcmp(text, "1.3") == 0)
		*out = TLS1_3_VERSION;
	else if (strcmp(text, "any") == 0)
		*out = 0;
	else
		known = false;
	return known;
}

static bool
parse_number(struct options *options, int code, const char *value)
{
	bool fine = false;

	switch (code) {
	case OPT_BURST:
		fine = parse_count(&options->burst, value, 100);
		break;
	case OPT_CLIENTS:
		fine = parse_count(&options->clients, value, 10000000);
		break;
	case OPT_JOBS:
		fine = parse_count(&options->jobs, value, 64);
		break;
	case OPT_PARALLEL:
		fine = parse_count(&options->parallel, value, 1000);
		break;
	case OPT_SEED:
		fine = parse_count(&options->seed, value, 1000000);
		break;
	case OPT_VISITS:
		fine = parse_count(&options->visits, value, 1000000);
		break;
	default:
		break;
	}
	return fine;
}

static bool
parse_text(struct options *options, int code, const char *value)
{
	bool fine = true;

	switch (code) {
	case OPT_CERT:
		options->cert = value;
		break;
	case OPT_HOST:
		options->host = value;
		break;
	case OPT_KEY:
		options->key = value;
		break;
	case OPT_LOAD:
		options->load = value;
		break;
	case OPT_NAME:
		options->name = value;
		break;
	case OPT_PORT:
		options->port = value;
		break;
	case OPT_SAVE:
		options->save = value;
		break;
	case OPT_TLS:
		fine = parse_version(&options->version, value);
		break;
	default:
		fine = parse_number(options, code, value);
		break;
	}
	return fine;
}

static bool
parse_flag(struct options *options, int code)
{
	bool fine = true;

	switch (code) {
	case OPT_EAGER:
		options->eager = true;
		break;
	case OPT_JSON:
		options->json = true;
		break;
	case OPT_NO_OFFER:
		options->no_offer = true;
		break;
	case OPT_SERVER_STATS:
		options->server_stats = true;
		break;
	default:
		fine = false;
		break;
	}
	return fine;
}

static bool
parse_option(struct options *options, int code, const char *value)
{
	return value != NULL ? parse_text(options, code, value) :
			       parse_flag(options, code);
}

static bool
fit_together(const struct options *options)
{
	return options->port != NULL &&
	    (options->cert == NULL) == (options->key == NULL) &&
	    options->jobs <= options->clients;
}

/* Returns -1 to go on, or the exit status. */
static int
parse(struct options *options, int argc, char **argv)
{
	int status = -1, code = 0;
	bool fine = true;

	while (fine && status < 0 && code >= 0) {
		code = getopt_long(argc, argv, "", long_options, NULL);
		if (code == OPT_HELP)
			status = EXIT_SUCCESS;
		else if (code >= 0)
			fine = parse_option(options, code, optarg);
	}
	if (status < 0 && (!fine || optind != argc || !fit_together(options)))
		status = USAGE;
	if (status >= 0)
		fputs(usage, status == EXIT_SUCCESS ? stdout : stderr);
	return status;
}

int
main(int argc, char **argv)
{
	struct options options = { .host = "127.0.0.1",
		.clients = 100,
		.visits = 2,
		.jobs = 2,
		.parallel = 4,
		.seed = 1 };
	int status;

	status = parse(&options, argc, argv);
	if (status < 0) {
		signal(SIGPIPE, SIG_IGN);
		status = run(&options) ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	return status;
}
