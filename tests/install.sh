#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What was installed is enough to build with, through pkg-config, shared and
# static; and tool, library and .pc file are of one version.  For
# "make installcheck", with the installed directories in the environment.
set -eu
: "${CC:?}" "${bindir:?}" "${libdir:?}" "${pkgconfigdir:?}"

PKG_CONFIG_PATH=$pkgconfigdir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

want=$(pkg-config --modversion sesscache)

# prints_version WHAT COMMAND...
prints_version() {
	what=$1
	shift
	got=$("$@")
	case $got in
	*"$want"*) ;;
	*)
		echo "$what says '$got', pkg-config says '$want'"
		exit 1
		;;
	esac
}

cat >"$work/user.c" <<'END'
#include <stdio.h>

#include <openssl/ssl.h>
#include <sesscache.h>

int
main(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct sesscache *cache = NULL;

	/* Refused, and that is enough to have it linked. */
	if (ctx == NULL || sesscache_attach(cache, ctx) == SESSCACHE_OK)
		return 1;
	SSL_CTX_free(ctx);
	return puts(sesscache_version()) < 0;
}
END

LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

# shellcheck disable=SC2046,SC2086 # lists of words
if [ -e "$libdir/libsesscache.so" ]; then
	$CC ${CFLAGS:-} -o "$work/shared" "$work/user.c" \
	    $(pkg-config --cflags --libs sesscache libssl)
	prints_version 'the shared library' "$work/shared"
fi

# shellcheck disable=SC2046,SC2086
if [ -e "$libdir/libsesscache.a" ]; then
	$CC ${CFLAGS:-} -o "$work/static" "$work/user.c" \
	    $(pkg-config --cflags sesscache) "$libdir/libsesscache.a" \
	    $(pkg-config --libs libssl libcrypto lmdb) -pthread
	prints_version 'the static library' "$work/static"
fi

prints_version 'the tool' "$bindir/sesscache" -V
