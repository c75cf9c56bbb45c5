#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Clients that people use, against a prefork server with 4 workers, with TLS
# 1.2 and 1.3, sessions in the cache (tickets=off) and in tickets
# (tickets=shared).  Each client visits the server without a session and comes
# back with the one it got: to another worker, to new workers after a reload,
# to a new server after a restart.  Each time the server says that it resumed.
#
# client        keeps its session by           resumes through, tickets=shared
# openssl       -sess_out, -sess_in            tickets
# curl          several URLs in one process    TLS 1.2: the cache, for it does
#                                              not offer tickets there;
#                                              TLS 1.3: tickets
# gnutls-cli    --resume                       tickets
# Python ssl    SSLSocket.session              tickets
# Node tls      the event, the option session  tickets
# Java JSSE     one SSLContext                 tickets
#
# gnutls-cli asks for nothing on its first visit and comes back at once.  So
# its second connection is kept waiting by tests/gnutls-tap.py while the server
# is reloaded or restarted, and which worker it met first is not known: that it
# resumes at another one is seen after the reload.
#
# A client that is not installed is skipped with a line; with SC_NO_SKIP=1 in
# the environment that is a failure.  CELLS there: what to run of
# "1.2/off 1.2/shared 1.3/off 1.3/shared", all by default.
set -eu

: "${top_srcdir:?}" "${top_builddir:?}"
# shellcheck source=tests/common.sh
. "$top_srcdir/tests/common.sh"

cells=${CELLS:-1.2/off 1.2/shared 1.3/off 1.3/shared}
workers=4
pairs=3
attempts=8 # until a client that comes back meets another worker
logs="err client-err tap-err"

trap 'fail "$name is gone"' PIPE

has() {
	command -v "$1" >/dev/null
}

is_here() {
	case $1 in
	gnutls) has gnutls-cli && has python3 ;;
	java) has java && has javac ;;
	python) has python3 ;;
	*) has "$1" ;;
	esac
}

needs openssl examples/prefork tools/sesscache

# --- the server -------------------------------------------------------------

port_is_known() {
	port=$(sed -n 's|^https://.*:\([0-9]*\)/ .*|\1|p' "$work/out")
	[ -n "$port" ] || ! kill -0 "$server" 2>/dev/null
}

# launch PORT OPTION...: sets server and port; fails if it does not start.
# It must not hold open the pipe by which a client learns that it may end.
launch() {
	port=$1
	shift
	: >"$work/out" # or the line of the last server would be read
	"$top_builddir/examples/prefork" -c "$work/a.pem" -k "$work/a.key" \
	    -w "$workers" -p "$port" -o "dir=$work/cache" -o size=16M \
	    ${user:+-u "$user"} "$@" >"$work/out" 2>"$work/err" 3>&- &
	server=$!
	until_true port_is_known || return 1
	[ -n "$port" ] || return 1
	echo "$port" >"$work/port" # where the tap looks for it
}

start() {
	rm -rf "$work/cache"
	launch 0 "$@" || fail "the server does not start"
}

stop() {
	kill "$server"
	wait "$server" || fail "the server did not stop in good order"
	server=
}

# Somebody may take the port in between, but nobody keeps it for long.
restart() {
	stop
	tries_left=20
	until launch "$port_of_scene" "$@"; do
		wait "$server" || :
		tries_left=$((tries_left - 1))
		[ "$tries_left" -gt 0 ] || fail "the server does not come back"
		sleep 0.5
	done
}

# s_client OPTION...: one visit; $request, else the page
s_client() {
	printf 'GET %s HTTP/1.1\r\n\r\n' "${request:-/}" |
	    timeout 20 openssl s_client -connect "127.0.0.1:$port" -quiet \
	    "$@" 2>"$work/client-err"
}

worker_pids() {
	request=/stats s_client |
	    sed -n 's/^worker [0-9]*: pid \([0-9]*\),.*/\1/p'
}

all_are_new() {
	new=0
	for pid in $(worker_pids); do
		case " $old_pids " in
		*" $pid "*) ;;
		*) new=$((new + 1)) ;;
		esac
	done
	[ "$new" -eq "$workers" ]
}

reload() {
	kill -HUP "$server"
	until_true all_are_new || fail "SIGHUP did not replace the workers"
}

