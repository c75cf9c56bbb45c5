/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/mman.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "connection.h"

#define CONNECTION_MS 10000 /* from accept to the last byte of the answer */
#define GOODBYE_MS 1000     /* for the client's close_notify */
#define EXHAUSTED_MS 100    /* pause when descriptors or memory are short */
#define REQUEST_MAX 8192
#define PAGE_MAX 65536

struct connection {
	const struct worker *worker;
	SSL *ssl;
	int fd;
	int64_t deadline_ms; /* on CLOCK_MONOTONIC */
	char request[REQUEST_MAX];
	size_t request_len;
};

struct text {
	char *bytes;
	size_t size;
	size_t len;
};

static atomic_bool stopping;

void
worker_stop(void)
{
	atomic_store(&stopping, true);
}

static size_t
board_size(unsigned workers)
{
	return sizeof(struct board) + workers * sizeof(struct board_slot);
}

struct board *
board_new(unsigned workers)
{
	struct board *board;

	board = mmap(NULL, board_size(workers), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS,
	    /* cppcheck-suppress invalidFunctionArg; it means: no file */
	    -1, 0);
	if (board == MAP_FAILED)
		board = NULL;
	else
		board->slots_len = workers;
	return board;
}

void
board_free(struct board *board)
{
	if (board != NULL)
		munmap(board, board_size(board->slots_len));
}

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec now = { 0 };

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int64_t
now_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000);
}

/* Append as printf() would; what does not fit is cut off. */
static void __attribute__((__format__(__printf__, 2, 3)))
add(struct text *text, const char *format, ...)
{
	size_t room = text->size - text->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->bytes + text->len, room, format, args);
	va_end(args);
	if (n > 0)
		text->len += (size_t)n < room ? (size_t)n : room - 1;
}

/*
 * An operation on the connection returned rc.  True if it should be called
 * again, once the socket is ready for it; false if it failed, or the
 * connection has had its time.
 */
