# SPDX-License-Identifier: BSD-2-Clause
# A unit test is one line in unit_tests (its source is the same name with .c);
# a test with real processes is one line in shell_tests.

unit_tests = \
	tests/check_address \
	tests/check_cache \
	tests/check_callbacks \
	tests/check_coexist \
	tests/check_early \
	tests/check_evict \
	tests/check_exchange \
	tests/check_failures \
	tests/check_faults \
	tests/check_fork \
	tests/check_handle \
	tests/check_heap \
	tests/check_hostile \
	tests/check_hosts \
	tests/check_journal \
	tests/check_keyring \
	tests/check_landings \
	tests/check_landing \
	tests/check_lifetime \
	tests/check_matrix \
	tests/check_mend \
	tests/check_mishaps \
	tests/check_openssl \
	tests/check_other_handshakes \
	tests/check_platform \
	tests/check_race \
	tests/check_realm \
	tests/check_record \
	tests/check_recovery \
	tests/check_resume \
	tests/check_seal \
	tests/check_secrets \
	tests/check_settings \
	tests/check_stopped \
	tests/check_store \
	tests/check_trust

# Those of them that use threads, for ThreadSanitizer.
thread_tests = \
	tests/check_address \
	tests/check_cache \
	tests/check_fork \
	tests/check_handle \
	tests/check_keyring \
	tests/check_landings \
	tests/check_openssl \
	tests/check_platform \
	tests/check_seal \
	tests/check_store

# Rules about the tree and about what was built.
rule_tests = \
	tests/hardening.sh \
	tests/headers.sh \
	tests/layers.sh \
	tests/man.sh \
	tests/symbols.sh

shell_tests = \
	tests/clients.sh \
	tests/gnutls.sh \
	tests/prefork.sh \
	tests/tool.sh

dist_check_SCRIPTS += $(rule_tests) $(shell_tests)
TESTS += $(rule_tests) $(shell_tests)
EXTRA_DIST += tests/gcov.sh tests/gnutls-tap.py
EXTRA_DIST += tests/models.sh tests/models/hand.pml tests/models/remake.pml \
	tests/models/ring.pml tests/models/take.pml
EXTRA_DIST += tests/common.sh tests/chroot.sh tests/install.sh \
	tests/one-process.sh tests/valgrind.sh
EXTRA_DIST += tests/clients/Client.java tests/clients/client.js \
	tests/clients/client.py

# What unit tests share.
tests_libsupport_a_SOURCES = \
	tests/coverage.c \
	tests/comeback.c \
	tests/comeback.h \
	tests/ownkey.c \
	tests/ownkey.h \
	tests/pki.c \
	tests/pki.h \
	tests/policy.c \
	tests/policy.h \
	tests/process.c \
	tests/process.h \
	tests/street.c \
	tests/street.h \
	tests/support.c \
	tests/support.h \
	tests/tls.c \
	tests/tls.h \
	tests/visit.c \
	tests/visit.h \
	tests/wrap.h

# Its calls to libc, LMDB and OpenSSL go through fail.c: this list and the table
# there must agree, or it does not link.
tests_check_failures_SOURCES = \
	tests/check_failures.c \
	tests/fail.c \
	tests/fail.h
