/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "connection.h"
#include "hosts.h"
#include "server.h"

#define BACKLOG 1024
#define WORKERS_MAX 1024
#define TICKETS_MAX 8
#define PORT_MAX 65535

static const char usage[] =
    "usage: %s -c cert.pem -k key.pem [options]\n"
    "  -a address   to listen on (127.0.0.1)\n"
    "  -p port      0: any that is free, printed at the start (0)\n"
    "  -w workers   processes or threads (4)\n"
    "  -t version   tls1.2, tls1.3 or any (any)\n"
    "  -m mode      shared: one cache for all workers, sesscache (shared)\n"
    "               process: OpenSSL's own cache in each process\n"
    "               none: no session is kept\n"
    "  -o name=val  a setting of sesscache; see sesscache help settings\n"
    "  -T           leave OpenSSL's stateless tickets on; with -o tickets=auto\n"
    "               under the keys of sesscache, else under OpenSSL's own\n"
    "  -L           prefork: each worker makes its own SSL_CTX, after the fork\n"
    "  -n tickets   for each full TLS 1.3 handshake (2)\n"
    "  -V ca.pem    require a client certificate of this authority\n"
    "  -u user      started as root: workers run as this user\n"
    "  --early-data bytes\n"
    "               of a request that may come before the handshake is over\n"
    "  --realm name the realm of all sessions, whatever the host\n"
    "  --host name=cert.pem,key.pem[,ca.pem]\n"
    "               a virtual host; with ca.pem, it requires a client\n"
    "               certificate of this authority\n"
    "  -h           this help\n";

/* Without a short form: numbers that are no letters, as the table goes on. */
enum { OPTION_EARLY_DATA = 256, OPTION_HOST, OPTION_REALM };

static const struct option long_options[] = {
	{ "early-data", required_argument, NULL, OPTION_EARLY_DATA },
	{ "host", required_argument, NULL, OPTION_HOST },
	{ "realm", required_argument, NULL, OPTION_REALM },
	{ NULL, 0, NULL, 0 },
};

const char *
server_mode_name(enum server_mode mode)
{
	const char *name = "";

	switch (mode) {
	case SERVER_SHARED:
		name = "shared";
		break;
	case SERVER_PROCESS:
		name = "process";
		break;
	case SERVER_NONE:
		name = "none";
		break;
	}
	return name;
}

static bool
parse_mode(enum server_mode *out, const char *text)
{
	static const enum server_mode modes[] = { SERVER_SHARED, SERVER_PROCESS,
		SERVER_NONE };
	bool found = false;
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]) && !found; i++) {
		found = strcmp(text, server_mode_name(modes[i])) == 0;
		if (found)
			*out = modes[i];
	}
	return found;
}

static bool
parse_version(struct server_options *options, const char *text)
{
	bool known = true;

	options->min_version = TLS1_2_VERSION;
	options->max_version = 0;
	if (strcmp(text, "tls1.2") == 0)
		options->max_version = TLS1_2_VERSION;
	else if (strcmp(text, "tls1.3") == 0)
		options->min_version = TLS1_3_VERSION;
	else
		known = strcmp(text, "any") == 0;
	return known;
}

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
add_setting(struct server_options *options, const char *text)
{
	bool fine = options->settings_len < SERVER_SETTINGS_MAX &&
	    strchr(text, '=') != NULL;

	if (fine)
		options->settings[options->settings_len++] = text;
	return fine;
}

/* Cut the next part off a list; NULL if there is none, or it is empty. */
static char *
cut(char **list, const char *separator)
{
	char *part = strsep(list, separator);

	return part != NULL && *part != '\0' ? part : NULL;
}

/* NAME=CERT,KEY[,CLIENT_CA]; cuts the text into its parts. */
static bool
add_host(struct server_options *options, char *text)
{
	struct server_host *host = &options->hosts[options->hosts_len];
	bool fine = false;

	if (options->hosts_len == SERVER_HOSTS_MAX)
		goto out;
	host->name = cut(&text, "=");
	host->identity.cert = cut(&text, ",");
	host->identity.key = cut(&text, ",");
	host->identity.client_ca = text;
	fine = host->name != NULL && host->identity.cert != NULL &&
	    host->identity.key != NULL && (text == NULL || *text != '\0');
	if (fine)
		options->hosts_len++;
out:
	return fine;
}

