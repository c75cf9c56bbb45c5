#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Instructions that a server spends on a step of its work: what valgrind's
# callgrind counts is the same however busy the machine is.
#
#   tests/bench/instructions.sh STEPS LIBDIR [OTHER_LIBDIR]
#
# STEPS is the program tests/bench/steps; LIBDIR has libsesscache.so, and
# OTHER_LIBDIR that of another version, to be compared in the same run.
set -eu

[ $# -ge 2 ] || {
	echo "usage: instructions.sh STEPS LIBDIR [OTHER_LIBDIR]" >&2
	exit 2
}
program=$1
ours=$2
other=${3:-}
command -v valgrind >/dev/null || {
	echo "there is no valgrind" >&2
	exit 1
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# count LIBDIR STEP COUNT: instructions of one
count() {
	rm -rf "$dir/cache"
	mkdir -m 700 "$dir/cache"
	LD_BIND_NOW=1 LD_LIBRARY_PATH=$1 valgrind --tool=callgrind \
	    --collect-atstart=no --toggle-collect='counted_*' \
	    --callgrind-out-file="$dir/out" "$program" "$dir/cache" "$2" "$3" \
	    2>"$dir/log" || {
		cat "$dir/log" >&2
		return 1
	}
	total=$(sed -n 's/^summary: *//p' "$dir/out")
	echo $((total / $3))
}

# ratio A B: with three decimals, or "-"
ratio() {
	awk -v a="$1" -v b="$2" \
	    'BEGIN { if (b > 0) printf "%.3f", a / b; else printf "-" }'
}

printf '%-10s %12s %12s %8s\n' step instructions other ratio
while read -r step times; do
	one=$(count "$ours" "$step" "$times")
	two=0
	[ -z "$other" ] || two=$(count "$other" "$step" "$times")
	printf '%-10s %12d %12d %8s\n' "$step" "$one" "$two" \
	    "$(ratio "$one" "$two")"
	eval "$step=$one"
done <<END
attach 200
full2 50
full3 50
id2 100
id3 100
ticket2 100
ticket3 100
openssl2 100
openssl3 100
END
echo
# shellcheck disable=SC2154 # set by the loop
echo "tickets under shared keys, to OpenSSL's own:" \
    "TLS 1.2 $(ratio "$ticket2" "$openssl2")," \
    "TLS 1.3 $(ratio "$ticket3" "$openssl3")"