tests_check_failures_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=mmap \
	-Wl,--wrap=madvise \
	-Wl,--wrap=fdopendir,--wrap=fstat,--wrap=lstat,--wrap=fstatat \
	-Wl,--wrap=fchmod,--wrap=fchown,--wrap=lchown,--wrap=flock \
	-Wl,--wrap=ftruncate,--wrap=mkdir,--wrap=renameat,--wrap=unlinkat \
	-Wl,--wrap=read,--wrap=pread,--wrap=getrandom,--wrap=posix_fallocate \
	-Wl,--wrap=pthread_atfork,--wrap=pthread_mutexattr_init \
	-Wl,--wrap=pthread_mutexattr_setpshared \
	-Wl,--wrap=pthread_mutexattr_setrobust,--wrap=pthread_mutex_init \
	-Wl,--wrap=mdb_env_create,--wrap=mdb_env_set_maxdbs \
	-Wl,--wrap=mdb_env_set_mapsize,--wrap=mdb_env_open \
	-Wl,--wrap=mdb_txn_begin,--wrap=mdb_txn_renew,--wrap=mdb_txn_commit \
	-Wl,--wrap=mdb_dbi_open,--wrap=mdb_get,--wrap=mdb_put,--wrap=mdb_del \
	-Wl,--wrap=mdb_cursor_open,--wrap=mdb_cursor_get,--wrap=mdb_stat \
	-Wl,--wrap=EVP_CIPHER_CTX_new,--wrap=EVP_MD_CTX_new \
	-Wl,--wrap=EVP_CIPHER_fetch,--wrap=BIO_new,--wrap=SSL_CTX_new \
	-Wl,--wrap=SSL_new,--wrap=SSL_set_SSL_CTX,--wrap=CRYPTO_strdup \
	-Wl,--wrap=d2i_SSL_SESSION,--wrap=CRYPTO_get_ex_new_index \
	-Wl,--wrap=i2d_SSL_SESSION,--wrap=EVP_CipherInit_ex \
	-Wl,--wrap=EVP_CipherInit_ex2,--wrap=EVP_CipherUpdate \
	-Wl,--wrap=EVP_CipherFinal_ex,--wrap=EVP_CIPHER_CTX_ctrl \
	-Wl,--wrap=EVP_CIPHER_CTX_set_padding,--wrap=EVP_DigestInit_ex \
	-Wl,--wrap=EVP_DigestUpdate,--wrap=EVP_DigestFinal_ex \
	-Wl,--wrap=EVP_Digest,--wrap=EVP_MAC_CTX_set_params \
	-Wl,--wrap=RAND_bytes,--wrap=RAND_priv_bytes,--wrap=X509_digest \
	-Wl,--wrap=X509_NAME_get0_der,--wrap=X509_up_ref \
	-Wl,--wrap=ASN1_TIME_diff,--wrap=SSL_SESSION_up_ref \
	-Wl,--wrap=SSL_copy_session_id,--wrap=SSL_set_ex_data \
	-Wl,--wrap=SSL_CTX_set_ex_data,--wrap=open,--wrap=openat

# Those whose clock is the test's.
tests_check_early_SOURCES = \
	tests/check_early.c \
	tests/clock.c \
	tests/clock.h
tests_check_lifetime_SOURCES = \
	tests/check_lifetime.c \
	tests/clock.c \
	tests/clock.h
tests_check_secrets_SOURCES = \
	tests/check_secrets.c \
	tests/clock.c \
	tests/clock.h \
	tests/secrets.c \
	tests/secrets.h

# Where memory runs out.
tests_check_mishaps_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc \
	-Wl,--wrap=sc_quiet_begin,--wrap=sc_quiet_end

# Where a process stops.
tests_check_stopped_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=mdb_get,--wrap=RAND_priv_bytes \
	-Wl,--wrap=sc_journal_put,--wrap=sc_journal_remove \
	-Wl,--wrap=sc_room_delete,--wrap=sc_seal_close \
	-Wl,--wrap=sc_seal_close_blob,--wrap=sc_seal_open \
	-Wl,--wrap=sc_shard_open,--wrap=sc_store_flush \
	-Wl,--wrap=sc_store_usage,--wrap=sc_tree_commit \
	-Wl,--wrap=sc_tree_delete,--wrap=sc_tree_open,--wrap=sc_tree_put

# The linker leads calls between the objects of the library to where a process
# may be killed: in the test itself, and in tests/torture/points.c.
recovery_points = \
	pthread_mutex_clocklock \
	pthread_mutex_timedlock \
	sc_cache_put \
	sc_journal_put \
	sc_journal_remove \
	sc_lock_release \
	sc_room_delete \
	sc_seal_close_blob \
	sc_tree_begin \
	sc_tree_commit \
	sc_tree_delete \
	sc_tree_open \
	sc_tree_put \
	sc_tree_read \
	sc_tree_read_before \
	sc_verify_file
tests_check_recovery_LDFLAGS = $(AM_LDFLAGS) $(recovery_points:%=-Wl,--wrap=%)

torture_points = \
	pthread_mutex_timedlock \
	sc_journal_put \
	sc_journal_remove \
	sc_lock_release \
	sc_lock_take \
	sc_room_delete \
	sc_seal_close_blob \
	sc_shard_open \
	sc_shard_remake \
	sc_store_drop \
	sc_tree_commit \
	sc_tree_forget \
	sc_tree_open \
	sc_tree_put \
	sc_tree_read_before
