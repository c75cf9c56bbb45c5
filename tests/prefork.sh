#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The whole thing: real servers, real workers, real clients.
# CLIENTS in the environment: how many come back (600; the claim of the README
# is for 10000).
set -eu

: "${top_srcdir:?}" "${top_builddir:?}"
# shellcheck source=tests/common.sh
. "$top_srcdir/tests/common.sh"

clients=${CLIENTS:-600}
few=100
workers=4

needs openssl curl timeout examples/prefork examples/threads \
    examples/minimal tests/load/load tools/sesscache

cache=$work/cache

# sets port
find_port() {
	port=$(sed -n 's|^https://.*:\([0-9]*\)/ .*|\1|p' "$work/out")
	[ -n "$port" ]
}

# start PROGRAM OPTION...: sets server and port
start() {
	program=$1
	shift
	: >"$work/out" # or the line of the last server would be read
	"$top_builddir/examples/$program" -c "$work/cert.pem" \
	    -k "$work/key.pem" -w "$workers" -o "dir=$cache" -o size=16M \
	    ${user:+-u "$user"} "$@" >"$work/out" 2>"$work/err" &
	server=$!
	until_true find_port || fail "$program does not start"
}

stop() {
	kill "$server"
	wait "$server" || fail "the server did not stop in good order"
	server=
}

# load OPTION...: sets connections, offered, resumed, moved, workers_seen
load() {
	timeout 300 "$top_builddir/tests/load/load" --port "$port" "$@" \
	    >"$work/line" || fail "load $*: $(cat "$work/line")"
	offered=$(sed -n 's/.* offered=\([0-9]*\) .*/\1/p' "$work/line")
	resumed=$(sed -n 's/.* resumed=\([0-9]*\) .*/\1/p' "$work/line")
	moved=$(sed -n 's/.* moved=\([0-9]*\) .*/\1/p' "$work/line")
	workers_seen=$(sed -n 's/.* workers=\([0-9]*\) .*/\1/p' "$work/line")
}

# Locks that were not to be had in time, since the cache was made.
busy() {
	"$top_builddir/tools/sesscache" -d "$cache" stat --json |
	    tr ',' '\n' | sed -n 's/.*"busy": *\([0-9]*\).*/\1/p'
}

# all_resumed SENTENCE OFFERED
#
# On a machine with far more to do than it can, the owner of a lock may lose
# its CPU for so long that others give up.  That costs full handshakes, and is
# counted: one for a lookup, up to a burst and its first for a store.
all_resumed() {
	[ "$offered" -eq "$2" ] ||
	    fail "$1: $offered sessions were offered, not $2"
	if [ "$resumed" -ne "$offered" ]; then
		waits=$(busy)
		[ "$((offered - resumed))" -le "$((waits * 7))" ] ||
		    fail "$1: $resumed of $offered: $(cat "$work/line")"
		echo "note: $waits locks were not to be had in time"
	fi
	echo "ok: $1: $resumed of $offered"
}

# body FILE NAME: from a page of the server
body() {
	tr -d '\r' <"$1" | sed -n "s/^$2: //p"
}

stats() {
	curl -sk --max-time 20 "https://127.0.0.1:$port/stats" >"$work/stats"
}

pid_of_worker() {
	sed -n "s/^worker $1: pid \([0-9]*\),.*/\1/p" "$work/stats"
}

worker_is_replaced() {
	stats && [ "$(pid_of_worker 0)" != "$victim" ] &&
	    kill -0 "$(pid_of_worker 0)"
}

all_are_replaced() {
	stats && ! grep -q "pid $first_pid," "$work/stats" &&
	    ! grep -q 'pid 0,' "$work/stats" &&
	    [ "$(pid_of_worker 0)" != "$victim" ]
}

port_is_closed() {
	! curl -sk --max-time 5 -o "$work/page" "https://127.0.0.1:$port/"
}

a_session_is_resumed_by_any_worker() {
	load --tls "$version" --clients "$clients"
	all_resumed "TLS $version: $clients clients come back" "$clients"
	[ "$workers_seen" -eq "$workers" ] ||
	    fail "only $workers_seen workers answered"
	[ "$((moved * 2))" -gt "$offered" ] ||
	    fail "only $moved of $offered came to another worker"
}

a_burst_is_resumed() {
	load --tls "$version" --clients "$few" --visits 1 --burst 6
	all_resumed "TLS $version: bursts of 6" "$((few * 6))"
}

a_burst_that_does_not_wait_is_resumed() {
	load --tls "$version" --clients "$few" --visits 1 --burst 6 --eager
	all_resumed "TLS $version: bursts before the first answer" \
	    "$((few * 6))"
}

sessions_outlive_a_killed_worker() {
	load --tls "$version" --clients "$few" --visits 1 --save "$work/s"
	stats
	victim=$(pid_of_worker 0)
	kill -9 "$victim"
	until_true worker_is_replaced || fail "a killed worker stays dead"
	load --tls "$version" --clients "$few" --visits 1 --load "$work/s" \
	    --save "$work/s"
	all_resumed "TLS $version: after a SIGKILL of a worker" "$few"
}

