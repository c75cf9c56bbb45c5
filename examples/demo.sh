#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The main job, to look at: a prefork server with 4 workers and clients that
# come back, first with one session cache in each process, then with one for
# all of them.
#
#   demo.sh BUILDDIR        CLIENTS in the environment: how many (2000)
#
# Needs openssl.  Listens on a free port of the loopback; leaves nothing.
set -eu

build=${1:?usage: demo.sh BUILDDIR}
clients=${CLIENTS:-2000}
workers=4
server=
work=

clean_up() {
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || :
		wait "$server" 2>/dev/null || :
	fi
	if [ -n "$work" ]; then
		rm -rf "$work"
	fi
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

die() {
	echo "demo: $*" >&2
	exit 1
}

for program in examples/prefork tests/load/load tools/sesscache; do
	[ -x "$build/$program" ] || die "$build/$program is not built"
done
command -v openssl >/dev/null || die "openssl is not installed"

# Settings of the user's are for the user's servers.
for name in $(env | sed -n 's/^\(SESSCACHE_[A-Z_]*\)=.*/\1/p'); do
	unset "$name"
done

# In memory if there is such a place, as a cache should be.
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
	base=/dev/shm
else
	base=${TMPDIR:-/tmp}
fi
work=$(mktemp -d "$base/sesscache-demo.XXXXXX")
cache=$work/cache

# start MODE VERSION: sets server and port
start() {
	: >"$work/out" # or the line of the last server would be read
	"$build/examples/prefork" -c "$work/cert.pem" -k "$work/key.pem" \
	    -w "$workers" -m "$1" -t "tls$2" -o "dir=$cache" \
	    >"$work/out" 2>"$work/err" &
	server=$!
	port=
	tries=0
	while [ -z "$port" ]; do
		port=$(sed -n 's|^https://.*:\([0-9]*\)/ .*|\1|p' "$work/out")
		tries=$((tries + 1))
		if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
			cat "$work/err" >&2
			die "the server does not start"
		fi
		[ -n "$port" ] || sleep 0.1
	done
}

stop() {
	kill "$server"
	wait "$server" || die "the server did not stop in good order"
	server=
}

# drive MODE VERSION: the load client; its line goes to a file
drive() {
	"$build/tests/load/load" --port "$port" --tls "$2" --server-stats \
	    --clients "$clients" --visits 2 >"$work/$1-$2" ||
	    die "connections failed"
}

# value FILE NAME
value() {
	tr ' ' '\n' <"$work/$1" | sed -n "s/^$2=//p"
}

# visit VERSION OPTION...: one connection of openssl s_client
visit() {
	version=$(echo "$1" | tr . _)
	shift
	printf 'GET / HTTP/1.1\r\n\r\n' |
	    openssl s_client -connect "127.0.0.1:$port" "-tls$version" \
	    -quiet "$@" 2>/dev/null | tr -d '\r' |
	    awk -F ': ' '$1 == "worker" { worker = $2 }
	        $1 == "resumed" { resumed = $2 }
	        END { if (worker == "") exit 1
	            printf "worker %s, resumed: %s\n", worker, resumed }'
}

# The same client, four times; each visit offers the session of the last.
come_back() {
	printf '  openssl s_client  -sess_out s             '
	visit "$1" -sess_out "$work/s" || die "openssl s_client failed"
	for _ in 1 2 3; do
		printf '  openssl s_client  -sess_in s -sess_out s  '
		visit "$1" -sess_in "$work/s" -sess_out "$work/s" ||
		    die "openssl s_client failed"
	done
}

# What a handshake of a client that comes back costs, in microseconds.
cost() {
	awk -v rate="$(value "$1-$2" percent)" \
	    -v full="$(value "$1-$2" full_cpu_us)" \
	    -v resumed="$(value "$1-$2" resumed_cpu_us)" 'BEGIN {
		printf "%.0f", (rate * resumed + (100 - rate) * full) / 100
	}'
}

# row MODE VERSION NAME
row() {
	printf 'TLS %s  %-20s %8.2f %% %9.0f %9.0f %14.0f\n' "$2" "$3" \
	    "$(value "$1-$2" percent)" "$(value "$1-$2" full_cpu_us)" \
	    "$(value "$1-$2" resumed_cpu_us)" "$(cost "$1" "$2")"
}

echo "Making a P-256 certificate."
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$work/key.pem" -out "$work/cert.pem" -subj /CN=localhost \
    -days 2 2>"$work/err" || die "$(cat "$work/err")"

for mode in process shared; do
	if [ "$mode" = process ]; then
		echo "One cache in each process (OpenSSL's own):"
	else
		echo "One cache for all processes (sesscache):"
	fi
	for version in 1.2 1.3; do
		start "$mode" "$version"
		echo "  TLS $version, $workers workers, port $port:" \
		    "$clients clients that come back once"
		drive "$mode" "$version"
		come_back "$version"
		stop
	done
done

cat <<END

                               sessions   server CPU per handshake, microseconds
                                resumed      full   resumed    coming back
END
for version in 1.2 1.3; do
	row process "$version" "a cache per process"
	row shared "$version" "sesscache"
done

echo
echo "\$ sesscache stat"
"$build/tools/sesscache" -d "$cache" stat
echo
echo "\$ sesscache dump | head -n 5"
"$build/tools/sesscache" -d "$cache" dump >"$work/dump"
head -n 5 "$work/dump"

echo
echo "With sesscache $(value shared-1.2 percent) % (TLS 1.2) and" \
    "$(value shared-1.3 percent) % (TLS 1.3) of the sessions resume," \
    "against $(value process-1.2 percent) % and" \
    "$(value process-1.3 percent) % with one cache in each process; the" \
    "handshake of a client that comes back takes $(cost shared 1.2) and" \
    "$(cost shared 1.3) microseconds of the server's CPU instead of" \
    "$(cost process 1.2) and $(cost process 1.3)." | fold -s -w 78