# count NAME...: the sum of these counters of the cache
count() {
	"$top_builddir/tools/sesscache" -d "$work/cache" stat --json |
	    tr ',' '\n' >"$work/stat"
	sum=0
	for counter in "$@"; do
		value=$(sed -n "s/.*\"$counter\": *\([0-9]*\).*/\1/p" \
		    "$work/stat")
		sum=$((sum + ${value:?no counter $counter}))
	done
	echo "$sum"
}

# --- the clients ------------------------------------------------------------
#
# For each: first, visits without a session; again, visits with what they
# left; before and after that, open and close.  The answers come to $work/page.

# lines PATTERN FILE: how many; none is no failure
lines() {
	grep -c "$1" "$2" || :
}

pages() {
	lines '^early-data: ' "$work/page"
}

has_pages() {
	[ "$(pages)" -ge "$1" ] || ! kill -0 "$client" 2>/dev/null
}

# wait_for N: pages, of the client that runs beside us
wait_for() {
	if ! until_true has_pages "$1" || [ "$(pages)" -lt "$1" ]; then
		fail "$name: $(pages) pages instead of $1"
	fi
}

# The programs in tests/clients take commands from a pipe.
open_program() {
	rm -f "$work/gate"
	mkfifo "$work/gate"
	timeout 120 "$@" "$port" "$pairs" <"$work/gate" >"$work/page" \
	    2>"$work/client-err" 3<&- &
	client=$!
	exec 3>"$work/gate"
}

tell_program() {
	wanted=$(($(pages) + pairs))
	echo "$1" >&3
	wait_for "$wanted"
}

close_program() {
	exec 3>&-
	wait "$client" || fail "$name: exit status $?"
	client=
}

open_python() {
	open_program python3 "$top_srcdir/tests/clients/client.py"
}

open_node() {
	open_program node "$top_srcdir/tests/clients/client.js"
}

open_java() {
	[ -e "$work/Client.class" ] ||
	    javac -d "$work" "$top_srcdir/tests/clients/Client.java"
	open_program java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
	    -cp "$work" Client
}

first_openssl() {
	for pair in $(seq "$pairs"); do
		s_client -servername "pair$pair.test" \
		    -sess_out "$work/session$pair" >>"$work/page" ||
		    fail "openssl s_client: $?"
	done
}

again_openssl() {
	for pair in $(seq "$pairs"); do
		s_client -servername "pair$pair.test" \
		    -sess_in "$work/session$pair" >>"$work/page" ||
		    fail "openssl s_client: $?"
	done
}

# curl reads the file of a pipe: that is where it waits between the visits.
first_curl() {
	rm -f "$work/gate"
	mkfifo "$work/gate"
	set --
	for pair in $(seq "$pairs"); do
		set -- "$@" "https://pair$pair.test:$port/"
	done
	set -- "$@" "file://$work/gate" "$@"
	for pair in $(seq "$pairs"); do
		set -- --resolve "pair$pair.test:$port:127.0.0.1" "$@"
	done
	wanted=$(($(pages) + pairs))
	timeout 60 curl -q -skN --noproxy '*' --max-time 30 "$@" \
	    >>"$work/page" 2>"$work/client-err" &
	client=$!
	wait_for "$wanted"
}

again_curl() {
	timeout 20 sh -c ": >'$work/gate'" || fail "curl did not wait"
	wait "$client" || fail "curl: exit status $?"
	client=
}

first_gnutls() {
	rm -f "$work/tap" "$work/held" "$work/go"
	python3 "$top_srcdir/tests/gnutls-tap.py" hold "$work" \
	    2>"$work/tap-err" &
	tap=$!
	until_true test -s "$work/tap" || fail "the tap does not start"
	printf 'GET / HTTP/1.1\r\n\r\n' |
	    timeout 60 gnutls-cli --insecure --resume --waitresumption \
	    --sni-hostname pair.test -p "$(cat "$work/tap")" 127.0.0.1 \
	    >>"$work/page" 2>"$work/client-err" &
	client=$!
	until_true test -e "$work/held" || fail "gnutls-cli does not come back"
}

again_gnutls() {
	: >"$work/go"
	wait "$client" || fail "gnutls-cli: exit status $?"
	wait "$tap" || fail "the tap: exit status $?"
	client=
	tap=
}

