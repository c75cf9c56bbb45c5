/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fail.h.  The linker turns each call of a function in the table into one
 * of __wrap_ and its name, and has the function itself as __real_.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"

/* How a function says that it failed. */
enum failure { MEMORY, CODE, ERRNO, LMDB_CODE, POINTER, NOT_ONE };

/*
 * X(failure, value, type, name, parameters, arguments); value is what it
 * returns then.
 */
/* clang-format off */
#define LIBC_CALLS(X) \
	X(MEMORY, NULL, void *, malloc, (size_t len), (len)) \
	X(MEMORY, NULL, void *, calloc, (size_t n, size_t len), (n, len)) \
	X(MEMORY, NULL, void *, realloc, (void *at, size_t len), (at, len)) \
	X(MEMORY, MAP_FAILED, void *, mmap, (void *at, size_t len, int prot, \
	    int flags, int fd, off_t from), (at, len, prot, flags, fd, from)) \
	X(ERRNO, -1, int, madvise, (void *at, size_t len, int advice), \
	    (at, len, advice)) \
	X(MEMORY, NULL, DIR *, fdopendir, (int fd), (fd)) \
	X(ERRNO, -1, int, fstat, (int fd, struct stat *st), (fd, st)) \
	X(ERRNO, -1, int, lstat, (const char *path, struct stat *st), \
	    (path, st)) \
	X(ERRNO, -1, int, fstatat, (int fd, const char *path, \
	    struct stat *st, int flags), (fd, path, st, flags)) \
	X(ERRNO, -1, int, fchmod, (int fd, mode_t mode), (fd, mode)) \
	X(ERRNO, -1, int, fchown, (int fd, uid_t uid, gid_t gid), \
	    (fd, uid, gid)) \
	X(ERRNO, -1, int, lchown, (const char *path, uid_t uid, gid_t gid), \
	    (path, uid, gid)) \
	X(ERRNO, -1, int, flock, (int fd, int how), (fd, how)) \
	X(ERRNO, -1, int, ftruncate, (int fd, off_t len), (fd, len)) \
	X(ERRNO, -1, int, mkdir, (const char *path, mode_t mode), \
	    (path, mode)) \
	X(ERRNO, -1, int, renameat, (int fd, const char *from, int to_fd, \
	    const char *to), (fd, from, to_fd, to)) \
	X(ERRNO, -1, int, unlinkat, (int fd, const char *path, int flags), \
	    (fd, path, flags)) \
	X(ERRNO, -1, ssize_t, read, (int fd, void *at, size_t len), \
	    (fd, at, len)) \
	X(ERRNO, -1, ssize_t, pread, (int fd, void *at, size_t len, \
	    off_t from), (fd, at, len, from)) \
	X(ERRNO, -1, ssize_t, getrandom, (void *at, size_t len, \
	    unsigned flags), (at, len, flags)) \
	X(CODE, code(), int, posix_fallocate, (int fd, off_t from, \
	    off_t len), (fd, from, len)) \
	X(CODE, code(), int, pthread_atfork, (void (*prepare)(void), \
	    void (*parent)(void), void (*child)(void)), \
	    (prepare, parent, child)) \
	X(CODE, code(), int, pthread_mutexattr_init, \
	    (pthread_mutexattr_t *attr), (attr)) \
	X(CODE, code(), int, pthread_mutexattr_setpshared, \
	    (pthread_mutexattr_t *attr, int how), (attr, how)) \
	X(CODE, code(), int, pthread_mutexattr_setrobust, \
	    (pthread_mutexattr_t *attr, int how), (attr, how)) \
	X(CODE, code(), int, pthread_mutex_init, (pthread_mutex_t *mutex, \
	    const pthread_mutexattr_t *attr), (mutex, attr))

#define LMDB_CALLS(X) \
	X(LMDB_CODE, lmdb_code(), int, mdb_env_create, (MDB_env **env), (env)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_env_set_maxdbs, (MDB_env *env, \
	    MDB_dbi n), (env, n)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_env_set_mapsize, (MDB_env *env, \
	    size_t len), (env, len)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_env_open, (MDB_env *env, \
	    const char *path, unsigned flags, mdb_mode_t mode), \
	    (env, path, flags, mode)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_txn_begin, (MDB_env *env, \
	    MDB_txn *parent, unsigned flags, MDB_txn **txn), \
	    (env, parent, flags, txn)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_txn_renew, (MDB_txn *txn), (txn)) \
	X(LMDB_CODE, (mdb_txn_abort(txn), lmdb_code()), int, mdb_txn_commit, \
	    (MDB_txn *txn), (txn)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_dbi_open, (MDB_txn *txn, \
	    const char *name, unsigned flags, MDB_dbi *dbi), \
	    (txn, name, flags, dbi)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_get, (MDB_txn *txn, MDB_dbi dbi, \
	    MDB_val *key, MDB_val *val), (txn, dbi, key, val)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_put, (MDB_txn *txn, MDB_dbi dbi, \
	    MDB_val *key, MDB_val *val, unsigned flags), \
	    (txn, dbi, key, val, flags)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_del, (MDB_txn *txn, MDB_dbi dbi, \
	    MDB_val *key, MDB_val *val), (txn, dbi, key, val)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_cursor_open, (MDB_txn *txn, \
	    MDB_dbi dbi, MDB_cursor **cursor), (txn, dbi, cursor)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_cursor_get, (MDB_cursor *cursor, \
	    MDB_val *key, MDB_val *val, MDB_cursor_op how), \
	    (cursor, key, val, how)) \
	X(LMDB_CODE, lmdb_code(), int, mdb_stat, (MDB_txn *txn, MDB_dbi dbi, \
	    MDB_stat *stat), (txn, dbi, stat))

