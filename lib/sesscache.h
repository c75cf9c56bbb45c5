/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache: one TLS session cache for all worker processes of a host.
 *
 * Order of use: make options (or pass NULL), open the cache, attach it to each
 * SSL_CTX, serve, close.  A cache may be opened before fork(): children use
 * the handle as it is, after chroot() and setuid() too.  Processes without a
 * common parent open the same directory and share it as well (the sessions of
 * verified clients only in a named realm).
 *
 * Every function may be called from any thread and from any process that has,
 * or has inherited, the handle.  None may be called from a signal handler.
 * No call blocks for longer than about 40 ms on a lock, except opening,
 * purging and visiting, which work through the whole cache.
 *
 * Statuses: zero is success, positive is an answer, negative is a failure that
 * sesscache_detail() describes.  The numbers never change their meaning.
 *
 * Times are in seconds.  Times of day are seconds since 1970; lifetimes are
 * kept on a clock that does not jump when the time of day is set.
 */
#ifndef SESSCACHE_H
#define SESSCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h> /* SSL_CTX and SSL, only their names */

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SESSCACHE_MUST_CHECK __attribute__((__warn_unused_result__))
#else
#define SESSCACHE_MUST_CHECK
#endif

enum sesscache_status {
	SESSCACHE_OK = 0,
	SESSCACHE_MISS = 1,      /* no live record under this ID */
	SESSCACHE_EXISTS = 2,    /* sesscache_add(): somebody was first */
	SESSCACHE_EINVAL = -1,   /* an argument or a setting is wrong */
	SESSCACHE_ENOMEM = -2,   /* memory is exhausted */
	SESSCACHE_ESYS = -3,     /* a system call failed; errno is set */
	SESSCACHE_EUNSAFE = -4,  /* owner, mode or type of a file is not safe */
	SESSCACHE_EFORMAT = -5,  /* another format, page size or byte order */
	SESSCACHE_ETOOBIG = -6,  /* longer than the max-session setting */
	SESSCACHE_ECORRUPT = -7, /* a file of the cache is damaged */
	SESSCACHE_ENOSPC = -8,   /* no room to create or grow the files */
	SESSCACHE_EBUSY = -9,    /* the lock was not to be had in time; nothing
	                           was done */
};

struct sesscache;         /* opaque; thread-safe; survives fork() */
struct sesscache_options; /* opaque; for one thread at a time */

/*
 * The settings: defaults, then the environment (SESSCACHE_DIR, SESSCACHE_SIZE,
 * ...; ignored in a set-user-ID program), then sesscache_options_set().  The
 * caller releases *out with sesscache_options_free(), which accepts NULL.
 *
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL (out is NULL, or a variable has a bad
 * value; *out is NULL) or SESSCACHE_ENOMEM.
 */
enum sesscache_status sesscache_options_new(struct sesscache_options **out)
    SESSCACHE_MUST_CHECK;

/*
 * Set one setting by its name in sesscache(3), as "size" to "64M".  The value
 * is copied.  On failure the setting keeps the value that it had.
 *
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL (an unknown name, a value outside its
 * range, a bad unit) or SESSCACHE_ENOMEM.
 */
enum sesscache_status sesscache_options_set(struct sesscache_options *options,
    const char *name, const char *value) SESSCACHE_MUST_CHECK;

void sesscache_options_free(struct sesscache_options *options);

/* One row of the table of settings, for help texts; everything static. */
struct sesscache_setting {
	const char *name;          /* as for sesscache_options_set() */
	const char *variable;      /* as in the environment */
	const char *default_value; /* as it would be written */
	const char *values;        /* what is accepted, in words */
	const char *help;          /* one line */
};

/* The setting of this index, counted from 0, or NULL past the last one. */
const struct sesscache_setting *sesscache_setting(size_t index);

