/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A prefork HTTPS server on GnuTLS with one cache for all its workers, through
 * the calls of sesscache.h that know nothing of OpenSSL:
 *
 *  - TLS 1.2 sessions: the database of GnuTLS is put, get and remove;
 *  - tickets, the only way in which GnuTLS resumes TLS 1.3: the one key from
 *    which all workers derive theirs is a record like another (add, get);
 *  - early data: a first flight that was seen once is a record, too (add).
 *
 * The settings of the cache come from the environment: SESSCACHE_DIR, ...
 * SIGTERM and SIGINT stop the server, a worker that dies is replaced.
 * prefork.c shows what else a server needs.
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "sesscache.h"
#include "workers.h"

#define REQUEST_MAX 8192 /* bytes, early data among them */
#define PATIENCE_MS 10000
#define GOODBYE_MS 1000 /* for the client's close_notify */

#define SESSION_SECONDS 3600
/* The end of it ends all tickets: what was under them stays secret. */
#define TICKET_KEY_SECONDS 43200
#define TICKET_KEY_MAX 128 /* bytes; GnuTLS has 64 */
/* Far beyond the window: the clock of GnuTLS may be set back. */
#define FLIGHT_SECONDS (2 * SESSION_SECONDS)

struct server {
	struct workers workers;
	const char *cert;
	const char *key;
	unsigned long early_bytes;    /* 0: no early data */
	unsigned long window_seconds; /* how late a first flight may come */
	bool verbose;
	struct sesscache *cache;
	gnutls_certificate_credentials_t identity;
	gnutls_anti_replay_t anti_replay;
	uint8_t ticket_key[TICKET_KEY_MAX];
	size_t ticket_key_len; /* bytes; 0: none yet */
};

struct connection {
	unsigned long worker;
	gnutls_session_t session;
	int64_t deadline_ms; /* on CLOCK_MONOTONIC */
	char request[REQUEST_MAX + 1];
	size_t request_len;
	size_t early_len; /* of these, early data */
};

static const char usage[] =
    "usage: %s -c cert.pem -k key.pem [options]\n"
    "  -a address   to listen on (127.0.0.1)\n"
    "  -p port      0: any that is free, printed at the start (0)\n"
    "  -w workers   processes (4)\n"
    "  -e bytes     accept that much early data, TLS 1.3 (0: none)\n"
    "  -r seconds   that a first flight with early data may be late (10)\n"
    "  -v           a line for each connection, on standard error\n";

/* --- the cache behind GnuTLS ---------------------------------------------- */

static int
put_session(void *cache, gnutls_datum_t id, gnutls_datum_t data)
{
	time_t left = gnutls_db_check_entry_expire_time(&data) - time(NULL);
	enum sesscache_status status = SESSCACHE_EINVAL;

	if (left > 0 && left <= SESSION_SECONDS)
		status = sesscache_put(cache, id.data, id.size, data.data,
		    data.size, (uint32_t)left);
	return status == SESSCACHE_OK ? 0 : GNUTLS_E_DB_ERROR;
}

/* GnuTLS frees what this returns, with its own gnutls_free(). */
static gnutls_datum_t
get_session(void *cache, gnutls_datum_t id)
{
	enum sesscache_status status = SESSCACHE_ETOOBIG;
	gnutls_datum_t found = { NULL, 0 };
	size_t size = 1024, len = 0;
	int tries;

	/* A client's certificates make it longer; then len says how long. */
	for (tries = 0; tries < 2 && status == SESSCACHE_ETOOBIG; tries++) {
		gnutls_free(found.data);
		found.data = gnutls_malloc(size);
		if (found.data == NULL)
			break;
		status = sesscache_get(cache, id.data, id.size, found.data,
		    size, &len);
		size = len;
	}
	if (status == SESSCACHE_OK) {
		found.size = (unsigned)len;
	} else {
		gnutls_free(found.data);
		found.data = NULL;
	}
	return found;
}

static int
remove_session(void *cache, gnutls_datum_t id)
{
	enum sesscache_status status;

	status = sesscache_remove(cache, id.data, id.size);
	return status == SESSCACHE_OK ? 0 : GNUTLS_E_DB_ERROR;
}

