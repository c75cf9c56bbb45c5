#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The manual is good mdoc, names every function that is exported, and lists
# the settings that the code has.
set -eu
: "${top_srcdir:?}" "${top_builddir:?}"

command -v mandoc >/dev/null || {
	echo "no mandoc"
	exit 77
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

cd "$top_srcdir/man"
mandoc -T lint -W warning,stop sesscache.1 sesscache.3 || status=1

sed -n 's/^[ 	]*\(sesscache_[a-z0-9_]*\);.*/\1/p' ../lib/sesscache.map |
    while read -r name; do
	grep -qE "^\\.(Fn|Fo) $name( |\$)" sesscache.3 || echo "$name"
    done >"$work/missing"
if [ -s "$work/missing" ]; then
	echo "sesscache(3) does not show:"
	cat "$work/missing"
	status=1
fi

"$top_builddir/tools/sesscache" help settings |
    grep -oE 'SESSCACHE_[A-Z_]+' | LC_ALL=C sort -u >"$work/code"
sed -n 's/^\.It Ev \(SESSCACHE_[A-Z_]*\).*/\1/p' sesscache.3 |
    LC_ALL=C sort -u >"$work/manual"
[ -s "$work/code" ] || {
	echo "sesscache help settings names no variable"
	status=1
}
diff "$work/code" "$work/manual" >"$work/diff" || {
	echo "settings: <: only in the code, >: only in sesscache(3)"
	cat "$work/diff"
	status=1
}
exit $status