# Sets pages_first and pages_again, the pages of a round.
open_client() {
	: >"$work/page"
	: >"$work/visits"
	pages_first=$pairs
	pages_again=$pairs
	case $name in
	gnutls)
		pages_first=0
		pages_again=1
		;;
	python | node | java) "open_$name" ;;
	esac
}

close_client() {
	case $name in
	python | node | java) close_program ;;
	esac
}

first() {
	case $name in
	python | node | java) tell_program first ;;
	*) "first_$name" ;;
	esac
}

again() {
	case $name in
	python | node | java) tell_program again ;;
	*) "again_$name" ;;
	esac
}

# --- what they must see -----------------------------------------------------

# read_pages FIRST AGAIN: of the new pages, so many came without a session and
# then so many with one.  Adds to offered and resumed; sets moved, the pairs
# that met two workers, and pids, who answered those with a session.
read_pages() {
	seen=$(wc -l <"$work/visits")
	tr -d '\r' <"$work/page" | awk '
	    $1 == "pid:" { pid = $2 }
	    $1 == "resumed:" { resumed = $2 }
	    $1 == "protocol:" { print pid, resumed, $2 }' >"$work/visits"
	tail -n "+$((seen + 1))" "$work/visits" >"$work/new"
	[ "$(lines " TLSv$version\$" "$work/new")" -eq $(($1 + $2)) ] ||
	    fail "$name: not $1 + $2 visits: $(cat "$work/new")"
	head -n "$1" "$work/new" >"$work/first"
	tail -n "$2" "$work/new" >"$work/again"
	[ "$(lines ' no ' "$work/first")" -eq "$1" ] ||
	    fail "$name: resumed without a session: $(cat "$work/new")"
	offered=$((offered + $2))
	resumed=$((resumed + $(lines ' yes ' "$work/again")))
	moved=$(paste -d ' ' "$work/first" "$work/again" |
	    awk '$1 != $4' | wc -l)
	pids=$(cut -d ' ' -f 1 "$work/again")
}

# A lock that was not to be had in time costs a full handshake, and is
# counted: no more than so many may be missing.
all_resumed() {
	if [ "$resumed" -ne "$offered" ]; then
		[ $((offered - resumed)) -le "$(count busy)" ] ||
		    fail "$title: $name: $1: $resumed of $offered"
		echo "note: a lock was not to be had in time"
	fi
}

# With tickets the cache is not asked; without, it is, for every session.
came_through() {
	through=tickets
	if [ "$tickets" = off ] || [ "$name$version" = curl1.2 ]; then
		through='the cache'
	fi
	found=$(($(count hits taken) - found_before))
	case $through in
	tickets) [ "$found" -eq 0 ] ;;
	*) [ "$found" -eq "$resumed" ] ;;
	esac || fail "$title: $name: not through $through, found $found"
}

# At least one pair of visits meets two workers; all resume.
comes_back_to_another_worker() {
	offered=0
	resumed=0
	rounds=0
	moved=0
	found_before=$(count hits taken)
	until [ "$moved" -gt 0 ]; do
		[ "$rounds" -lt "$attempts" ] ||
		    fail "$title: $name always meets the same worker"
		first
		again
		read_pages "$pages_first" "$pages_again"
		rounds=$((rounds + 1))
		if [ "$pages_first" -eq 0 ] && [ "$rounds" -eq "$pairs" ]; then
			break
		fi
	done
	all_resumed 'at other workers'
	came_through
}

# comes_back_after WHAT OPTION...: of the server
comes_back_after() {
	what=$1
	shift
	offered=0
	resumed=0
	old_pids=$(worker_pids | tr '\n' ' ')
	first
	"$what" "$@"
	again
	read_pages "$pages_first" "$pages_again"
	for pid in $pids; do
		case " $old_pids " in
		*" $pid "*) fail "$title: $name: an old worker after a $what" ;;
		esac
	done
	all_resumed "after a $what"
}

# every_client_comes_back OPTION...: the server's, for this cell
every_client_comes_back() {
	start "$@"
	port_of_scene=$port
	for name in $clients; do
		open_client
		comes_back_to_another_worker
		comes_back_after reload
		comes_back_after restart "$@"
		close_client
		echo "ok: $title: $name, through $through"
	done
	stop
}