/*
 * GnuTLS asks whether a first flight is new.  Its key is the start of the
 * window, 12 bytes, and the binder of the flight, 32 or 48 bytes.  The start
 * is a clock of this process alone, so that with it in the ID each worker
 * would accept the flight once: it has to go.  In its place comes a name that
 * no session ID of 32 bytes can be taken for.
 *
 * Whatever fails here refuses the early data, and nothing else.  A record can
 * be evicted before its time: "size" should be many times what the busiest
 * window stores.
 */
static int
add_flight(void *cache, time_t expires_at, const gnutls_datum_t *key,
    const gnutls_datum_t *data)
{
	static const uint8_t name[12] = "flight key:";
	enum sesscache_status status = SESSCACHE_EINVAL;
	uint8_t id[SESSCACHE_ID_MAX_LEN];
	int answer = GNUTLS_E_DB_ERROR;

	(void)expires_at; /* see FLIGHT_SECONDS */
	if (key->size > sizeof(name) && key->size <= sizeof(id)) {
		memcpy(id, key->data, key->size);
		memcpy(id, name, sizeof(name));
		status = sesscache_add(cache, id, key->size, data->data,
		    data->size, FLIGHT_SECONDS);
	}
	if (status == SESSCACHE_OK)
		answer = 0;
	else if (status == SESSCACHE_EXISTS)
		answer = GNUTLS_E_DB_ENTRY_EXISTS;
	return answer;
}

/*
 * Look up the key of all tickets, and make it if there is none: of all workers
 * that find none, one adds its own, and all get that one.  GnuTLS derives from
 * it keys that change every three SESSION_SECONDS, the same in each process.
 * In the cache it outlives a restart of the server, is sealed, and ends after
 * TICKET_KEY_SECONDS or with "sesscache purge --all"; then tickets cost a full
 * handshake.  If the cache is busy, the key of the last connection will do.
 */
static void
find_ticket_key(struct server *server)
{
	/* Longer than the 32 bytes that a client may ask for. */
	static const uint8_t id[] = "the key of all session tickets of GnuTLS";
	uint8_t key[TICKET_KEY_MAX];
	enum sesscache_status status;
	gnutls_datum_t made = { NULL, 0 };
	size_t len = 0;

	status = sesscache_get(server->cache, id, sizeof(id) - 1, key,
	    sizeof(key), &len);
	if (status == SESSCACHE_MISS &&
	    gnutls_session_ticket_key_generate(&made) == 0) {
		status = sesscache_add(server->cache, id, sizeof(id) - 1,
		    made.data, made.size, TICKET_KEY_SECONDS);
		if (status == SESSCACHE_OK || status == SESSCACHE_EXISTS)
			status = sesscache_get(server->cache, id,
			    sizeof(id) - 1, key, sizeof(key), &len);
		gnutls_memset(made.data, 0, made.size);
		gnutls_free(made.data);
	}
	if (status == SESSCACHE_OK) {
		memcpy(server->ticket_key, key, len);
		server->ticket_key_len = len;
	}
	gnutls_memset(key, 0, sizeof(key));
}

/* What a server on GnuTLS does about sesscache, for each session. */
static int
share(struct server *server, gnutls_session_t session)
{
	gnutls_datum_t key = { .data = server->ticket_key };
	int rc = 0;

	/* No failure of the cache ever fails a handshake. */
	gnutls_db_set_ptr(session, server->cache);
	gnutls_db_set_store_function(session, put_session);
	gnutls_db_set_retrieve_function(session, get_session);
	gnutls_db_set_remove_function(session, remove_session);
	gnutls_db_set_cache_expiration(session, SESSION_SECONDS);
	find_ticket_key(server);
	key.size = (unsigned)server->ticket_key_len;
	if (key.size > 0)
		(void)gnutls_session_ticket_enable_server(session, &key);
	if (server->early_bytes > 0) {
		gnutls_anti_replay_enable(session, server->anti_replay);
		rc = gnutls_record_set_max_early_data_size(session,
		    server->early_bytes);
	}
	return rc;
}

/* Made before fork(), so that all workers start their window at one time. */
static bool
watch_early_data(struct server *server)
{
	bool done = gnutls_anti_replay_init(&server->anti_replay) == 0;

	if (done) {
		gnutls_anti_replay_set_window(server->anti_replay,
		    (unsigned)server->window_seconds * 1000);
		gnutls_anti_replay_set_ptr(server->anti_replay, server->cache);
		gnutls_anti_replay_set_add_function(server->anti_replay,
		    add_flight);
	}
	return done;
}