sessions_outlive_a_reload() {
	stats
	victim=$(pid_of_worker 0)
	first_pid=$(pid_of_worker 1)
	kill -HUP "$server"
	until_true all_are_replaced || fail "SIGHUP did not replace workers"
	load --tls "$version" --clients "$few" --visits 1 --load "$work/s" \
	    --save "$work/s"
	all_resumed "TLS $version: after a SIGHUP" "$few"
}

sessions_outlive_a_restart() {
	stop
	start prefork -t "tls$version"
	load --tls "$version" --clients "$few" --visits 1 --load "$work/s" \
	    --save "$work/s"
	all_resumed "TLS $version: after a restart of the server" "$few"
}

sessions_outlive_a_killed_master() {
	kill -9 "$server"
	wait "$server" 2>/dev/null || :
	server=
	until_true port_is_closed || fail "workers stay without their master"
	start prefork -t "tls$version"
	load --tls "$version" --clients "$few" --visits 1 --load "$work/s" \
	    --save "$work/s"
	all_resumed "TLS $version: after a SIGKILL of the master" "$few"
}

another_program_resumes_too() {
	other=$server
	other_port=$port
	start threads -t "tls$version"
	load --tls "$version" --clients "$few" --visits 1 --load "$work/s"
	all_resumed "TLS $version: by a threaded server beside it" "$few"
	stop
	server=$other
	port=$other_port
	other=
}

curl_resumes() {
	curl -sk --max-time 20 "https://127.0.0.1:$port/" \
	    "https://127.0.0.1:$port/" >"$work/page" || fail "curl: $?"
	[ "$(body "$work/page" resumed | tr '\n' ' ')" = "no yes " ] ||
	    fail "curl: $(cat "$work/page")"
	echo "ok: TLS $version: curl"
}

# s_client OPTION...
s_client() {
	printf 'GET / HTTP/1.1\r\n\r\n' |
	    timeout 20 openssl s_client -connect "127.0.0.1:$port" -quiet \
	    "$@" >"$work/page" 2>"$work/s_client" ||
	    fail "openssl s_client: $(cat "$work/s_client")"
}

openssl_s_client_resumes() {
	s_client -sess_out "$work/one"
	[ "$(body "$work/page" resumed)" = no ] || fail "s_client resumed"
	for _ in 1 2 3; do
		s_client -sess_in "$work/one" -sess_out "$work/one"
		[ "$(body "$work/page" resumed)" = yes ] ||
		    fail "openssl s_client: $(cat "$work/page")"
	done
	echo "ok: TLS $version: openssl s_client"
}

client_certificates_resume() {
	start prefork -t "tls$version" -V "$work/cert.pem"
	load --tls "$version" --clients "$few" --cert "$work/cert.pem" \
	    --key "$work/key.pem"
	all_resumed "TLS $version: with client certificates" "$few"
	stop
}

one_cache_in_each_process_resumes_little() {
	start prefork -t "tls$version" -m process
	load --tls "$version" --clients "$clients"
	[ "$((resumed * 2))" -lt "$offered" ] ||
	    fail "one cache in each process: $resumed of $offered, too good"
	echo "ok: TLS $version: one cache a process:" \
	    "only $resumed of $offered"
	stop
}

port_of_minimal() {
	port=$(sed -n 's/^port //p' "$work/out")
	[ -n "$port" ]
}

the_ten_lines_resume() {
	: >"$work/out"
	SESSCACHE_DIR=$cache "$top_builddir/examples/minimal" 127.0.0.1:0 \
	    "$work/cert.pem" "$work/key.pem" >"$work/out" 2>"$work/err" &
	server=$!
	until_true port_of_minimal || fail "minimal does not start"
	curl -sk --max-time 20 "https://127.0.0.1:$port/" \
	    "https://127.0.0.1:$port/" >"$work/page" || fail "curl: $?"
	sed -n '2s/.*session resumed$/yes/p' "$work/page" | grep -q yes ||
	    fail "minimal: $(cat "$work/page")"
	stop_minimal
	echo "ok: the ten lines of the README"
}

stop_minimal() {
	kill "$server"
	wait "$server" 2>/dev/null || :
	server=
}

the_tool_reads_the_cache_of_a_running_server() {
	"$top_builddir/tools/sesscache" -d "$cache" dump >"$work/dump" ||
	    fail "sesscache dump"
	grep -q "TLSv$version" "$work/dump" || fail "dump shows no TLS $version"
	"$top_builddir/tools/sesscache" -d "$cache" check >"$work/check" ||
	    fail "sesscache check: $(cat "$work/check")"
	echo "ok: TLS $version: sesscache dump and check"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$work/key.pem" -out "$work/cert.pem" -subj /CN=localhost \
    -days 2 2>"$work/err" || fail "no certificate"

for version in 1.2 1.3; do
	start prefork -t "tls$version"
	a_session_is_resumed_by_any_worker
	a_burst_is_resumed
	a_burst_that_does_not_wait_is_resumed
	sessions_outlive_a_killed_worker
	sessions_outlive_a_reload
	sessions_outlive_a_restart
	sessions_outlive_a_killed_master
	another_program_resumes_too
	curl_resumes
	openssl_s_client_resumes
	the_tool_reads_the_cache_of_a_running_server
	stop
	client_certificates_resume
	one_cache_in_each_process_resumes_little
done
the_ten_lines_resume