/* The option that takes its value as it is, or NULL. */
static const char **
text_option(struct server_options *options, int letter)
{
	const char **text = NULL;

	switch (letter) {
	case 'a':
		text = &options->address;
		break;
	case 'c':
		text = &options->identity.cert;
		break;
	case 'k':
		text = &options->identity.key;
		break;
	case 'u':
		text = &options->user;
		break;
	case 'V':
		text = &options->identity.client_ca;
		break;
	case OPTION_REALM:
		text = &options->realm;
		break;
	default:
		break;
	}
	return text;
}

static void
complain(int letter, const char *value)
{
	if (letter < OPTION_EARLY_DATA)
		fprintf(stderr, "-%c %s: not understood\n", letter, value);
	else
		fprintf(stderr, "--%s %s: not understood\n",
		    long_options[letter - OPTION_EARLY_DATA].name, value);
}

static bool
parse_value(struct server_options *options, int letter, char *value)
{
	bool fine = false;
	unsigned port;

	switch (letter) {
	case 'm':
		fine = parse_mode(&options->mode, value);
		break;
	case 'n':
		fine = parse_count(&options->tickets, value, TICKETS_MAX);
		break;
	case 'o':
		fine = add_setting(options, value);
		break;
	case 'p':
		fine = strcmp(value, "0") == 0 ||
		    parse_count(&port, value, PORT_MAX);
		options->port = value;
		break;
	case 't':
		fine = parse_version(options, value);
		break;
	case 'w':
		fine = parse_count(&options->workers, value, WORKERS_MAX);
		break;
	case OPTION_EARLY_DATA:
		fine = parse_count(&options->early_bytes, value,
		    CONNECTION_EARLY_MAX);
		break;
	case OPTION_HOST:
		fine = add_host(options, value);
		break;
	default:
		break;
	}
	if (!fine)
		complain(letter, value);
	return fine;
}

static enum server_parsed
parse_option(struct server_options *options, int letter, char *value)
{
	const char **text = text_option(options, letter);
	enum server_parsed parsed = SERVER_RUN;

	if (letter == 'h')
		parsed = SERVER_HELP;
	else if (letter == '?') /* getopt_long() has said what is wrong */
		parsed = SERVER_USAGE;
	else if (letter == 'L')
		options->late = true;
	else if (letter == 'T')
		options->stateless = true;
	else if (text != NULL)
		*text = value;
	else if (!parse_value(options, letter, value))
		parsed = SERVER_USAGE;
	return parsed;
}

static bool
find_user(struct server_options *options)
{
	struct passwd entry, *who = NULL;
	const char *problem = NULL;
	char names[16384];
	int rc;

	if (options->user == NULL)
		goto out;
	rc = getpwnam_r(options->user, &entry, names, sizeof(names), &who);
	if (who == NULL)
		problem = rc == 0 ? "there is none" : strerror(rc);
	else if (geteuid() != 0)
		problem = "only root can become another user";
	if (problem != NULL) {
		fprintf(stderr, "-u %s: %s\n", options->user, problem);
	} else {
		options->uid = entry.pw_uid;
		options->gid = entry.pw_gid;
	}
out:
	return problem == NULL;
}

