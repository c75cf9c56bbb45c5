# SPDX-License-Identifier: BSD-2-Clause
# "make check" builds the benchmarks, so that they stay whole; "make bench" runs
# them, with the arguments in BENCH_FLAGS and BENCH_TLS_FLAGS.

check_PROGRAMS += tests/bench/bench_cache
tests_bench_bench_cache_SOURCES = \
	tests/bench/baseline_floor.c \
	tests/bench/baseline_lmdb.c \
	tests/bench/baseline_shm.c \
	tests/bench/bench.h \
	tests/bench/bench_cache.c \
	tests/bench/capacity.c \
	tests/bench/heap.c \
	tests/bench/helpers.c \
	tests/bench/judge.c \
	tests/bench/measure.c \
	tests/bench/pool.c \
	tests/bench/report.c \
	tests/bench/scratch.c \
	tests/bench/system_sesscache.c \
	tests/bench/workers.c
tests_bench_bench_cache_LDADD = lib/libsesscache.la $(OPENSSL_LIBS) $(LMDB_LIBS)

check_PROGRAMS += tests/bench/bench_tls
tests_bench_bench_tls_SOURCES = \
	tests/bench/bench.h \
	tests/bench/bench_tls.c \
	tests/bench/helpers.c \
	tests/bench/scratch.c \
	tests/tls.c \
	tests/tls.h
tests_bench_bench_tls_LDADD = lib/libsesscache.la $(OPENSSL_LIBS) -lm

check_PROGRAMS += tests/bench/steps
tests_bench_steps_SOURCES = tests/bench/steps.c tests/tls.c tests/tls.h
tests_bench_steps_LDADD = lib/libsesscache.la $(OPENSSL_LIBS)

EXTRA_DIST += tests/bench/instructions.sh

BENCH_FLAGS =
BENCH_TLS_FLAGS =

bench: tests/bench/bench_cache tests/bench/bench_tls
	tests/bench/bench_cache $(BENCH_FLAGS)
	tests/bench/bench_tls $(BENCH_TLS_FLAGS)

# OTHER=DIR: where libsesscache.so of another version is, to compare with.
bench-instructions: tests/bench/steps
	$(srcdir)/tests/bench/instructions.sh tests/bench/.libs/steps \
	    lib/.libs $(OTHER)

.PHONY: bench bench-instructions
