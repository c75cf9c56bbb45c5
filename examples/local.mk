# SPDX-License-Identifier: BSD-2-Clause
# Built as an application would be: the public header and the product.

noinst_PROGRAMS += examples/minimal examples/prefork examples/threads
examples_libs = lib/libsesscache.la $(OPENSSL_LIBS)
examples_server = \
	examples/connection.c \
	examples/connection.h \
	examples/hosts.c \
	examples/hosts.h \
	examples/server.c \
	examples/server.h

examples_minimal_SOURCES = examples/minimal.c
examples_minimal_LDADD = $(examples_libs)
examples_prefork_SOURCES = examples/prefork.c $(examples_server)
examples_prefork_LDADD = $(examples_libs)
examples_threads_SOURCES = examples/threads.c $(examples_server)
examples_threads_LDADD = $(examples_libs)

if HAVE_GNUTLS
noinst_PROGRAMS += examples/gnutls
endif
examples_gnutls_SOURCES = \
	examples/gnutls.c \
	examples/workers.c \
	examples/workers.h
examples_gnutls_CPPFLAGS = $(AM_CPPFLAGS) $(GNUTLS_CFLAGS)
examples_gnutls_LDADD = lib/libsesscache.la $(GNUTLS_LIBS)

EXTRA_DIST += examples/demo.sh