/*
 * Open the cache in the directory of the settings, and make it if there is
 * none (unless the setting "create" is off).  options may be NULL: defaults
 * and environment; they are not needed after the call.  Opening a directory
 * twice in one process gives two handles on one set of maps.
 *
 * A size setting that was given and differs from the size of the cache
 * resizes it; a size left at its default does not.
 *
 * Returns SESSCACHE_OK, SESSCACHE_MISS (no cache there, and "create" is off),
 * SESSCACHE_EINVAL, SESSCACHE_ENOMEM, SESSCACHE_ESYS, SESSCACHE_EUNSAFE,
 * SESSCACHE_EFORMAT, SESSCACHE_ECORRUPT, SESSCACHE_ENOSPC or SESSCACHE_EBUSY
 * (another process has been opening it for seconds).  Unless it is
 * SESSCACHE_OK, *out is NULL.
 */
enum sesscache_status sesscache_open(struct sesscache **out,
    const struct sesscache_options *options) SESSCACHE_MUST_CHECK;

/*
 * Release a handle; NULL is accepted.  The cache itself stays.  An SSL_CTX to
 * which the handle was attached goes on using the cache until it is freed.
 * After fork() parent and child each close their own copy.
 */
void sesscache_close(struct sesscache *cache);

/*
 * Let ctx, a context for servers, store its sessions in the cache and find
 * them there: TLS 1.2 session IDs (RFC 5246) and TLS 1.3 stateful tickets
 * (RFC 8446, section 4.6.1; where SSL_OP_NO_TICKET is set, by the application,
 * by the settings "tickets" and "single-use", or here, for early data).
 * Tickets that hold their session are sealed under keys that all processes
 * share.
 *
 * Attach ctx when it has its certificate and its settings, before its first
 * SSL_new().  Resumption uses the SSL_CTX that SSL_new() got, so attach that
 * one; attach those that a callback switches to, too: where clients are
 * verified in one that is not attached, nothing resumes.  ctx and cache may be
 * freed in either order.
 *
 * What is set.  The session cache mode, the callbacks for new, looked up and
 * removed sessions, the info callback, the session ID generator, the ticket key
 * callback and, up to the first flight of a handshake, a callback on its BIO:
 * one that BIO_set_callback_ex() has set is called as before, one of the
 * deprecated BIO_set_callback() is not.  To use a generator of your own, set it
 * after this call.  An info callback of your own is called once for each step,
 * whether it was set before this call or after it, or calls ours itself.
 * Callbacks for new and removed sessions that ctx had are called for the
 * sessions that it has as a client.
 *
 * Ticket keys.  This call replaces a ticket key callback, and the keys of
 * SSL_CTX_set_tlsext_ticket_keys(), that were set before; a callback that is
 * set with SSL_CTX_set_tlsext_ticket_key_evp_cb() afterwards replaces ours.
 * With the setting "tickets" at "own" the application's are left alone,
 * whatever the order; keys that are set afterwards, and a callback of the
 * deprecated SSL_CTX_set_tlsext_ticket_key_cb(), need that.  If the application
 * sets none, they are OpenSSL's own, of this SSL_CTX alone.  Tickets under the
 * application's keys are resumed as OpenSSL does it; nothing of what follows
 * holds for them.
 *
 * Who may resume, without client authentication.  A session resumes where the
 * names in the certificate (its subject and subjectAltName; a raw public key is
 * its own name), those of the SSL_CTX that SSL_new() got, the security level
 * and the server name are the same, in any process and after a restart.  A
 * renewed certificate with the same names changes nothing.  Where a server-name
 * callback leads to other names than when the session was made, the connection
 * is still served if today's certificate covers the server name and no realm is
 * named on either side.  A context without a certificate, which a certificate
 * callback sets later, counts as itself, as below.
 *
 * Who may resume, with it.  A session that was made under SSL_VERIFY_PEER, or
 * of a client that authenticated later, belongs to the attachment of its
 * SSL_CTX: it resumes in the process that attached it and in those that inherit
 * it by fork(), not after a restart, and not in another context.  It ends when
 * a visible part of what decided changes: the store is replaced, it gets a CRL
 * while CRLs are checked, its parameters or callbacks, or those of the
 * connection, the mode, the depth, the verify callback, the security level or
 * the security callback are others.  Where the store or its CRLs change after
 * fork(), each process is by itself from then on.  To share more, name a realm:
 * sesscache_attach_realm().  A session also ends when the first certificate of
 * the verified chain does, or the first CRL that was asked (unless
 * X509_V_FLAG_NO_CHECK_TIME is set).
 *
 * What is not compared: a certificate that is added to a store, unless a realm
 * is named, as it refuses nobody; the names of client CAs.  And because it
 * cannot be seen: what a verify callback or a callback of a store's does; the
 * signature algorithms that clients may use; a callback of
 * SSL_CTX_set_cert_verify_callback(); what a store's lookups would find, before
 * they have loaded it; trust settings and policies of an X509_VERIFY_PARAM, and
 * its purpose unless this library was built with OpenSSL 3.5 or newer; what a
 * certificate callback sets; what OpenSSL itself does when TLS 1.2 is
 * renegotiated; what resumes from OpenSSL's own cache, where its mode is set
 * after this call.  The ex_data of a session is lost when it is resumed.
 *
 * The session ID context of the application stays, and OpenSSL compares it.
 * Where clients are verified and there is none, sessions get "sesscache", for
 * OpenSSL would fail handshakes without one.
 *
 * SSL_CTX_remove_session() removes a session from the cache; that a connection
 * ends without close_notify does not.  SSL_clear() of a connection that was
 * not shut down calls it, and so counts as it.  It cannot recall a ticket that
 * holds its session.
 *
 * No failure of the cache ever fails a handshake: it becomes a full one.  One
 * case ends a connection, before any data: a session was resumed, and then the
 * server-name callback led elsewhere than when it was made (to another policy,
 * where clients are verified or the certificate does not cover the server
 * name), for OpenSSL cannot take a resumption back.  That happens once for a
 * name and host; for one "timeout" such sessions are misses then, and if the
 * name moves back meanwhile, all of that name are.
 *
 * Returns SESSCACHE_OK (also when the setting "enable" is off, which makes it
 * do nothing), SESSCACHE_EINVAL (NULL, a context for clients, one that is
 * attached already) or SESSCACHE_ENOMEM.
 */
