#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The server on GnuTLS, with real workers and real clients: whatever a client
# of GnuTLS or OpenSSL brings back resumes, in any worker, after a SIGKILL and
# after a restart; early data is accepted once.
set -eu

: "${top_srcdir:?}" "${top_builddir:?}"
# shellcheck source=tests/common.sh
. "$top_srcdir/tests/common.sh"

workers=4
at_once=8 # connections that offer the same first flight
logs="page err cli tap.err"

needs examples/gnutls gnutls-cli openssl timeout
python3=$(command -v python3) ||
    without "python3, for kills, restarts and replays,"

export SESSCACHE_DIR="$work/cache" SESSCACHE_SIZE=16M

find_port() {
	sed -n 's|^https://.*:\([0-9]*\)/ .*|\1|p' "$work/out" >"$work/port"
	[ -s "$work/port" ]
}

# start OPTION...: a server, with its port in $work/port
start() {
	: >"$work/out" # or the line of the last server would be read
	"$top_builddir/examples/gnutls" -c "$work/cert.pem" -k "$work/key.pem" \
	    -w "$workers" -v "$@" >"$work/out" 2>"$work/err" &
	server=$!
	until_true find_port || fail "the server does not start"
	port=$(cat "$work/port")
}

stop() {
	kill "$server"
	wait "$server" || fail "the server did not stop in good order"
	server=
	# A sanitizer, above all.
	! grep -v '^pid ' "$work/err" || fail "the server complained"
}

# body NAME: from the page in $work/page
body() {
	tr -d '\r' <"$work/page" | sed -n "s/^$1: //p"
}

# gnutls PORT OPTION...: connect, hang up, come back, ask for the page
gnutls() {
	to=$1
	shift
	printf 'GET / HTTP/1.1\r\n\r\n' |
	    timeout 90 gnutls-cli --insecure --resume --port "$to" "$@" \
	    127.0.0.1 >"$work/page" 2>"$work/cli"
}

# log_has LINES: one for each connection
log_has() {
	[ "$(wc -l <"$work/err")" -ge "$1" ]
}

early_accepted() {
	grep -c 'early data accepted' "$work/err" || :
}

# resumes WHAT: what the page says
resumes() {
	[ "$(body resumed)" = yes ] || fail "$1: resumed: $(body resumed)"
	[ "$(body protocol)" = "$protocol" ] ||
	    fail "$1: not $protocol: $(body protocol)"
}

any_worker_resumes() {
	moved=0
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		lines=$(wc -l <"$work/err")
		gnutls "$port" "$@" || fail "$name: gnutls-cli: $?"
		resumes "$name"
		until_true log_has "$((lines + 2))" || fail "no log"
		first=$(sed -n "$((lines + 1))s/^pid \([0-9]*\),.*/\1/p" \
		    "$work/err")
		[ "$first" = "$(body pid)" ] || moved=$((moved + 1))
	done
	[ "$moved" -gt 0 ] || fail "$name: no other worker was asked"
	echo "ok: $name: 10 of 10, $moved of them in another worker"
}

# sessions_in_cache: records under the 32 bytes of a TLS 1.2 session ID
sessions_in_cache() {
	"$top_builddir/tools/sesscache" -d "$SESSCACHE_DIR" dump |
	    grep -cE '^[0-9a-f]{64} ' || :
}

# the_cache_held COUNT: of them, at least, or none
the_cache_held() {
	count=$(sessions_in_cache)
	case $1 in
	0) [ "$count" -eq 0 ] || fail "$name: $count sessions in the cache" ;;
	*) [ "$count" -ge "$1" ] || fail "$name: only $count in the cache" ;;
	esac
}

# is_gone PID: its parent has seen it, too
is_gone() {
	! kill -0 "$1" 2>/dev/null
}

kill_first_worker() {
	first=$(sed -n '$s/^pid \([0-9]*\),.*/\1/p' "$work/err")
	kill -9 "$first"
	until_true is_gone "$first" || fail "nobody saw a worker die"
}

restart() {
	stop
	start
}

# tap COMMAND: sets tap and tap_port
tap() {
	rm -f "$work/tap" "$work/held" "$work/go" "$work/flight"
	"$python3" "$top_srcdir/tests/gnutls-tap.py" "$1" "$work" \
	    2>"$work/tap.err" &
	tap=$!
	until_true [ -s "$work/tap" ] || fail "the tap does not start"
	tap_port=$(cat "$work/tap")
}

# resumes_after WHAT OPTION...: WHAT happens between the two connections
resumes_after() {
	what=$1
	shift
	lines=$(wc -l <"$work/err")
	tap hold
	gnutls "$tap_port" "$@" &
	client=$!
	until_true [ -e "$work/held" ] || fail "$name: never came back"
	until_true log_has "$((lines + 1))" || fail "no log"
	"$what"
	: >"$work/go"
	wait "$client" || fail "$name: $what: gnutls-cli: $?"
	wait "$tap" || fail "$name: $what: the tap"
	client=
	tap=
	resumes "$name: $what"
	echo "ok: $name: after $(echo "$what" | tr _ ' ')"
}

# resumption NAME PROTOCOL OPTION...
resumption() {
	name=$1
	protocol=$2
	shift 2
	start
	any_worker_resumes "$@"
	if [ -n "$python3" ]; then
		resumes_after kill_first_worker "$@"
		resumes_after restart "$@"
	fi
	stop
}

# s_client OPTION...
s_client() {
	printf 'GET / HTTP/1.1\r\n\r\n' |
	    timeout 20 openssl s_client -connect "127.0.0.1:$port" -quiet \
	    "$@" >"$work/page" 2>"$work/cli" ||
	    fail "$name: s_client: $?"
}

