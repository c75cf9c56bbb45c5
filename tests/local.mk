# SPDX-License-Identifier: BSD-2-Clause
# A unit test is one line in unit_tests (its source is the same name with .c);
# a test with real processes is one line in shell_tests.

unit_tests = \
	tests/check_address \
	tests/check_cache \
	tests/check_early \
	tests/check_evict \
	tests/check_faults \
	tests/check_fork \
	tests/check_handle \
	tests/check_heap \
	tests/check_journal \
	tests/check_keyring \
	tests/check_lifetime \
	tests/check_openssl \
	tests/check_platform \
	tests/check_race \
	tests/check_realm \
	tests/check_record \
	tests/check_resume \
	tests/check_seal \
	tests/check_settings \
	tests/check_store \
	tests/check_torture

# Those of them that use threads, for ThreadSanitizer.
thread_tests = \
	tests/check_address \
	tests/check_cache \
	tests/check_fork \
	tests/check_handle \
	tests/check_keyring \
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
EXTRA_DIST += tests/gnutls-tap.py
EXTRA_DIST += tests/common.sh tests/chroot.sh tests/install.sh tests/valgrind.sh
EXTRA_DIST += tests/clients/Client.java tests/clients/client.js \
	tests/clients/client.py

# What unit tests share.
tests_libsupport_a_SOURCES = \
	tests/process.c \
	tests/process.h \
	tests/support.c \
	tests/support.h \
	tests/tls.c \
	tests/tls.h

# Those whose clock is the test's.
tests_check_early_SOURCES = \
	tests/check_early.c \
	tests/clock.c \
	tests/clock.h
tests_check_lifetime_SOURCES = \
	tests/check_lifetime.c \
	tests/clock.c \
	tests/clock.h

# All programs without an LDADD of their own, so the unit tests.
LDADD = tests/libsupport.a lib/libsesscache-internal.la $(CHECK_LIBS)

if HAVE_CHECK
check_LIBRARIES += tests/libsupport.a
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
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

# All but what kills by the clock or at each system call, and what forks among
# threads against deadlines: that would be memcheck's clock, and memcheck's
# system calls.  The sanitizers see these.
valgrind_tests = $(filter-out tests/check_torture tests/check_faults \
	tests/check_fork,$(unit_tests))

check-valgrind:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(valgrind_tests)' \
	    LOG_COMPILER='$(srcdir)/tests/valgrind.sh'

.PHONY: check-threads check-valgrind