# visit NAME OPTION...: sets resumed and early as the server says, or "none"
visit() {
	host=$1
	shift
	s_client -servername "$host.test" "$@" >"$work/page" || :
	resumed=$(sed -n 's/^resumed: //p' "$work/page")
	resumed=${resumed:-none}
	early=$(sed -n 's/^early-data: //p' "$work/page")
	early=${early:-none}
}

# expect RESUMED SENTENCE [EARLY]
expect() {
	[ "$resumed" = "$1" ] || fail "$title: $2: resumed: $resumed, not $1"
	[ "$early" = "${3:-$early}" ] ||
	    fail "$title: $2: early data: $early, not $3"
}

# a.test is any client's, b.test requires a certificate, c.test is like a.test
# but has another certificate.
hosts_share_no_session() {
	set -- "$@" --host "b.test=$work/b.pem,$work/b.key,$work/me.pem" \
	    --host "c.test=$work/c.pem,$work/c.key"
	start "$@"
	me="-cert $work/me.pem -key $work/me.key"
	# Which settings a name leads to is learned from a first visit.
	for host in a b c; do
		# shellcheck disable=SC2086 # words
		visit "$host" $me
		expect no "$host.test, a first visit"
	done
	visit b
	expect none 'b.test serves a client without a certificate'
	visit a -sess_out "$work/sess-a"
	visit a -sess_in "$work/sess-a" -sess_out "$work/sess-a"
	expect yes 'a session of a.test at a.test'
	visit b -sess_in "$work/sess-a"
	expect none 'a session of a.test serves as a certificate at b.test'
	# shellcheck disable=SC2086 # words
	visit b -sess_in "$work/sess-a" $me
	expect no 'a session of a.test at b.test'
	visit c -sess_in "$work/sess-a"
	expect no 'a session of a.test at c.test'
	visit a -sess_in "$work/sess-a"
	expect yes 'a session of a.test that others refused'
	# shellcheck disable=SC2086 # words
	visit b -sess_out "$work/sess-b" $me
	visit b -sess_in "$work/sess-b" -sess_out "$work/sess-b"
	expect yes 'a session of b.test at b.test'
	visit a -sess_in "$work/sess-b"
	expect no 'a session of b.test at a.test'
	# shellcheck disable=SC2086 # words
	visit b -sess_in "$work/sess-b" $me
	expect yes 'a session of b.test that another refused'
	stop
	echo "ok: $title: openssl: hosts share no session"
}

hosts_of_one_realm_share_sessions() {
	start "$@" --realm ours --host "c.test=$work/c.pem,$work/c.key"
	visit c
	visit a -sess_out "$work/sess-a"
	visit c -sess_in "$work/sess-a"
	expect yes 'one realm: a session of a.test at c.test'
	stop
	echo "ok: $title: openssl: hosts of one realm share sessions"
}

# The request comes twice, for early data that is refused is lost.
early_data_is_accepted_once() {
	printf 'GET / HTTP/1.1\r\n\r\n' >"$work/early"
	start "$@" --early-data 4096
	port_of_scene=$port
	visit a -sess_out "$work/sess-a"
	visit a -sess_in "$work/sess-a" -early_data "$work/early"
	expect yes 'early data' accepted
	visit a -sess_in "$work/sess-a" -early_data "$work/early"
	expect no 'the same early data' rejected
	visit a -sess_out "$work/sess-a"
	restart "$@" --early-data 4096
	visit a -sess_in "$work/sess-a" -early_data "$work/early"
	expect yes 'early data after a restart' accepted
	stop
	echo "ok: $title: openssl: early data is accepted once"
}

# --- all of it --------------------------------------------------------------

for name in a b c me; do
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	    -keyout "$work/$name.key" -out "$work/$name.pem" \
	    -subj "/CN=$name.test" -days 2 2>"$work/err" ||
	    fail "no certificate"
done

clients=
for name in openssl curl gnutls python node java; do
	if is_here "$name"; then
		clients="$clients $name"
	else
		without "$name"
	fi
done

for cell in $cells; do
	version=${cell%/*}
	tickets=${cell#*/}
	title="TLS $version, tickets=$tickets"
	set -- -t "tls$version" -o "tickets=$tickets"
	every_client_comes_back "$@"
	hosts_share_no_session "$@"
	hosts_of_one_realm_share_sessions "$@"
	[ "$version" = 1.2 ] || early_data_is_accepted_once "$@"
done