enum server_parsed
server_parse(struct server_options *options, int argc, char **argv)
{
	enum server_parsed parsed = SERVER_RUN;
	int letter = 0;

	*options = (struct server_options){ .address = "127.0.0.1",
		.port = "0",
		.workers = 4,
		.tickets = 2,
		.min_version = TLS1_2_VERSION,
		.mode = SERVER_SHARED };
	while (parsed == SERVER_RUN && letter >= 0) {
		letter = getopt_long(argc, argv,
		    "a:c:hk:Lm:n:o:p:t:Tu:V:w:", long_options, NULL);
		if (letter >= 0)
			parsed = parse_option(options, letter, optarg);
	}
	if (parsed == SERVER_RUN &&
	    (options->identity.cert == NULL || options->identity.key == NULL ||
		optind != argc))
		parsed = SERVER_USAGE;
	if (parsed == SERVER_RUN && !find_user(options))
		parsed = SERVER_USAGE;
	else if (parsed != SERVER_RUN)
		fprintf(parsed == SERVER_HELP ? stdout : stderr, usage,
		    argv[0]);
	return parsed;
}

static bool
prepare_listener(int fd, const struct addrinfo *address)
{
	/*
	 * A worker waits in accept() and looks up once a second whether to
	 * stop: a signal that arrives just before accept() is not missed.
	 */
	const struct timeval patience = { .tv_sec = 1 };
	const int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		sizeof(patience)) == 0 &&
	    bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0;
}

int
server_listen(const struct server_options *options)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	int fd = -1, rc;

	rc = getaddrinfo(options->address, options->port, &hints, &found);
	if (rc != 0) {
		fprintf(stderr, "%s port %s: %s\n", options->address,
		    options->port, gai_strerror(rc));
		goto out;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && prepare_listener(fd, found))
		goto out;
	fprintf(stderr, "%s port %s: %s\n", options->address, options->port,
	    strerror(errno));
	if (fd >= 0)
		close(fd);
	fd = -1;
out:
	if (found != NULL)
		freeaddrinfo(found);
	return fd;
}

bool
server_announce(const struct server_options *options, int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);
	char host[NI_MAXHOST], port[NI_MAXSERV];
	bool v6, done = false;

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
	    getnameinfo((struct sockaddr *)&address, len, host, sizeof(host),
		port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		fprintf(stderr, "the socket has no name\n");
		goto out;
	}
	v6 = address.ss_family == AF_INET6;
	printf("https://%s%s%s:%s/ %u workers, cache %s\n", v6 ? "[" : "", host,
	    v6 ? "]" : "", port, options->workers,
	    server_mode_name(options->mode));
	/* Flushed here, or each worker would print it once more. */
	done = fflush(stdout) == 0;
out:
	return done;
}

static bool
apply_setting(struct sesscache_options *settings, const char *text)
{
	enum sesscache_status status;
	const char *value = strchr(text, '=') + 1;
	char *name = strndup(text, (size_t)(value - text) - 1);

	status = name == NULL ? SESSCACHE_ENOMEM :
				sesscache_options_set(settings, name, value);
	if (status != SESSCACHE_OK)
		fprintf(stderr, "-o %s: %s\n", text, sesscache_detail());
	free(name);
	return status == SESSCACHE_OK;
}

bool
server_open_cache(const struct server_options *options,
    struct sesscache **cache)
{
	struct sesscache_options *settings = NULL;
	enum sesscache_status status;
	bool done = false;
	size_t i;

	*cache = NULL;
	if (options->mode != SERVER_SHARED) {
		done = true;
		goto out;
	}
	status = sesscache_options_new(&settings);
	if (status != SESSCACHE_OK) {
		fprintf(stderr, "settings: %s\n", sesscache_detail());
		goto out;
	}
	for (i = 0; i < options->settings_len; i++) {
		if (!apply_setting(settings, options->settings[i]))
			goto out;
	}
	status = sesscache_open(cache, settings);
	done = status == SESSCACHE_OK;
	if (!done)
		fprintf(stderr, "cache: %s: %s\n", sesscache_strerror(status),
		    sesscache_detail());
out:
	sesscache_options_free(settings);
	return done;
}

static bool
load_identity(SSL_CTX *ctx, const struct server_identity *identity)
{
	return SSL_CTX_use_certificate_chain_file(ctx, identity->cert) == 1 &&
	    SSL_CTX_use_PrivateKey_file(ctx, identity->key, SSL_FILETYPE_PEM) ==
	    1 &&
	    SSL_CTX_check_private_key(ctx) == 1;
}

