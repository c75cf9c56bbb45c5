#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What configure asked of compiler and linker is in what was built.
set -eu
: "${top_builddir:?}" "${READELF:?}"

if [ "${SANITIZER:-no}" != no ]; then
	echo "a build with sanitizers is not for production"
	exit 77
fi
shared=$top_builddir/lib/.libs/libsesscache.so
tool=$top_builddir/tools/.libs/sesscache
[ -e "$shared" ] || {
	echo "no shared library in this build"
	exit 77
}
[ -e "$tool" ] || tool=$top_builddir/tools/sesscache

status=0

# has FILE WHAT PATTERN READELF_FLAG...
has() {
	file=$1
	what=$2
	pattern=$3
	shift 3
	"$READELF" "$@" -W "$file" | grep -qE "$pattern" && return
	echo "$file: $what"
	status=1
}

for file in "$shared" "$tool"; do
	has "$file" 'no RELRO' 'GNU_RELRO' -l
	has "$file" 'not bound at start (-z now)' 'BIND_NOW|FLAGS.*NOW' -d
	has "$file" 'an executable stack' 'GNU_STACK.* RW ' -l
	has "$file" 'not position independent' 'Type: +DYN' -h
done
has "$shared" 'no stack protector' '__stack_chk_fail' --dyn-syms

# An unoptimised build cannot have it.
if grep -q '^SC_HARDEN_CPPFLAGS = .*FORTIFY_SOURCE=' "$top_builddir/Makefile"
then
	has "$shared" 'no _FORTIFY_SOURCE' '__[a-z]*printf_chk' --dyn-syms
fi
exit $status