enum sesscache_status sesscache_attach(struct sesscache *cache, SSL_CTX *ctx)
    SESSCACHE_MUST_CHECK;

/*
 * The same, and name the realm of ctx, 1 to 255 bytes; the setting "realm"
 * names one for every context that this call does not.  Sessions and tickets
 * of contexts with the same realm resume in each other, in all processes that
 * share the cache and after a restart, whatever their certificates and the
 * server names that clients ask for; and in no other context.  For a session
 * to resume under another server name, the SSL_CTX that SSL_new() got must be
 * in the realm as well as the one that a callback switches to.  If that one is
 * in no realm, sessions resume under the server name that they were made with,
 * where its certificate has the same names and its security level is the same.
 *
 * Where clients are verified, the realm replaces only what cannot be compared.
 * What can be still must be the same: digests of the certificates and CRLs in
 * the store, the verify mode with all its flags, depth, flags, hosts and the
 * rest of what can be read of the parameters, the security level, and whether
 * there is a verify callback or one of the store's; a security callback is not
 * compared.  So do not name a realm for stores that load their certificates one
 * by one, as from a directory: what they have loaded differs.
 *
 * Give one name to such contexts only that may accept each other's clients:
 * that their verify callbacks decide alike is your word.
 *
 * Returns as sesscache_attach(); SESSCACHE_EINVAL also if realm is NULL, empty
 * or too long.
 */
