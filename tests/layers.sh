#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Who may include and call what: openssl -> api -> cache -> store -> platform,
# each sees its own headers, those of the next, and the leaves; openssl/ sees
# those of cache/, too.  In the upper two no files need each other.
set -eu
: "${top_srcdir:?}"
cd "$top_srcdir"

code=$(mktemp)
found=$(mktemp)
trap 'rm -f "$code" "$found"' EXIT

# The C code without its comments, each line behind "file:line:".
# shellcheck disable=SC2016 # the dollars are for awk
find lib tools examples tests/load -name '*.[ch]' | sort | xargs awk '
FNR == 1 { inside = 0 }
{
	line = $0
	text = ""
	while (line != "") {
		at = index(line, inside ? "*/" : "/*")
		if (at == 0) {
			text = text (inside ? "" : line)
			break
		}
		text = text (inside ? "" : substr(line, 1, at - 1))
		line = substr(line, at + 2)
		inside = !inside
	}
	if (text ~ /[^ \t]/)
		print FILENAME ":" FNR ":" text
}' >"$code"

# broken RULE: what comes in breaks it.
broken() {
	while IFS= read -r line; do
		echo "$1: $line" >>"$found"
	done
}

# only RULE WHAT WHERE: WHAT stands in files of WHERE alone.
only() {
	{ grep -E "^[^:]*:[0-9]+:.*($2)" "$code" || true; } |
	    { grep -vE "^($3)" || true; } | broken "$1"
}

# sees WHO WHAT: of our own headers, files of WHO include WHAT alone.
sees() {
	{ grep -E "^($1)[^:]*:[0-9]+:[ 	]*#[ 	]*include[ 	]*\"" "$code" ||
	    true; } |
	    { grep -vE "include[ 	]*\"($2)\"" || true; } |
	    broken "a header that this layer must not see"
}

leaf='status\.h|probe\.h|sesscache\.h'
sees 'lib/[a-z]+\.[ch]' "$leaf"
sees 'lib/platform/' "platform/[a-z_]+\.h|$leaf"
sees 'lib/store/' "(store|platform)/[a-z_]+\.h|$leaf"
sees 'lib/cache/' "(cache|store)/[a-z_]+\.h|$leaf"
sees 'lib/api/' "(api|cache)/[a-z_]+\.h|$leaf"
sees 'lib/openssl/' "(openssl|api|cache)/[a-z_]+\.h|$leaf"
# Two files that need each other, if only by way of others, are one: of NAME.c
# and NAME.h, what they include.  tsort names those of a circle.
{ grep -E '^lib/(openssl|api)/[^:]*:[0-9]+:[ 	]*#[ 	]*include[ 	]*"' \
    "$code" || true; } |
    sed -E 's|^lib/([a-z]+/[a-z]+)\.[ch]:.*"([a-z]+/[a-z]+)\.h".*|\1 \2|' |
    awk 'NF == 2 && $1 != $2 && $2 ~ /^(openssl|api)\//' | sort -u |
    tsort 2>&1 >/dev/null | broken 'files that need each other'
# Programs: the public header, and what lies beside them.
sees '(tools|examples|tests/load)/' 'sesscache\.h|[a-z_]+\.h'
only 'no header from inside the library' \
    'include[ 	]*["<](status|probe)\.h' 'lib/'

crypto='lib/cache/(seal|address|crypt)\.c'
only '<openssl/ssl.h> is for openssl/' 'include[ 	]*<openssl/ssl' \
    'lib/openssl/|lib/sesscache\.h|tools/|examples/|tests/'
only '<openssl/...> is for openssl/ and the ciphers of cache/' \
    'include[ 	]*<openssl/' \
    "lib/openssl/|lib/sesscache\\.h|$crypto|tools/|examples/|tests/"
only '<lmdb.h> is for store/lmdb.c' 'include[ 	]*<lmdb\.h>' \
    'lib/store/lmdb\.c'
only 'LMDB is known to store/lmdb.c alone' '\<(mdb_|MDB_)[A-Za-z]' \
    'lib/store/lmdb\.c'
only 'TLS is known to openssl/ alone' '\<SSL_[A-Za-z_]+\(' \
    'lib/openssl/|tools/|examples/|tests/'
only 'the environment is read in api/settings.c' \
    '\<(secure_)?getenv\(|\<environ\>' \
    'lib/api/settings\.c|tools/|examples/|tests/'
only 'below api/ time is an argument' \
    '\<(time|clock_gettime|gettimeofday)\(' \
    'lib/openssl/|lib/api/|lib/platform/|tools/|examples/|tests/'
only 'nothing here ends the process of a caller' \
    '\<(abort|exit|_exit)\(' 'tools/|examples/|tests/'

if [ -s "$found" ]; then
	cat "$found"
	exit 1
fi
