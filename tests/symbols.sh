#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The shared library exports what sesscache.map and sesscache.h name, and
# every global of the objects has our prefix, so that a static link is safe.
set -eu
: "${top_srcdir:?}" "${top_builddir:?}" "${NM:?}"

map=$top_srcdir/lib/sesscache.map
shared=$top_builddir/lib/.libs/libsesscache.so
internal=$top_builddir/lib/.libs/libsesscache-internal.a
[ -e "$internal" ] || internal=$top_builddir/lib/libsesscache-internal.a

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# same WHAT FILE FILE: the two lists agree.
same() {
	diff "$2" "$3" >"$work/diff" && return
	echo "$1 differ (<: only the first, >: only the second):"
	cat "$work/diff"
	status=1
}

sed -n 's/^[ 	]*\(sesscache_[a-z0-9_]*\);.*/\1/p' "$map" >"$work/map"
LC_ALL=C sort -u "$work/map" >"$work/sorted"
same 'sesscache.map and its sorted form' "$work/map" "$work/sorted"

# A name before "(" that starts no comment line; the type of the visitor is
# a typedef.
sed -n -e '/^ \*/d' -e '/^typedef/d' \
    -e 's/.*\<\(sesscache_[a-z_]*\)(.*/\1/p' "$top_srcdir/lib/sesscache.h" |
    LC_ALL=C sort -u >"$work/header"
same 'sesscache.h and sesscache.map' "$work/header" "$work/sorted"

if [ -e "$shared" ]; then
	"$NM" -D --defined-only "$shared" |
	    awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	    LC_ALL=C sort -u >"$work/exported"
	same 'libsesscache.so and sesscache.map' "$work/exported" \
	    "$work/sorted"
fi

# Names that start with __ are the compiler's (sanitizers, coverage).
"$NM" -g --defined-only "$internal" |
    awk 'NF == 3 && $3 !~ /^(sesscache_|sc_|__)/ { print $3 }' \
    >"$work/strays"
if [ -s "$work/strays" ]; then
	echo "globals without our prefix:"
	cat "$work/strays"
	status=1
fi
[ -n "$("$NM" -g --defined-only "$internal")" ] || {
	echo "no symbol in $internal"
	status=1
}
exit $status