#define OPENSSL_CALLS(X) \
	X(POINTER, NULL, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), ()) \
	X(POINTER, NULL, EVP_MD_CTX *, EVP_MD_CTX_new, (void), ()) \
	X(POINTER, NULL, EVP_CIPHER *, EVP_CIPHER_fetch, (OSSL_LIB_CTX *ctx, \
	    const char *name, const char *query), (ctx, name, query)) \
	X(POINTER, NULL, BIO *, BIO_new, (const BIO_METHOD *method), (method)) \
	X(POINTER, NULL, SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *method), \
	    (method)) \
	X(POINTER, NULL, SSL *, SSL_new, (SSL_CTX *ctx), (ctx)) \
	X(POINTER, NULL, SSL_CTX *, SSL_set_SSL_CTX, (SSL *ssl, SSL_CTX *ctx), \
	    (ssl, ctx)) \
	X(POINTER, NULL, char *, CRYPTO_strdup, (const char *string, \
	    const char *file, int line), (string, file, line)) \
	X(POINTER, NULL, SSL_SESSION *, d2i_SSL_SESSION, (SSL_SESSION **out, \
	    const unsigned char **at, long len), (out, at, len)) \
	X(POINTER, -1, int, CRYPTO_get_ex_new_index, (int what, long argl, \
	    void *argp, CRYPTO_EX_new *made, CRYPTO_EX_dup *copied, \
	    CRYPTO_EX_free *freed), (what, argl, argp, made, copied, freed)) \
	X(NOT_ONE, 0, int, i2d_SSL_SESSION, (const SSL_SESSION *session, \
	    unsigned char **out), (session, out)) \
	X(NOT_ONE, 0, int, EVP_CipherInit_ex, (EVP_CIPHER_CTX *ctx, \
	    const EVP_CIPHER *cipher, ENGINE *engine, \
	    const unsigned char *key, const unsigned char *iv, int encrypt), \
	    (ctx, cipher, engine, key, iv, encrypt)) \
	X(NOT_ONE, 0, int, EVP_CipherInit_ex2, (EVP_CIPHER_CTX *ctx, \
	    const EVP_CIPHER *cipher, const unsigned char *key, \
	    const unsigned char *iv, int encrypt, \
	    const OSSL_PARAM params[]), \
	    (ctx, cipher, key, iv, encrypt, params)) \
	X(NOT_ONE, 0, int, EVP_CipherUpdate, (EVP_CIPHER_CTX *ctx, \
	    unsigned char *out, int *out_len, const unsigned char *in, \
	    int len), (ctx, out, out_len, in, len)) \
	X(NOT_ONE, 0, int, EVP_CipherFinal_ex, (EVP_CIPHER_CTX *ctx, \
	    unsigned char *out, int *len), (ctx, out, len)) \
	X(NOT_ONE, 0, int, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX *ctx, \
	    int what, int arg, void *at), (ctx, what, arg, at)) \
	X(NOT_ONE, 0, int, EVP_CIPHER_CTX_set_padding, (EVP_CIPHER_CTX *ctx, \
	    int on), (ctx, on)) \
	X(NOT_ONE, 0, int, EVP_DigestInit_ex, (EVP_MD_CTX *ctx, \
	    const EVP_MD *md, ENGINE *engine), (ctx, md, engine)) \
	X(NOT_ONE, 0, int, EVP_DigestUpdate, (EVP_MD_CTX *ctx, \
	    const void *in, size_t len), (ctx, in, len)) \
	X(NOT_ONE, 0, int, EVP_DigestFinal_ex, (EVP_MD_CTX *ctx, \
	    unsigned char *out, unsigned *len), (ctx, out, len)) \
	X(NOT_ONE, 0, int, EVP_Digest, (const void *in, size_t in_len, \
	    unsigned char *out, unsigned *len, const EVP_MD *md, \
	    ENGINE *engine), (in, in_len, out, len, md, engine)) \
	X(NOT_ONE, 0, int, EVP_MAC_CTX_set_params, (EVP_MAC_CTX *ctx, \
	    const OSSL_PARAM params[]), (ctx, params)) \
	X(NOT_ONE, 0, int, RAND_bytes, (unsigned char *out, int len), \
	    (out, len)) \
	X(NOT_ONE, 0, int, RAND_priv_bytes, (unsigned char *out, int len), \
	    (out, len)) \
	X(NOT_ONE, 0, int, X509_digest, (const X509 *cert, const EVP_MD *md, \
	    unsigned char *out, unsigned *len), (cert, md, out, len)) \
	X(NOT_ONE, 0, int, X509_NAME_get0_der, (const X509_NAME *name, \
	    const unsigned char **out, size_t *len), (name, out, len)) \
	X(NOT_ONE, 0, int, X509_up_ref, (X509 *cert), (cert)) \
	X(NOT_ONE, 0, int, ASN1_TIME_diff, (int *days, int *seconds, \
	    const ASN1_TIME *from, const ASN1_TIME *to), \
	    (days, seconds, from, to)) \
	X(NOT_ONE, 0, int, SSL_SESSION_up_ref, (SSL_SESSION *session), \
	    (session)) \
	X(NOT_ONE, 0, int, SSL_copy_session_id, (SSL *to, const SSL *from), \
	    (to, from)) \
	X(NOT_ONE, 0, int, SSL_set_ex_data, (SSL *ssl, int index, void *data), \
	    (ssl, index, data)) \
	X(NOT_ONE, 0, int, SSL_CTX_set_ex_data, (SSL_CTX *ctx, int index, \
	    void *data), (ctx, index, data))