static bool
require_clients(SSL_CTX *ctx, const char *ca)
{
	STACK_OF(X509_NAME) *names = NULL;
	bool done = false;

	if (ca == NULL) {
		done = true;
		goto out;
	}
	if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
		goto out;
	names = SSL_load_client_CA_file(ca);
	if (names == NULL)
		goto out;
	SSL_CTX_set_client_CA_list(ctx, names); /* now ctx owns them */
	SSL_CTX_set_verify(ctx,
	    SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	done = true;
out:
	return done;
}

/* This is all that a server does about sesscache. */
static bool
attach(SSL_CTX *ctx, const char *realm, struct sesscache *cache)
{
	enum sesscache_status status;

	status = realm != NULL ? sesscache_attach_realm(cache, ctx, realm) :
				 sesscache_attach(cache, ctx);
	if (status != SESSCACHE_OK)
		fprintf(stderr, "attach: %s\n", sesscache_detail());
	return status == SESSCACHE_OK;
}

/* Where sessions live. */
static bool
choose_cache(SSL_CTX *ctx, const struct server_options *options,
    struct sesscache *cache)
{
	bool done = true;

	switch (options->mode) {
	case SERVER_SHARED:
		done = attach(ctx, options->realm, cache);
		break;
	case SERVER_PROCESS:
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
		break;
	case SERVER_NONE:
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		break;
	}
	return done;
}

/* What there is to say about sessions before they have a place. */
static bool
allow_sessions(SSL_CTX *ctx, const struct server_options *options)
{
	static const unsigned char name[] = "sesscache example";

	if (!options->stateless)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	/* OpenSSL resumes no session with a client certificate without. */
	return SSL_CTX_set_session_id_context(ctx, name, sizeof(name) - 1) ==
	    1 &&
	    SSL_CTX_set_num_tickets(ctx, options->tickets) == 1 &&
	    SSL_CTX_set_max_early_data(ctx, options->early_bytes) == 1;
}

static SSL_CTX *
new_context(const struct server_options *options,
    const struct server_identity *identity, struct sesscache *cache)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	bool done;

	done = ctx != NULL &&
	    SSL_CTX_set_min_proto_version(ctx, options->min_version) == 1 &&
	    SSL_CTX_set_max_proto_version(ctx, options->max_version) == 1 &&
	    load_identity(ctx, identity) &&
	    require_clients(ctx, identity->client_ca) &&
	    allow_sessions(ctx, options) && choose_cache(ctx, options, cache);
	if (!done) {
		fprintf(stderr, "no TLS with %s and %s:\n", identity->cert,
		    identity->key);
		ERR_print_errors_fp(stderr);
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

static bool
add_hosts(SSL_CTX *ctx, const struct server_options *options,
    struct sesscache *cache)
{
	const struct server_host *host;
	SSL_CTX *own;
	bool done = true;
	size_t i;

	for (i = 0; i < options->hosts_len && done; i++) {
		host = &options->hosts[i];
		own = new_context(options, &host->identity, cache);
		done = own != NULL && hosts_add(ctx, host->name, own);
	}
	return done;
}

SSL_CTX *
server_context(const struct server_options *options, struct sesscache *cache)
{
	SSL_CTX *ctx = new_context(options, &options->identity, cache);

	if (ctx != NULL && !add_hosts(ctx, options, cache)) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

bool
server_drop_privileges(const struct server_options *options)
{
	bool done = options->user == NULL ||
	    (setgroups(0, NULL) == 0 && setgid(options->gid) == 0 &&
		setuid(options->uid) == 0);

	if (!done)
		fprintf(stderr, "user %s: %s\n", options->user,
		    strerror(errno));
	/* Trust is good: what was dropped must not come back. */
	if (done && options->user != NULL && options->uid != 0 &&
	    setuid(0) == 0) {
		fprintf(stderr, "user %s: root came back\n", options->user);
		done = false;
	}
	return done;
}