# openssl_resumes NAME PROTOCOL OPTION...
openssl_resumes() {
	name=$1
	protocol=$2
	shift 2
	start
	s_client "$@" -sess_out "$work/session"
	[ "$(body resumed)" = no ] || fail "$name: resumed at once"
	s_client "$@" -sess_in "$work/session" -sess_out "$work/session"
	resumes "$name"
	stop
	start
	s_client "$@" -sess_in "$work/session"
	resumes "$name, after a restart"
	stop
	echo "ok: $name: also after a restart"
}

tls13=NORMAL:-VERS-ALL:+VERS-TLS1.3

early_client=gnutls

early_data_is_accepted() {
	protocol=TLS1.3
	for _ in 1 2 3 4 5; do
		gnutls "$port" --priority "$tls13" --waitresumption \
		    --earlydata "$work/early" && failed=0 || failed=$?
		# That of 3.8.9 sends none to the server of GnuTLS either.
		if grep -q '^error sending early data' "$work/cli"; then
			echo "skipped: this gnutls-cli cannot send early data"
			early_client=openssl
			return
		fi
		[ "$failed" -eq 0 ] || fail "early data: $failed"
		resumes "early data"
		[ "$(body early-data)" -eq 0 ] || break
	done
	[ "$(body early-data)" -eq "$(wc -c <"$work/early")" ] ||
	    fail "early data: $(body early-data) bytes"
	echo "ok: early data from gnutls-cli"
}

openssl_early_data_is_accepted() {
	protocol=TLS1.3
	for _ in 1 2 3 4 5; do
		s_client -tls1_3 -sess_out "$work/session"
		s_client -tls1_3 -sess_in "$work/session" \
		    -early_data "$work/early"
		resumes "early data of openssl"
		[ "$(body early-data)" -eq 0 ] || break
	done
	[ "$(body early-data)" -eq "$(wc -c <"$work/early")" ] ||
	    fail "early data of openssl: $(body early-data) bytes"
	echo "ok: early data from openssl s_client"
}

gnutls_early_data() {
	! gnutls "$1" --priority "$tls13" --waitresumption \
	    --earlydata "$work/early" || fail "it was answered"
}

openssl_early_data() {
	(port=$1; s_client -tls1_3 -sess_out "$work/session")
	timeout 20 openssl s_client -connect "127.0.0.1:$1" -quiet -tls1_3 \
	    -sess_in "$work/session" -early_data "$work/early" </dev/null \
	    >"$work/page" 2>"$work/cli" || :
	[ ! -s "$work/page" ] || fail "it was answered"
}

capture() {
	tap capture
	"${early_client}_early_data" "$tap_port"
	wait "$tap" || fail "the tap"
	tap=
	[ -s "$work/flight" ] || fail "no first flight"
}

# replay: sets accepted
replay() {
	before=$(early_accepted)
	lines=$(wc -l <"$work/err")
	timeout 120 "$python3" "$top_srcdir/tests/gnutls-tap.py" replay \
	    "$work" "$at_once" 2>"$work/tap.err" || fail "replay"
	until_true log_has "$((lines + at_once))" || fail "no log"
	accepted=$(($(early_accepted) - before))
}

# A flight that is late on a busy machine is refused: then try another.
one_of_all_is_accepted() {
	for _ in 1 2 3 4 5; do
		capture
		replay
		[ "$accepted" -eq 0 ] || break
	done
	[ "$accepted" -eq 1 ] || fail "$accepted of $at_once early data" \
	    "accepted, of one first flight${1:+ $1}"
	echo "ok: one first flight $at_once times at once${1:+ $1}:" \
	    "accepted once"
}

# none_is_accepted WHEN
none_is_accepted() {
	replay
	[ "$accepted" -eq 0 ] || fail "a replay was accepted $1"
	echo "ok: the same again $1: refused"
}

# All that have served anything.
kill_workers() {
	sed -n 's/^pid \([0-9]*\),.*/\1/p' "$work/err" | sort -u |
	    while read -r pid; do
		kill -9 "$pid" 2>/dev/null || :
	done
}

a_flight_is_accepted_once() {
	one_of_all_is_accepted
	none_is_accepted "afterwards"
	kill_workers
	none_is_accepted "by new workers"
	stop
	start -e 4096
	none_is_accepted "after a restart"
}

# GnuTLS ends its window by a clock of each process; see add_flight().
windows_of_workers_differ() {
	start -e 4096 -r 5
	sleep 6 # the next flight that a worker sees starts its own
	one_of_all_is_accepted "after the first window"
	none_is_accepted "afterwards"
	stop
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$work/key.pem" -out "$work/cert.pem" -subj /CN=localhost \
    -days 2 2>"$work/err" || fail "no certificate"
printf 'GET /early HTTP/1.1\r\n\r\n' >"$work/early"

resumption "TLS 1.2 with tickets" TLS1.2 \
    --priority 'NORMAL:-VERS-ALL:+VERS-TLS1.2'
the_cache_held 0
resumption "TLS 1.3" TLS1.3 --priority "$tls13" --waitresumption
the_cache_held 0
# Its option --noticket does nothing in some versions.
resumption "TLS 1.2 without tickets" TLS1.2 \
    --priority 'NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_TICKETS'
the_cache_held 10

openssl_resumes "openssl, TLS 1.2 with tickets" TLS1.2 -tls1_2
openssl_resumes "openssl, TLS 1.2 without tickets" TLS1.2 -tls1_2 -no_ticket
openssl_resumes "openssl, TLS 1.3" TLS1.3 -tls1_3

start -e 4096
early_data_is_accepted
openssl_early_data_is_accepted
if [ -n "$python3" ]; then
	a_flight_is_accepted_once
	stop
	windows_of_workers_differ
else
	stop
fi
