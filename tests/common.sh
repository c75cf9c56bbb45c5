# shellcheck shell=sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What the tests with real servers share; they source it.  Sets work, a
# directory that is gone at the end, as are the processes whose IDs are in
# server, other, client and tap; and user, who the workers of a server that
# root starts shall be.  logs names the files there that fail shows.

: "${top_builddir:?}"

server=
other=
client=
tap=
work=
logs=err

finish() {
	for pid in $client $tap $other $server; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	if [ -n "$work" ]; then
		rm -rf "$work"
	fi
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "FAILED: $*" >&2
	for log in $logs; do
		[ -s "$work/$log" ] || continue
		echo "$log:" >&2
		tail -n 20 "$work/$log" >&2
	done
	exit 1
}

# without WHAT: it is not here, so that something is not tested; where nothing
# may be left out, that is a failure.
without() {
	[ "${SC_NO_SKIP:-0}" -eq 0 ] || fail "$1 is not here"
	echo "skipped: $1 is not here"
}

# needs PROGRAM...: installed, or built if it has a slash; without it, skip all
needs() {
	for needed; do
		case $needed in
		*/*) [ -x "$top_builddir/$needed" ] && continue ;;
		*) command -v "$needed" >/dev/null && continue ;;
		esac
		without "$needed"
		exit 77
	done
}

# until_true COMMAND...: wait, at most 20 seconds, for it to succeed
until_true() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ "$tries" -le 400 ] || return 1
		sleep 0.05
	done
}

if [ -d /dev/shm ] && [ -w /dev/shm ]; then
	work=$(mktemp -d /dev/shm/sesscache-test.XXXXXX)
else
	work=$(mktemp -d "${TMPDIR:-/tmp}/sesscache-test.XXXXXX")
fi

user=nobody
if [ "$(id -u)" -ne 0 ] || ! id "$user" >/dev/null 2>&1; then
	user=
fi
