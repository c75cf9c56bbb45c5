# SPDX-License-Identifier: BSD-2-Clause
# A fuzz target is one line in fuzz_targets, its inputs are in corpus/<name>.
# "make check" replays these; "make fuzz" lets libFuzzer look for more.

fuzz_targets = \
	tests/fuzz/fuzz_address \
	tests/fuzz/fuzz_control \
	tests/fuzz/fuzz_hello \
	tests/fuzz/fuzz_record \
	tests/fuzz/fuzz_session \
	tests/fuzz/fuzz_settings \
	tests/fuzz/fuzz_shard \
	tests/fuzz/fuzz_tool

fuzz_ldadd = tests/fuzz/libfuzz.a lib/libsesscache-internal.la
fuzz_tls = tests/fuzz/fuzz_tls.c tests/fuzz/fuzz_tls.h \
	tests/tls.c tests/tls.h

tests_fuzz_libfuzz_a_SOURCES = \
	tests/fuzz/fuzz.c \
	tests/fuzz/fuzz.h \
	tests/fuzz/replay.c
tests_fuzz_fuzz_address_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_control_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_hello_SOURCES = tests/fuzz/fuzz_hello.c $(fuzz_tls)
tests_fuzz_fuzz_hello_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_record_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_session_SOURCES = tests/fuzz/fuzz_session.c $(fuzz_tls)
tests_fuzz_fuzz_session_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_settings_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_shard_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_tool_SOURCES = tests/fuzz/fuzz_tool.c \
	tests/fuzz/tool_main.h $(tools_sesscache_SOURCES)
tests_fuzz_fuzz_tool_CPPFLAGS = $(AM_CPPFLAGS) \
	-include $(top_srcdir)/tests/fuzz/tool_main.h
tests_fuzz_fuzz_tool_LDADD = $(fuzz_ldadd)

check_LIBRARIES += tests/fuzz/libfuzz.a
check_PROGRAMS += $(fuzz_targets)
TESTS += $(fuzz_targets)
EXTRA_DIST += tests/fuzz/corpus

# --- make fuzz --------------------------------------------------------------

# For how long each target runs, and what it runs in: a build of its own, in
# which everything is instrumented.  What they find is in fuzz/new.  Leaks are
# looked for at the end: after each input that would cost more than the input.
FUZZ_SECONDS = 10
FUZZ_CC = clang
FUZZ_FLAGS = -timeout=25 -max_len=600 -rss_limit_mb=1024 -detect_leaks=0
fuzz_configure = CC='$(FUZZ_CC)' CFLAGS='-g -O1' \
	--with-sanitizer=address,undefined,fuzzer-no-link

# Configured first, if that is due: its own tests are not to get the flag.
fuzz: fuzz/Makefile
	cd fuzz && $(MAKE) $(AM_MAKEFLAGS) Makefile
	cd fuzz && $(MAKE) $(AM_MAKEFLAGS) LDFLAGS=-fsanitize=fuzzer \
	    $(fuzz_targets)
	@cd fuzz && for target in $(fuzz_targets); do \
	    name=$${target##*_}; log=new/$$name.log; \
	    mkdir -p "new/$$name"; echo "  FUZZ     $$name"; \
	    ASAN_OPTIONS=quarantine_size_mb=16 "$$target" $(FUZZ_FLAGS) \
	        -max_total_time=$(FUZZ_SECONDS) \
	        -artifact_prefix="new/$$name-" "new/$$name" \
	        '$(abs_top_srcdir)'/tests/fuzz/corpus/"$$name" \
	        >"$$log" 2>&1 || { tail -n 40 "$$log"; exit 1; }; \
	    grep -a DONE "$$log"; \
	done

fuzz/Makefile:
	@command -v $(FUZZ_CC) >/dev/null || { \
	    echo "make fuzz needs $(FUZZ_CC)"; exit 1; }
	@test ! -f '$(abs_top_srcdir)/config.status' || { \
	    echo "make fuzz needs a build outside of the sources"; exit 1; }
	mkdir -p fuzz
	cd fuzz && '$(abs_top_srcdir)'/configure --quiet $(fuzz_configure)

distclean-local:
	rm -rf fuzz

.PHONY: fuzz