enum sesscache_status sesscache_attach_realm(struct sesscache *cache,
    SSL_CTX *ctx, const char *realm) SESSCACHE_MUST_CHECK;

/*
 * Attach the SSL_CTX of a connection through the connection, before its
 * handshake: for who gets to see no SSL_CTX before its first SSL_new().  As
 * sesscache_attach(), the setting "realm" included; besides, what SSL_new()
 * copied from the SSL_CTX before is brought onto ssl: the session ID
 * generator, the options of tickets and early data, and the info callback.
 * Call it for each connection that may have been made before the attach; if
 * its SSL_CTX is attached to this cache already, only ssl is changed.
 *
 * Returns SESSCACHE_OK (also if the SSL_CTX was attached already, or "enable"
 * is off), SESSCACHE_EINVAL (NULL, a client's connection, an SSL_CTX that is
 * attached to another cache) or SESSCACHE_ENOMEM.
 */
enum sesscache_status sesscache_attach_ssl(struct sesscache *cache, SSL *ssl)
    SESSCACHE_MUST_CHECK;

#define SESSCACHE_ID_LEN 32     /* bytes of an ID from sesscache_new_id() */
#define SESSCACHE_ID_MAX_LEN 64 /* bytes of an ID at most */

/*
 * Make an ID that says where its record will be: cheaper to store and to find
 * than one of the caller's own, and impossible to guess.
 *
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL, or SESSCACHE_ESYS (libcrypto failed).
 */
enum sesscache_status sesscache_new_id(struct sesscache *cache,
    uint8_t id[SESSCACHE_ID_LEN]) SESSCACHE_MUST_CHECK;

/*
 * Store data_len bytes under an ID of 1 to 64 bytes for ttl_seconds (0: the
 * "timeout" setting), in the place of what was there.  The bytes are sealed
 * (AES-256-GCM) and copied.
 *
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL, SESSCACHE_ETOOBIG, SESSCACHE_ESYS
 * (libcrypto failed), SESSCACHE_ECORRUPT or SESSCACHE_EBUSY.
 */
enum sesscache_status sesscache_put(struct sesscache *cache, const uint8_t *id,
    size_t id_len, const uint8_t *data, size_t data_len, uint32_t ttl_seconds)
    SESSCACHE_MUST_CHECK;

/*
 * The same, but only if no live record has this ID: of any number of callers
 * on the host exactly one gets SESSCACHE_OK, the others SESSCACHE_EXISTS.
 */
enum sesscache_status sesscache_add(struct sesscache *cache, const uint8_t *id,
    size_t id_len, const uint8_t *data, size_t data_len, uint32_t ttl_seconds)
    SESSCACHE_MUST_CHECK;

/*
 * Copy the live record under an ID to buf.  *len is its length; if that is
 * more than size, the status is SESSCACHE_ETOOBIG and nothing is copied.  A
 * get marks the record as one that is used: it is evicted later.
 *
 * Returns SESSCACHE_OK, SESSCACHE_MISS, SESSCACHE_EINVAL, SESSCACHE_ETOOBIG,
 * SESSCACHE_ECORRUPT or SESSCACHE_EBUSY.
 */
enum sesscache_status sesscache_get(struct sesscache *cache, const uint8_t *id,
    size_t id_len, uint8_t *buf, size_t size, size_t *len) SESSCACHE_MUST_CHECK;

/*
 * The same, and remove the record: of any number of callers on the host
 * exactly one gets it, the others SESSCACHE_MISS.  With SESSCACHE_ETOOBIG the
 * record stays.
 */
enum sesscache_status sesscache_take(struct sesscache *cache, const uint8_t *id,
    size_t id_len, uint8_t *buf, size_t size, size_t *len) SESSCACHE_MUST_CHECK;

/*
 * Remove the record under an ID, be it live or expired.  Returns SESSCACHE_OK,
 * SESSCACHE_MISS (there is none), SESSCACHE_EINVAL, SESSCACHE_ECORRUPT or SESSCACHE_EBUSY.
 */