tests_torture_torture_SOURCES = \
	tests/clock.c \
	tests/clock.h \
	tests/torture/adversary.c \
	tests/torture/adversary.h \
	tests/torture/calls.c \
	tests/torture/handshakes.c \
	tests/torture/jobs.c \
	tests/torture/observer.c \
	tests/torture/points.c \
	tests/torture/points.h \
	tests/torture/slots.c \
	tests/torture/threads.c \
	tests/torture/torture.c \
	tests/torture/torture.h
tests_torture_torture_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
tests_torture_torture_LDFLAGS = $(AM_LDFLAGS) $(torture_points:%=-Wl,--wrap=%)

# All programs without an LDADD of their own, so the unit tests.
LDADD = tests/libsupport.a lib/libsesscache-internal.la $(CHECK_LIBS)

if HAVE_CHECK
check_LIBRARIES += tests/libsupport.a
check_PROGRAMS += $(unit_tests) tests/torture/torture
TESTS += $(unit_tests) tests/torture/torture
else
check-local:
	@echo "make check needs Check (Debian: apt-get install check," \
	    "then configure again)" >&2
	@exit 1
endif

noinst_PROGRAMS += tests/load/load
tests_load_load_SOURCES = tests/load/load.c
tests_load_load_LDADD = $(OPENSSL_LIBS)

# Fills a cache for the tests of the tool.
check_PROGRAMS += tests/fill
tests_fill_LDADD = lib/libsesscache.la $(OPENSSL_LIBS)

# What a test may count on: the two directories, the tools of the build, and
# no setting of the cache from outside.
AM_TESTS_ENVIRONMENT = \
	for sc_variable in $$(env | sed -n 's/^\(SESSCACHE_[A-Z_]*\)=.*/\1/p'); \
	do unset "$$sc_variable"; done; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	CC='$(CC)'; export CC; \
	CXX='$(CXX)'; export CXX; \
	NM='$(NM_PATH)'; export NM; \
	READELF='$(READELF)'; export READELF; \
	SANITIZER='$(SC_SANITIZER)'; export SANITIZER; \
	OPENSSL_CFLAGS='$(OPENSSL_CFLAGS)'; export OPENSSL_CFLAGS;

installcheck-local:
	CC='$(CC)' CFLAGS='$(SC_SAN_CFLAGS)' bindir='$(bindir)' \
	    libdir='$(libdir)' pkgconfigdir='$(pkgconfigdir)' \
	    $(srcdir)/tests/install.sh

# --- the unit tests under other eyes ----------------------------------------

check-threads:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(thread_tests)'

# All but what kills at each system call, or has each call fail in a process of
# its own, what forks among threads against deadlines, what makes handshakes by
# the thousand, and what has an allocator of its own: that would be memcheck's
# system calls, its clock and its leaks.  The sanitizers see these, and the
# torture.
valgrind_tests = $(filter-out tests/check_callbacks tests/check_exchange \
	tests/check_failures tests/check_faults \
	tests/check_fork tests/check_hostile tests/check_hosts \
	tests/check_landing tests/check_matrix tests/check_mishaps \
	tests/check_other_handshakes tests/check_recovery \
	tests/check_stopped tests/check_trust,$(unit_tests))

check-valgrind:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(valgrind_tests)' \
	    LOG_COMPILER='$(srcdir)/tests/valgrind.sh'

# Those whose threads meet in locks alone: helgrind knows no atomic operation
# of C11, no lock whose owner died, no pthread_mutex_clocklock() (build with
# CPPFLAGS=-DSC_TIMEDLOCK), and takes a forked child for its parent.
# ThreadSanitizer knows all these.
helgrind_tests = tests/check_handle tests/check_seal

check-helgrind:
	CK_FORK=no $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(helgrind_tests)' \
	    LOG_COMPILER=valgrind LOG_FLAGS='--quiet --tool=helgrind \
	        --history-level=none --error-exitcode=1'

# The models of the protocols, by spin.
check-models:
	top_srcdir='$(abs_top_srcdir)' $(srcdir)/tests/models.sh

# make torture SECONDS=3600 TORTURE_FLAGS='-w 16'
SECONDS = 60
torture: tests/torture/torture
	tests/torture/torture -t $(SECONDS) $(TORTURE_FLAGS)

.PHONY: check-helgrind check-models check-threads check-valgrind torture