/* --- one connection ------------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
cork(gnutls_session_t session, int on)
{
	(void)setsockopt(gnutls_transport_get_int(session), IPPROTO_TCP,
	    TCP_CORK, &on, sizeof(on));
}

/*
 * GnuTLS stores a TLS 1.2 session after it has sent its last message.  A
 * client that is back at once could meet another worker before that; so the
 * message waits for the end of gnutls_handshake().
 */
static int
on_finished(gnutls_session_t session, unsigned type, unsigned when,
    unsigned incoming, const gnutls_datum_t *message)
{
	(void)type;
	(void)when;
	(void)message;
	if (incoming != 0)
		cork(session, 1);
	return 0;
}

static bool
handshake(struct connection *c)
{
	int rc;

	gnutls_handshake_set_hook_function(c->session,
	    GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST, on_finished);
	gnutls_handshake_set_timeout(c->session, PATIENCE_MS);
	do {
		rc = gnutls_handshake(c->session);
	} while (rc < 0 && gnutls_error_is_fatal(rc) == 0);
	cork(c->session, 0);
	return rc == 0;
}

/* Early data may be played again by others: here it asks for a page only. */
static void
read_early_data(struct connection *c)
{
	ssize_t n;

	do {
		n = gnutls_record_recv_early_data(c->session,
		    c->request + c->early_len, REQUEST_MAX - c->early_len);
		if (n > 0)
			c->early_len += (size_t)n;
	} while (n > 0);
	c->request_len = c->early_len;
}

/* Read up to the blank line after the headers. */
static bool
read_request(struct connection *c)
{
	int64_t left_ms;
	ssize_t n = 1;

	read_early_data(c);
	while (strstr(c->request, "\r\n\r\n") == NULL) {
		left_ms = c->deadline_ms - now_ms();
		if (left_ms <= 0 || c->request_len == REQUEST_MAX || n == 0 ||
		    (n < 0 && gnutls_error_is_fatal((int)n) != 0))
			break;
		gnutls_record_set_timeout(c->session, (unsigned)left_ms);
		n = gnutls_record_recv(c->session, c->request + c->request_len,
		    REQUEST_MAX - c->request_len);
		if (n > 0)
			c->request_len += (size_t)n;
	}
	/* RFC 5246, 7.2.2.  A client that just hangs up loses no session. */
	if (n == GNUTLS_E_DECRYPTION_FAILED ||
	    n == GNUTLS_E_FATAL_ALERT_RECEIVED)
		gnutls_db_remove_session(c->session);
	return strstr(c->request, "\r\n\r\n") != NULL;
}

static const char *
resumed(const struct connection *c)
{
	return gnutls_session_is_resumed(c->session) != 0 ? "yes" : "no";
}

static bool
had_early_data(const struct connection *c)
{
	return (gnutls_session_get_flags(c->session) &
		   GNUTLS_SFLAGS_EARLY_DATA) != 0;
}

static const char *
protocol(const struct connection *c)
{
	const char *name;

	name = gnutls_protocol_get_name(
	    gnutls_protocol_get_version(c->session));
	return name != NULL ? name : "none";
}

static bool
answer(struct connection *c)
{
	bool get = strncmp(c->request, "GET ", 4) == 0;
	char page[256], all[512];
	ssize_t n;
	int len;

	len = snprintf(page, sizeof(page),
	    "worker: %lu\npid: %ld\nresumed: %s\nprotocol: %s\n"
	    "early-data: %zu\n",
	    c->worker, (long)getpid(), resumed(c), protocol(c), c->early_len);
	len = snprintf(all, sizeof(all),
	    "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n"
	    "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
	    get ? "200 OK" : "405 Method Not Allowed\r\nAllow: GET",
	    get ? len : 0, get ? page : "");
	do {
		n = gnutls_record_send(c->session, all, (size_t)len);
	} while (n < 0 && gnutls_error_is_fatal((int)n) == 0);
	gnutls_record_set_timeout(c->session, GOODBYE_MS);
	(void)gnutls_bye(c->session, GNUTLS_SHUT_RDWR);
	return n == len;
}

static bool
prepare(struct server *server, gnutls_session_t session, int fd)
{
	gnutls_transport_set_int(session, fd);
	return gnutls_set_default_priority(session) == 0 &&
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
		server->identity) == 0 &&
	    share(server, session) == 0;
}

