# SPDX-License-Identifier: BSD-2-Clause
# "make check" builds the benchmark, so that it stays whole; "make bench" runs
# it, with the arguments in BENCH_FLAGS.

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
	tests/bench/system_sesscache.c \
	tests/bench/workers.c
tests_bench_bench_cache_LDADD = lib/libsesscache.la $(OPENSSL_LIBS) $(LMDB_LIBS)

BENCH_FLAGS =

bench: tests/bench/bench_cache
	tests/bench/bench_cache $(BENCH_FLAGS)

.PHONY: bench
