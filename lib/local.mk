# SPDX-License-Identifier: BSD-2-Clause
# The code is compiled once, into a convenience library that the unit tests
# link; the product is the same objects behind the version script.

noinst_LTLIBRARIES += lib/libsesscache-internal.la
lib_libsesscache_internal_la_SOURCES = \
	lib/api/clock.c \
	lib/api/clock.h \
	lib/api/handle.c \
	lib/api/handle.h \
	lib/api/inspect.c \
	lib/api/inspect.h \
	lib/api/log.c \
	lib/api/log.h \
	lib/api/options.h \
	lib/api/settings.c \
	lib/cache/address.c \
	lib/cache/address.h \
	lib/cache/bytes.h \
	lib/cache/cache.c \
	lib/cache/cache.h \
	lib/cache/evict.c \
	lib/cache/evict.h \
	lib/cache/keyring.c \
	lib/cache/keyring.h \
	lib/cache/landings.c \
	lib/cache/landings.h \
	lib/cache/record.c \
	lib/cache/record.h \
	lib/cache/scratch.c \
	lib/cache/scratch.h \
	lib/cache/seal.c \
	lib/cache/seal.h \
	lib/cache/terms.c \
	lib/cache/terms.h \
	lib/cache/ticket.c \
	lib/cache/ticket.h \
	lib/openssl/anchors.c \
	lib/openssl/anchors.h \
	lib/openssl/attach.c \
	lib/openssl/attachment.c \
	lib/openssl/attachment.h \
	lib/openssl/describe.c \
	lib/openssl/early.c \
	lib/openssl/early.h \
	lib/openssl/gate.c \
	lib/openssl/gate.h \
	lib/openssl/handshake.c \
	lib/openssl/handshake.h \
	lib/openssl/hello.c \
	lib/openssl/hello.h \
	lib/openssl/info.c \
	lib/openssl/info.h \
	lib/openssl/link.c \
	lib/openssl/link.h \
	lib/openssl/lookup.c \
	lib/openssl/lookup.h \
	lib/openssl/newid.c \
	lib/openssl/newid.h \
	lib/openssl/newsession.c \
	lib/openssl/newsession.h \
	lib/openssl/policy.c \
	lib/openssl/policy.h \
	lib/openssl/quiet.c \
	lib/openssl/quiet.h \
	lib/openssl/scope.c \
	lib/openssl/scope.h \
	lib/openssl/session.c \
	lib/openssl/session.h \
	lib/openssl/tickets.c \
	lib/openssl/tickets.h \
	lib/platform/dir.c \
	lib/platform/dir.h \
	lib/platform/fork.c \
	lib/platform/fork.h \
	lib/platform/host.c \
	lib/platform/host.h \
	lib/platform/lock.c \
	lib/platform/lock.h \
	lib/store/journal.c \
	lib/store/journal.h \
	lib/store/lmdb.c \
	lib/store/remake.c \
	lib/store/shard.c \
	lib/store/shard.h \
	lib/store/spent.c \
	lib/store/spent.h \
	lib/store/store.c \
	lib/store/store.h \
	lib/store/tree.h \
	lib/store/verify.c \
	lib/store/verify.h \
	lib/sesscache.h \
	lib/status.c \
	lib/status.h
lib_libsesscache_internal_la_LIBADD = $(OPENSSL_LIBS) $(LMDB_LIBS)

lib_LTLIBRARIES += lib/libsesscache.la
lib_libsesscache_la_SOURCES =
lib_libsesscache_la_LIBADD = lib/libsesscache-internal.la
# libcrypto and fork() keep pointers to its functions: it cannot be unloaded.
lib_libsesscache_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined \
	-Wl,-z,nodelete \
	-version-info $(SESSCACHE_ABI) \
	-Wl,--version-script=$(top_srcdir)/lib/sesscache.map
EXTRA_lib_libsesscache_la_DEPENDENCIES = $(top_srcdir)/lib/sesscache.map

include_HEADERS = lib/sesscache.h
pkgconfig_DATA = lib/sesscache.pc

EXTRA_DIST += lib/sesscache.map lib/sesscache.pc.in lib/openssl/README.md