enum sesscache_status sesscache_remove(struct sesscache *cache,
    const uint8_t *id, size_t id_len) SESSCACHE_MUST_CHECK;

enum sesscache_queue {
	SESSCACHE_NEWCOMER = 0, /* born of a full handshake, not back yet */
	SESSCACHE_REGULAR = 1,  /* of a client that came back */
};

/* What sesscache_each() shows of one record; borrowed during the visit. */
struct sesscache_info {
	const uint8_t *id;   /* 1 to 64 bytes */
	size_t id_len;       /* bytes */
	uint64_t created_at; /* seconds since 1970 */
	uint64_t expires_at; /* seconds since 1970 */
	size_t data_len;     /* bytes that were stored */
	size_t record_len;   /* bytes that the sealed record takes */
	enum sesscache_queue queue;
	bool expired;
	bool used;               /* resumed since it was stored or spared */
	const char *protocol;    /* "TLSv1.3"; NULL: not a TLS session */
	const char *cipher;      /* standard name; NULL: not known */
	const char *server_name; /* NULL: none */
	const char *problem;     /* NULL: none; else what is wrong with it */
};

/* Returns 0 to go on; anything else ends the visit. */
typedef int sesscache_visit(const struct sesscache_info *info, void *arg);

/*
 * Show every record to visit, oldest first within each shard, the expired
 * ones too.  No lock is held during a visit, so that it may take its time and
 * use the cache; what is stored or removed meanwhile may be shown or not.
 *
 * Returns SESSCACHE_OK (also when visit ended it), SESSCACHE_EINVAL,
 * SESSCACHE_ENOMEM, SESSCACHE_ECORRUPT or SESSCACHE_EBUSY.
 */
enum sesscache_status sesscache_each(struct sesscache *cache,
    sesscache_visit *visit, void *arg) SESSCACHE_MUST_CHECK;

/* Which records: those that fit every condition that is set. */
struct sesscache_filter {
	bool expired;                /* past their lifetime */
	uint64_t older_than_seconds; /* stored longer ago; 0: any age */
	const char *server_name;     /* case does not matter; NULL: any */
	const uint8_t *id;           /* NULL: any */
	size_t id_len;               /* bytes */
};

/*
 * Whether a record that a visit shows fits a filter; now is in seconds since
 * 1970.  A NULL filter fits everything.
 */
bool sesscache_filter_match(const struct sesscache_filter *filter,
    const struct sesscache_info *info, uint64_t now);

/*
 * Remove what fits the filter.  NULL removes everything, and first destroys
 * the keys under which it was sealed, and those of tickets.  *removed (may be
 * NULL) counts.
 *
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL, SESSCACHE_ENOMEM,
 * SESSCACHE_ECORRUPT or SESSCACHE_EBUSY (some records may be gone).
 */
enum sesscache_status sesscache_purge(struct sesscache *cache,
    const struct sesscache_filter *filter, uint64_t *removed)
    SESSCACHE_MUST_CHECK;

