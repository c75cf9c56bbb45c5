# SPDX-License-Identifier: BSD-2-Clause
# The tool sees the public header alone, and links the product.

bin_PROGRAMS += tools/sesscache
tools_sesscache_SOURCES = \
	tools/args.c \
	tools/check.c \
	tools/dump.c \
	tools/help.c \
	tools/json.c \
	tools/keys.c \
	tools/purge.c \
	tools/sesscache.c \
	tools/stat.c \
	tools/stat.h \
	tools/text.c \
	tools/tool.h \
	tools/watch.c
tools_sesscache_CFLAGS = $(AM_CFLAGS) $(SC_PIE_CFLAGS)
tools_sesscache_LDFLAGS = $(AM_LDFLAGS) $(SC_PIE_LDFLAGS)
tools_sesscache_LDADD = lib/libsesscache.la