static bool
may_retry(const struct connection *c, int rc)
{
	struct pollfd pfd = { .fd = c->fd };
	int64_t left_ms;
	int n = -1;

	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		pfd.events = POLLIN;
		break;
	case SSL_ERROR_WANT_WRITE:
		pfd.events = POLLOUT;
		break;
	default:
		goto out;
	}
	do {
		left_ms = c->deadline_ms - now_ms();
		n = poll(&pfd, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (n < 0 && errno == EINTR);
out:
	return n > 0;
}

/*
 * Read what part of the request comes before the handshake is over.  It is
 * answered only after it: then the client is known to be there, now.  True
 * also if nothing came, or it was refused.
 */
static bool
read_early(struct connection *c)
{
	size_t n;
	int rc;

	do {
		n = 0;
		ERR_clear_error();
		rc = SSL_read_early_data(c->ssl, c->request + c->request_len,
		    sizeof(c->request) - 1 - c->request_len, &n);
		c->request_len += n;
	} while (rc == SSL_READ_EARLY_DATA_SUCCESS ||
	    (rc == SSL_READ_EARLY_DATA_ERROR && may_retry(c, rc)));
	return rc == SSL_READ_EARLY_DATA_FINISH;
}

static int
accept_tls(struct connection *c)
{
	int rc = 0;

	if (SSL_get_max_early_data(c->ssl) > 0 && !read_early(c))
		goto out;
	do {
		ERR_clear_error(); /* SSL_get_error() looks into the queue */
		rc = SSL_accept(c->ssl);
	} while (rc <= 0 && may_retry(c, rc));
out:
	return rc;
}

static bool
handshake(struct connection *c)
{
	struct board_slot *slot = &c->worker->board->slots[c->worker->index];
	uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int rc = accept_tls(c);

	cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	if (rc != 1) {
		atomic_fetch_add(&slot->failed, 1);
	} else if (SSL_session_reused(c->ssl) == 1) {
		atomic_fetch_add(&slot->resumed, 1);
		atomic_fetch_add(&slot->resumed_cpu_ns, cpu_ns);
	} else {
		atomic_fetch_add(&slot->full, 1);
		atomic_fetch_add(&slot->full_cpu_ns, cpu_ns);
	}
	return rc == 1;
}

static bool
has_blank_line(const struct connection *c)
{
	return strstr(c->request, "\r\n\r\n") != NULL ||
	    strstr(c->request, "\n\n") != NULL;
}

/* Read up to the blank line after the headers. */
static bool
read_request(struct connection *c)
{
	size_t n;
	int rc = 1;

	/* All of it may have come early.  Too long: the answer says so. */
	while (!has_blank_line(c) && c->request_len < sizeof(c->request) - 1 &&
	    (rc == 1 || may_retry(c, rc))) {
		n = 0;
		ERR_clear_error();
		rc = SSL_read_ex(c->ssl, c->request + c->request_len,
		    sizeof(c->request) - 1 - c->request_len, &n);
		c->request_len += n;
		c->request[c->request_len] = '\0';
	}
	return c->request_len > 0;
}

static bool
write_all(struct connection *c, const struct text *text)
{
	size_t n;
	int rc;

	do {
		ERR_clear_error();
		rc = SSL_write_ex(c->ssl, text->bytes, text->len, &n);
	} while (rc != 1 && may_retry(c, rc));
	return rc == 1;
}

/*
 * Say goodbye, so that the client knows the answer is whole, and wait a
 * moment for its goodbye: closing a socket with bytes unread would reset the
 * connection and could take the answer away from the client.
 */
static void
say_goodbye(struct connection *c)
{
	int rc;

	c->deadline_ms = now_ms() + GOODBYE_MS;
	do {
		ERR_clear_error();
		rc = SSL_shutdown(c->ssl);
	} while (rc == 0 || (rc < 0 && may_retry(c, rc)));
}

static const char *
early_data_status(const SSL *ssl)
{
	const char *status = "not sent";

	if (SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED)
		status = "accepted";
	else if (SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_REJECTED)
		status = "rejected";
	return status;
}

static void
add_page(struct text *text, const struct connection *c)
{
	add(text, "worker: %u\npid: %ld\nresumed: %s\n", c->worker->index,
	    (long)getpid(), SSL_session_reused(c->ssl) == 1 ? "yes" : "no");
	add(text, "protocol: %s\ncipher: %s\n", SSL_get_version(c->ssl),
	    SSL_CIPHER_standard_name(SSL_get_current_cipher(c->ssl)));
	add(text, "early-data: %s\n", early_data_status(c->ssl));
}

/* Sums over all workers first, then a line for each. */
static void
add_stats(struct text *text, struct board *board)
{
	unsigned long long full = 0, full_cpu_ns = 0, resumed = 0,
			   resumed_cpu_ns = 0, failed = 0, cpu_ns = 0;
	struct board_slot *slot;
	unsigned i;

	for (i = 0; i < board->slots_len; i++) {
		slot = &board->slots[i];
		full += atomic_load(&slot->full);
		full_cpu_ns += atomic_load(&slot->full_cpu_ns);
		resumed += atomic_load(&slot->resumed);
		resumed_cpu_ns += atomic_load(&slot->resumed_cpu_ns);
		failed += atomic_load(&slot->failed);
		cpu_ns += atomic_load(&slot->cpu_ns);
	}
	add(text, "full: %llu\nfull-cpu-us: %llu\n", full, full_cpu_ns / 1000);
	add(text, "resumed: %llu\nresumed-cpu-us: %llu\n", resumed,
	    resumed_cpu_ns / 1000);
	add(text, "failed: %llu\ncpu-us: %llu\n", failed, cpu_ns / 1000);
	for (i = 0; i < board->slots_len; i++) {
		slot = &board->slots[i];
		add(text, "worker %u: pid %ld, full %llu, resumed %llu\n", i,
		    atomic_load(&slot->pid), atomic_load(&slot->full),
		    atomic_load(&slot->resumed));
	}
}

static const char *
status_of(const struct connection *c)
{
	const char *status = "200 OK";

	if (!has_blank_line(c))
		status = c->request_len == sizeof(c->request) - 1 ?
		    "431 Request Header Fields Too Large" :
		    "400 Bad Request";
	else if (strncmp(c->request, "GET ", 4) != 0 &&
	    strncmp(c->request, "HEAD ", 5) != 0)
		status = "405 Method Not Allowed";
	return status;
}

static void
answer(struct connection *c)
{
	static const char stats[] = "GET /stats ";
	char page_bytes[PAGE_MAX], all_bytes[PAGE_MAX + 512];
	struct text page = { .bytes = page_bytes, .size = sizeof(page_bytes) };
	struct text all = { .bytes = all_bytes, .size = sizeof(all_bytes) };
	const char *status = status_of(c);

	if (strncmp(status, "200", 3) != 0)
		add(&page, "%s\n", status);
	else if (strncmp(c->request, stats, sizeof(stats) - 1) == 0)
		add_stats(&page, c->worker->board);
	else
		add_page(&page, c);
	add(&all, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n", status);
	if (strncmp(status, "405", 3) == 0)
		add(&all, "Allow: GET, HEAD\r\n");
	add(&all, "Content-Length: %zu\r\nConnection: close\r\n\r\n", page.len);
	if (strncmp(c->request, "HEAD ", 5) != 0)
		add(&all, "%s", page.bytes);
	if (write_all(c, &all))
		say_goodbye(c);
}

/* Takes fd. */
static void
serve(const struct worker *worker, int fd)
{
	struct connection c = { .worker = worker,
		.fd = fd,
		.deadline_ms = now_ms() + CONNECTION_MS };
	const int on = 1;

	/* An answer is several small writes; none should wait for another. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c.ssl = SSL_new(worker->ctx);
	if (c.ssl != NULL && SSL_set_fd(c.ssl, fd) == 1 && handshake(&c) &&
	    read_request(&c))
		answer(&c);
	SSL_free(c.ssl);
	ERR_clear_error();
	close(fd);
}

static bool
should_stop(const struct worker *worker)
{
	return atomic_load(&stopping) ||
	    (worker->parent != 0 && getppid() != worker->parent);
}

/* After accept() failed: whether it is worth trying again. */
static bool
accept_again(int error)
{
	bool again = true;

	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		/* It would fail again at once, and burn the CPU. */
		(void)poll(NULL, 0, EXHAUSTED_MS);
		break;
	case EBADF:
	case EFAULT:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		fprintf(stderr, "accept: %s\n", strerror(error));
		again = false;
		break;
	default: /* a signal, the timeout, or a connection that is gone */
		break;
	}
	return again;
}

bool
worker_run(const struct worker *worker)
{
	struct board_slot *slot = &worker->board->slots[worker->index];
	uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID), now_ns;
	bool usable = true;
	int fd;

	atomic_store(&slot->pid, (long)getpid());
	while (usable && !should_stop(worker)) {
		fd = accept4(worker->listen_fd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			serve(worker, fd);
		else
			usable = accept_again(errno);
		now_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		atomic_fetch_add(&slot->cpu_ns, now_ns - cpu_ns);
		cpu_ns = now_ns;
	}
	return usable;
}
