#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The public header compiles alone in C11 and in C++, and so does each
# internal one in C11.
set -eu
: "${top_srcdir:?}" "${CC:?}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# compiles WHAT COMPILER...: of the source in $work.
compiles() {
	what=$1
	shift
	# shellcheck disable=SC2086 # both are lists of words
	"$@" -fsyntax-only -Wall -Wextra -Wpedantic -Werror \
	    -I"$top_srcdir/lib" ${OPENSSL_CFLAGS:-} && return
	echo "$what"
	status=1
}

cat >"$work/user.c" <<'END'
#include "sesscache.h"
#include "sesscache.h"

int main(void);

int
main(void)
{
	return sesscache_version() == 0;
}
END
cp "$work/user.c" "$work/user.cc"

# shellcheck disable=SC2086 # CC may be a compiler and its flags
compiles 'sesscache.h is no C11 of its own' $CC -std=c11 "$work/user.c"
if [ -n "${CXX:-}" ]; then
	# shellcheck disable=SC2086
	compiles 'sesscache.h is no C++ of its own' $CXX -std=c++11 \
	    "$work/user.cc"
else
	echo "no C++ compiler: C11 alone was tried"
fi

cd "$top_srcdir/lib"
for header in */*.h status.h; do
	echo "#include \"$header\"" >"$work/alone.c"
	# shellcheck disable=SC2086
	compiles "$header does not compile alone" $CC -std=c11 -D_GNU_SOURCE \
	    "$work/alone.c"
done
exit $status