/* In a worker; takes fd. */
static void
serve(void *arg, unsigned long worker, int fd)
{
	struct server *server = arg;
	struct connection c = { .worker = worker };
	unsigned flags = GNUTLS_SERVER | GNUTLS_NO_SIGNAL;
	bool answered;

	c.deadline_ms = now_ms() + PATIENCE_MS;
	if (server->early_bytes > 0)
		flags |= GNUTLS_ENABLE_EARLY_DATA;
	if (gnutls_init(&c.session, flags) != 0)
		goto out;
	answered = prepare(server, c.session, fd) && handshake(&c) &&
	    read_request(&c) && answer(&c);
	if (server->verbose)
		fprintf(stderr,
		    "pid %ld, %s, resumed %s, early data %s, answered %s\n",
		    (long)getpid(), protocol(&c), resumed(&c),
		    had_early_data(&c) ? "accepted" : "none",
		    answered ? "yes" : "no");
out:
	gnutls_deinit(c.session);
	close(fd);
}

/* --- the start ------------------------------------------------------------ */

static bool
load_identity(struct server *server)
{
	int rc;

	rc = gnutls_certificate_allocate_credentials(&server->identity);
	if (rc == 0)
		rc = gnutls_certificate_set_x509_key_file(server->identity,
		    server->cert, server->key, GNUTLS_X509_FMT_PEM);
	if (rc < 0)
		fprintf(stderr, "%s, %s: %s\n", server->cert, server->key,
		    gnutls_strerror(rc));
	return rc >= 0;
}

static bool
parse_number(unsigned long *out, const char *text, unsigned long max)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *text != '-' &&
	    *out <= max;
}

static bool
parse_option(struct server *server, int letter, const char *value)
{
	bool fine = true;

	switch (letter) {
	case 'a':
		server->workers.address = value;
		break;
	case 'c':
		server->cert = value;
		break;
	case 'e':
		fine = parse_number(&server->early_bytes, value, REQUEST_MAX);
		break;
	case 'k':
		server->key = value;
		break;
	case 'p':
		server->workers.port = value;
		break;
	case 'r':
		fine = parse_number(&server->window_seconds, value,
		    SESSION_SECONDS);
		break;
	case 'v':
		server->verbose = true;
		break;
	case 'w':
		fine = parse_number(&server->workers.count, value,
			   WORKERS_MAX) &&
		    server->workers.count > 0;
		break;
	default:
		fine = false;
		break;
	}
	return fine;
}

static bool
parse(struct server *server, int argc, char **argv)
{
	bool fine = true;
	int letter = 0;

	while (fine && letter >= 0) {
		letter = getopt(argc, argv, "a:c:e:k:p:r:vw:");
		if (letter >= 0)
			fine = parse_option(server, letter, optarg);
	}
	fine = fine && server->cert != NULL && server->key != NULL &&
	    optind == argc;
	if (!fine)
		fprintf(stderr, usage, argv[0]);
	return fine;
}

static void
close_all(struct server *server)
{
	if (server->workers.listen_fd >= 0)
		close(server->workers.listen_fd);
	if (server->identity != NULL)
		gnutls_certificate_free_credentials(server->identity);
	gnutls_anti_replay_deinit(server->anti_replay);
	gnutls_memset(server->ticket_key, 0, sizeof(server->ticket_key));
	sesscache_close(server->cache);
}

int
main(int argc, char **argv)
{
	struct server server = { .window_seconds = 10 };
	int status = EXIT_FAILURE;

	server.workers = (struct workers){ .address = "127.0.0.1",
		.port = "0",
		.count = 4,
		.serve = serve,
		.arg = &server,
		.listen_fd = -1 };
	if (!parse(&server, argc, argv)) {
		status = 2;
		goto out;
	}
	/* Before fork(): workers use the handle as it is. */
	if (sesscache_open(&server.cache, NULL) != SESSCACHE_OK) {
		fprintf(stderr, "cache: %s\n", sesscache_detail());
		goto out;
	}
	if (load_identity(&server) && watch_early_data(&server) &&
	    workers_listen(&server.workers)) {
		workers_run(&server.workers);
		status = EXIT_SUCCESS;
	}
out:
	close_all(&server);
	return status;
}