#define CALLS(X) LIBC_CALLS(X) LMDB_CALLS(X) OPENSSL_CALLS(X)
/* clang-format on */

#define NUMBER(failure, value, type, name, params, args) CALL_##name,
#define NAME(failure, value, type, name, params, args) { #name, failure },

enum { CALLS(NUMBER) CALL_open, CALL_openat, N_CALLS };

static const struct {
	const char *name;
	enum failure failure;
} calls[N_CALLS] = { CALLS(NAME){ "open", ERRNO }, { "openat", ERRNO } };

_Static_assert((int)N_CALLS <= (int)FAIL_MAX_CALLS, "see fail.h");

static bool counting, failed;
static struct fail_plan planned = { .call = -1 };
static unsigned counts[N_CALLS];

int
fail_calls(void)
{
	return N_CALLS;
}

const char *
fail_name(int call)
{
	return calls[call].name;
}

static bool
is_openssl(enum failure failure)
{
	return failure == POINTER || failure == NOT_ONE;
}

int
fail_kinds(int call)
{
	enum failure failure = calls[call].failure;

	return is_openssl(failure) || failure == MEMORY ? 1 : FAIL_KINDS;
}

void
fail_start(const struct fail_plan *plan)
{
	memset(counts, 0, sizeof(counts));
	planned.call = -1;
	if (plan != NULL)
		planned = *plan;
	failed = false;
	counting = true;
}

bool
fail_stop(void)
{
	counting = false;
	return failed;
}

unsigned
fail_count(int call)
{
	return counts[call];
}

static int
code(void)
{
	static const int codes[FAIL_KINDS] = { ENOMEM, ENOSPC, EIO, EACCES };

	return codes[planned.kind];
}

static int
lmdb_code(void)
{
	static const int codes[FAIL_KINDS] = { ENOMEM, MDB_MAP_FULL, EIO,
		MDB_CORRUPTED };

	return codes[planned.kind];
}

static bool
fails(int call)
{
	bool now = false;

	if (counting) {
		counts[call]++;
		now = call == planned.call &&
		    (counts[call] == planned.nth ||
			(planned.ever_after && counts[call] > planned.nth));
	}
	if (now) {
		errno = calls[call].failure == MEMORY ? ENOMEM : code();
		if (is_openssl(calls[call].failure))
			ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
		failed = true;
	}
	return now;
}

/* The names are the linker's. */
/* NOLINTBEGIN(bugprone-reserved-identifier,bugprone-macro-parentheses) */
#define WRAP(failure, value, type, name, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		return fails(CALL_##name) ? (value) : __real_##name args; \
	}

CALLS(WRAP)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);

int
__wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(args, mode_t);
	va_end(args);
	return fails(CALL_open) ? -1 : __real_open(path, flags, mode);
}

int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(args, mode_t);
	va_end(args);
	return fails(CALL_openat) ? -1 : __real_openat(dir, path, flags, mode);
}
/* NOLINTEND(bugprone-reserved-identifier,bugprone-macro-parentheses) */