/* Sizes now, and counts since the cache was made. */
struct sesscache_stats {
	uint64_t size_bytes; /* the bound: what all files take on disk */
	uint64_t used_bytes; /* of it, in use by records and their index */
	uint64_t shards;     /* LMDB environments */
	uint64_t records;    /* now, those that are about to be removed
	                             too; longer than 2,000 bytes: several */
	uint64_t newcomers;  /* of these */
	uint64_t regulars;   /* of these */
	uint64_t stored;
	uint64_t hits;    /* lookups that copied a record; of TLS, those that
	                     resumed */
	uint64_t misses;  /* lookups of our IDs that found none, or none that
	                     may resume */
	uint64_t foreign; /* lookups of IDs that this cache never made */
	uint64_t taken;   /* for one use, and removed by a lookup: no hits */
	uint64_t removed; /* by sesscache_remove(), purges, callbacks */
	uint64_t expired; /* removed past their lifetime */
	uint64_t evicted_newcomers;
	uint64_t evicted_regulars;
	uint64_t promoted;   /* from newcomers to regulars */
	uint64_t too_big;    /* not stored: longer than max-session */
	uint64_t busy;       /* a lock was not to be had in time */
	uint64_t stalled;    /* of these, waits that found a stopped owner */
	uint64_t repaired;   /* locks left by processes that died */
	uint64_t unreadable; /* records, and rings of ticket keys, that did
	                        not open */
	uint64_t failed;     /* errors that a TLS callback dropped */
	uint64_t created_at; /* seconds since 1970 */
	uint64_t tickets_issued;   /* under shared keys */
	uint64_t tickets_accepted; /* offered under a shared key, and resumed */
	uint64_t tickets_refused;  /* offered, but expired, damaged, their key
	                              gone, or not from here */
	uint64_t realm_refused;    /* sessions and tickets that may not resume
	                              where they were offered */
	uint64_t key_rotations;    /* ticket keys that became current in the
	                              place of another */
	uint64_t remade;           /* data files made anew, empty: damaged, or
	                              half made by a process that died */
	uint64_t undecodable;      /* found, but this version of OpenSSL cannot
	                              decode it; no hit */
	uint64_t reserved[1];      /* 0 */
};

/*
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL, SESSCACHE_ECORRUPT or
 * SESSCACHE_EBUSY.
 */
enum sesscache_status sesscache_stats(struct sesscache *cache,
    struct sesscache_stats *out) SESSCACHE_MUST_CHECK;

/* Ticket keys; a key is in each of these states in turn. */
enum sesscache_key_state {
	SESSCACHE_KEY_NEXT,     /* made, not used yet */
	SESSCACHE_KEY_CURRENT,  /* seals new tickets */
	SESSCACHE_KEY_PREVIOUS, /* still opens what was sealed under it */
};

/* What may be shown of a ticket key: never the key itself. */
struct sesscache_key {
	uint32_t name; /* random; tells one key from another */
	enum sesscache_key_state state;
	uint64_t made_at;    /* seconds since 1970 */
	uint64_t retires_at; /* opens nothing from then on; seconds since 1970;
	                        0: not known yet */
};

#define SESSCACHE_KEYS_MAX 3 /* one of each state */

/*
 * List the shared ticket keys, in the order of their states; *n is how many
 * there are.  Nothing is made or changed.
 *
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL, SESSCACHE_ENOMEM, SESSCACHE_ESYS
 * (libcrypto failed), SESSCACHE_EBUSY, or SESSCACHE_ECORRUPT (the keys were
 * tampered with: the next ticket makes new ones).
 */
enum sesscache_status sesscache_keys(struct sesscache *cache,
    struct sesscache_key keys[SESSCACHE_KEYS_MAX], size_t *n)
    SESSCACHE_MUST_CHECK;

/*
 * Let the next ticket key become the current one, before it is due.  Tickets
 * under the current one resume for one lifetime of keys more; those under the
 * previous one do no longer.  To refuse all, rotate twice.
 *
 * Returns SESSCACHE_OK, SESSCACHE_EINVAL, SESSCACHE_ENOMEM, SESSCACHE_ESYS,
 * SESSCACHE_ECORRUPT (a lock is damaged) or SESSCACHE_EBUSY.
 */
enum sesscache_status sesscache_rotate_keys(struct sesscache *cache)
    SESSCACHE_MUST_CHECK;

/* The name of a status in a few words; static. */
const char *sesscache_strerror(enum sesscache_status status);

/*
 * This thread's last failure, in a sentence that names the file, setting or
 * argument; "" if there was none.  Valid until the thread's next failure.
 */
const char *sesscache_detail(void);

/* The version of the library, as "0.1.0"; static. */
const char *sesscache_version(void);

#ifdef __cplusplus
}
#endif

#endif
