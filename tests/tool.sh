#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The tool on real caches: what it lists, removes and counts, how it refuses,
# and that it never changes what it only looks into.
set -u
: "${top_builddir:=.}"

tool=$top_builddir/tools/sesscache
fill=$top_builddir/tests/fill
for program in "$tool" "$fill"; do
	[ -x "$program" ] || {
		echo "no $program"
		exit 77
	}
done
for variable in $(env | sed -n 's/^\(SESSCACHE_[A-Z_]*\)=.*/\1/p'); do
	unset "$variable"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/sesscache-tool.XXXXXX") || exit 1
filler=
cleanup() {
	[ -z "$filler" ] || kill "$filler" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT PIPE TERM

out=$work/out
err=$work/err
failures=0
checks=0

fail() {
	echo "FAIL: $*"
	sed 's/^/    stdout: /' "$out" | head -n 5
	sed 's/^/    stderr: /' "$err" | head -n 5
	failures=$((failures + 1))
}

# wants STATUS ARGUMENT...: the tool ends with this status.
wants() {
	want=$1
	shift
	checks=$((checks + 1))
	"$tool" "$@" >"$out" 2>"$err"
	got=$?
	[ "$got" -eq "$want" ] || fail "exit $got, not $want: sesscache $*"
}

# says TEXT, complains TEXT: what stands in the output of the last run.
says() {
	checks=$((checks + 1))
	grep -q -e "$1" "$out" || fail "\"$1\" is not in the output"
}

complains() {
	checks=$((checks + 1))
	grep -q -e "$1" "$err" || fail "\"$1\" is not on standard error"
}

# silent: nothing on standard error.
silent() {
	checks=$((checks + 1))
	[ ! -s "$err" ] || fail "standard error is not empty"
}

# is WHAT GOT WANT
is() {
	checks=$((checks + 1))
	[ "$2" = "$3" ] || fail "$1: \"$2\", not \"$3\""
}

lines() {
	wc -l <"$out" | tr -d ' '
}

# field NAME: a number in the JSON of the last run.
field() {
	sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$out" | head -n 1
}

sessions() {
	grep -c '^{"id": ' "$out"
}

# valid_json: the output is JSON, and ASCII without control bytes.
valid_json() {
	if command -v python3 >/dev/null; then
		checks=$((checks + 1))
		python3 -m json.tool <"$out" >/dev/null || fail "no JSON"
	fi
	printable
}

printable() {
	is "bytes that are not printable" \
	    "$(LC_ALL=C tr -d '\n -~' <"$out" | wc -c | tr -d ' ')" 0
}

# files DIR: all that a look must not change, but times of access.
files() {
	find "$1" -printf '%p %y %m %U:%G %s %b\n' | sort
}

put() {
	"$fill" "$@" >"$out" 2>"$err" || {
		fail "fill $*"
		exit 1
	}
}

# --- without a cache --------------------------------------------------------

wants 0 --version
says '^sesscache [0-9]*\.[0-9]*\.[0-9]*$'
wants 0 --help
says 'usage:'
wants 0 help
says '^  purge '
for command in dump purge stat check keys help; do
	wants 0 help "$command"
	says "usage: sesscache .* $command"
	wants 0 "$command" --help
	says "usage: sesscache .* $command"
	silent
done
wants 0 help settings
says '^size, SESSCACHE_SIZE$'
says '64M'
wants 0 help settings --json
valid_json

wants 2
complains 'no command'
wants 2 list
complains 'no command "list"'
wants 2 --no-such-option dump
wants 2 help nothing
wants 2 help dump purge
wants 2 help --json
wants 2 dump --no-such-option
complains 'sesscache dump: '
wants 2 dump something
complains '"something"'
wants 2 dump --id
wants 2 stat something
wants 2 check something
wants 2 keys something
wants 2 keys --rotates
complains 'sesscache keys: '
wants 2 purge
complains '\-\-all or at least one filter'
wants 2 purge --all --expired
complains 'not both'
wants 2 purge --json

for id in '' 0 012 0g xx 0x12 "$(printf '%0130d' 0)"; do
	wants 2 purge --id "$id"
	complains '\-\-id takes'
done
for age in '' 0 0s 1w -1 +1 1.5h ' 1' '1 ' h 1hh 99999999999999999999 \
    18446744073709551615d; do
	wants 2 dump --older-than "$age"
	complains '\-\-older-than takes'
done
for limit in '' 0 -1 1k 99999999999999999999; do
	wants 2 dump --limit "$limit"
	complains '\-\-limit takes'
done
wants 2 dump --server-name ''
wants 2 stat --watch=0
wants 2 stat --watch 1x
wants 2 stat --watch 86401
wants 2 stat --count 1
wants 2 stat --watch --count 0
wants 2 stat --watch --openmetrics

wants 2 -o size dump
complains 'name=value'
wants 2 -o size=64X dump
complains 'size.*64X'
wants 2 -o sise=64M dump
complains 'sise'
wants 2 -d '' dump
wants 2 -o dir=relative dump
complains 'dir.*relative'
export SESSCACHE_TIMEOUT=0
wants 2 -d "$work/none" dump
unset SESSCACHE_TIMEOUT
complains 'SESSCACHE_TIMEOUT'

# --- what is no cache -------------------------------------------------------

for command in dump stat check keys 'keys --rotate' 'purge --all'; do
	# shellcheck disable=SC2086 # two words
	wants 1 -d "$work/none" $command
	complains "no cache in $work/none"
done
is "made by a look" "$(ls -d "$work/none" 2>/dev/null)" ""

mkdir -m 700 "$work/empty"
wants 1 -d "$work/empty" dump
complains "no cache in $work/empty"
is "made by a look" "$(ls -A "$work/empty")" ""
echo text >"$work/file"
wants 1 -d "$work/file" dump
complains "$work/file"
mkdir -m 700 "$work/junk"
for name in control data.mdb data shard-0; do
	echo junk >"$work/junk/$name"
done
files "$work/junk" >"$work/before"
wants 1 -d "$work/junk" dump
complains "$work/junk"
files "$work/junk" >"$work/after"
is "changed by a look" "$(diff "$work/before" "$work/after")" ""

# --- plain records ----------------------------------------------------------

cache=$work/cache
put -o size=16M -n 50 "$cache"
files "$cache" >"$work/before"

wants 0 -d "$cache" dump
silent
is "lines of dump" "$(lines)" 51
says '^ID  *PROTOCOL  *CIPHER  *SERVER-NAME  *AGE  *EXPIRES-IN  *BYTES  *QUEUE'
says '^[0-9a-f]\{64\}  -  .*newcomer$'
id=$(sed -n '2s/ .*//p' "$out")
other=$(sed -n '3s/ .*//p' "$out")
printable
wants 0 -d "$cache" dump --json
valid_json
is "sessions in JSON" "$(sessions)" 50
says '"protocol": null, "cipher": null, "server_name": null'
says '"data_bytes": 160'
wants 0 -d "$cache" dump --limit 5
is "lines with a limit" "$(lines)" 6
wants 0 -d "$cache" dump --limit 5 --json
valid_json
is "sessions with a limit" "$(sessions)" 5
wants 0 -d "$cache" dump --id "$id"
is "lines for an ID" "$(lines)" 2
says "^$id "
wants 0 -d "$cache" dump --id "$(echo "$id" | tr 'a-f' 'A-F')"
is "lines for an ID in capitals" "$(lines)" 2
wants 0 -d "$cache" dump --id 00
is "lines for an unknown ID" "$(lines)" 1
wants 0 -d "$cache" dump --older-than 1h
is "lines older than an hour" "$(lines)" 1
wants 0 -d "$cache" dump --expired --json
valid_json
is "expired" "$(sessions)" 0
wants 0 -d "$cache" dump --server-name test
is "lines of plain records with a server name" "$(lines)" 1

wants 0 -d "$cache" check
is "summary" "$(cat "$out")" "50 records read, 0 expired, 0 with a problem"
wants 0 -d "$cache" check --json
valid_json
is "records read" "$(field records)" 50

wants 0 -d "$cache" stat
silent
says '^size  *16.0 MiB in [0-9]* shard'
says '^records  *50  '
says '^newcomers  *50  '
printable
wants 0 -d "$cache" stat --json
valid_json
is "records" "$(field records)" 50
is "stored" "$(field stored)" 50
is "size" "$(field size_bytes)" 16777216
wants 0 -d "$cache" stat --openmetrics
is "last line" "$(tail -n 1 "$out")" "# EOF"
says '^sesscache_records 50$'
says '^sesscache_stored_total 50$'
is "lines that are no OpenMetrics" "$(grep -cvE \
    -e '^# (TYPE|HELP|UNIT) sesscache_[a-z_]+ [^ ].*$' \
    -e '^sesscache_[a-z_]+(\{version="[0-9.]+"\})? [0-9]+$' \
    -e '^# EOF$' "$out")" 0
wants 0 -d "$cache" stat --watch 1 --count 2
is "lines of watch" "$(lines)" 3
wants 0 -d "$cache" stat --watch=1 --count 2 --json
is "objects of watch" "$(grep -c '^{.*}$' "$out")" 2

# Nothing that stands in the environment makes a look more than a look.
export SESSCACHE_SIZE=32M SESSCACHE_CREATE=on
wants 0 -d "$cache" stat --json
unset SESSCACHE_SIZE SESSCACHE_CREATE
is "size" "$(field size_bytes)" 16777216
wants 0 -o size=32M -o create=on -d "$cache" dump
files "$cache" >"$work/after"
is "changed by a look" "$(diff "$work/before" "$work/after")" ""

export SESSCACHE_DIR="$cache"
wants 0 dump
is "lines of the directory in the environment" "$(lines)" 51
SESSCACHE_DIR=$work/none
wants 0 -d "$cache" dump
unset SESSCACHE_DIR
wants 0 -d "$cache/" dump
wants 0 -d "$work/none" -o dir="$cache" dump
export SESSCACHE_SISE=1
wants 0 -d "$cache" dump --limit 1
unset SESSCACHE_SISE
complains 'SESSCACHE_SISE'
top_tool=$(cd "$(dirname "$tool")" && pwd)/sesscache
checks=$((checks + 1))
(cd "$work" && "$top_tool" -d cache dump) >"$out" 2>"$err" ||
    fail "a relative directory"
is "lines of a relative directory" "$(lines)" 51

# --- output that nobody reads -----------------------------------------------

"$tool" -d "$cache" dump 2>"$err" | head -n 1 >"$out"
is "lines through head" "$(lines)" 1
silent
if [ -w /dev/full ]; then
	for form in dump 'dump --json' stat check keys \
	    'stat --openmetrics'; do
		checks=$((checks + 1))
		# shellcheck disable=SC2086 # two words
		"$tool" -d "$cache" $form >/dev/full 2>"$err"
		got=$?
		: >"$out"
		[ "$got" -eq 1 ] || fail "$form on a full device: exit $got"
		complains 'cannot write'
	done
fi

# --- directories that are not safe ------------------------------------------

ln -s "$cache" "$work/link"
for dir in "$work/link" "$work/link/"; do
	wants 1 -d "$dir" dump
	complains "$work/link"
done
chmod 777 "$cache"
wants 1 -d "$cache" dump
complains "$cache"
chmod 700 "$cache"

# --- purge ------------------------------------------------------------------

wants 0 -d "$cache" purge --id "$id"
is "purge" "$(cat "$out")" "1 session removed"
wants 0 -d "$cache" dump --id "$id"
is "lines for an ID that is gone" "$(lines)" 1
wants 0 -d "$cache" purge --id "$id" --json
valid_json
is "removed again" "$(field removed)" 0
wants 0 -d "$cache" purge --id "$other" --expired
is "conditions that are not all met" "$(cat "$out")" "0 sessions removed"
wants 0 -d "$cache" purge --older-than 1d
is "purge" "$(cat "$out")" "0 sessions removed"
wants 0 -d "$cache" stat --json
is "records" "$(field records)" 49

put -n 3 -t 1 "$cache"
tries=0
expired=0
while [ "$expired" -lt 3 ] && [ "$tries" -lt 100 ]; do
	sleep 0.1
	wants 0 -d "$cache" dump --expired --json
	expired=$(sessions)
	tries=$((tries + 1))
done
is "expired" "$expired" 3
wants 0 -d "$cache" dump --expired
says ' expired  '
wants 0 -d "$cache" purge --expired
is "purge" "$(cat "$out")" "3 sessions removed"
wants 0 -d "$cache" purge --all --json
valid_json
is "removed" "$(field removed)" 49
wants 0 -d "$cache" dump
is "lines of an empty cache" "$(lines)" 1
wants 0 -d "$cache" dump --json
valid_json
wants 0 -d "$cache" check
is "summary" "$(cat "$out")" "0 records read, 0 expired, 0 with a problem"

# --- ticket keys ------------------------------------------------------------

# key STATE: the name of the key in this state, in the table of the last run.
key() {
	awk -v state="$1" '$2 == state { print $1 }' "$out"
}

# json_key STATE: the same, in JSON.
json_key() {
	sed -n "s/.*\"name\": \"\([0-9a-f]*\)\", \"state\": \"$1\".*/\1/p" \
	    "$out"
}

keys=$work/keys
put -o size=4M -n 3 "$keys"
files "$keys" >"$work/before"
wants 0 -d "$keys" keys
silent
says '^NAME  *STATE  *AGE  *RETIRES-IN$'
says '^[0-9a-f]\{8\}  next  *[0-9]*s  *-$'
says '^[0-9a-f]\{8\}  current  *[0-9]*s  *2[34]h[0-9]*m$\|  1d00h$'
is "lines of keys" "$(lines)" 3
next=$(key next)
current=$(key current)
wants 0 -d "$keys" keys --json
valid_json
is "current key" "$(json_key current)" "$current"
is "next key" "$(json_key next)" "$next"
says '"state": "next", "made_at": [0-9]*, "age_seconds": [0-9]*, "retires_at": null'
wants 0 -d "$keys" keys --rotate
is "rotation" "$(cat "$out")" "$next is the current ticket key now"
silent
wants 0 -d "$keys" keys
is "lines of keys" "$(lines)" 4
is "current key" "$(key current)" "$next"
is "previous key" "$(key previous)" "$current"
next=$(key next)
printable
is "what is neither name, state nor time" \
    "$(grep -cvE '^(NAME|[0-9a-f]{8}) +[A-Za-z]+ +[A-Z0-9dhms]+ +[-A-Z0-9dhms]+$' \
    "$out")" 0
wants 0 -d "$keys" keys --rotate --json
valid_json
is "current key" "$(json_key current)" "$next"
next=$(json_key next)
wants 0 -d "$keys" stat --json
is "rotations" "$(field key_rotations)" 2
wants 0 -d "$keys" stat --openmetrics
says '^sesscache_key_rotations_total 2$'
says '^sesscache_tickets_issued_total 0$'
wants 0 -d "$keys" stat
says '^key_rotations  *2  '
wants 0 -d "$keys" purge --all
wants 0 -d "$keys" keys
is "keys after a purge" "$(lines)" 3
is "next key after a purge" "$(grep -c "^$next" "$out")" 0
files "$keys" >"$work/after"
is "changed by keys" "$(diff "$work/before" "$work/after")" ""

# --- sessions of real handshakes --------------------------------------------

hostile=$(printf 'evil\033[2J"\\\r <\303\244\377>')
put -s -r -n 2 -N www.example.org "$cache"
put -s -n 2 -N "$hostile" "$cache"
wants 0 -d "$cache" dump
silent
printable
says ' TLSv1\.2  *TLS_ECDHE_[A-Z0-9_]*  *www\.example\.org '
says ' TLSv1\.3  *TLS_[A-Z0-9_]*  *www\.example\.org '
says ' evil\\x1b\[2J"\\x5c\\x0d\\x20<\\xc3\\xa4\\xff> '
wants 0 -d "$cache" dump --json
valid_json
says '"server_name": "evil\\u001b\[2J\\"\\\\\\u000d <\\u00e4\\ufffd>"'
all=$(sessions)
wants 0 -d "$cache" dump --server-name WWW.Example.ORG --json
named=$(sessions)
is "sessions of the hostile name" "$((all - named))" 2
wants 0 -d "$cache" dump --server-name "$hostile" --json
is "sessions of the hostile name" "$(sessions)" 2
wants 0 -d "$cache" check
wants 0 -d "$cache" stat --json
is "records" "$(field records)" "$all"
is "resumed" "$(field hits)" 2
wants 0 -d "$cache" purge --server-name www.example.ORG
is "purge" "$(cat "$out")" "$named sessions removed"
wants 0 -d "$cache" dump --json
is "sessions left" "$(sessions)" 2

# --- beside a process that stores -------------------------------------------

"$fill" -n 1000000000 "$cache" 2>"$work/fill.err" &
filler=$!
tries=0
while [ "$tries" -lt 3 ]; do
	wants 0 -d "$cache" dump --json --limit 1000
	valid_json
	wants 0 -d "$cache" dump
	wants 0 -d "$cache" check
	wants 0 -d "$cache" stat
	wants 0 -d "$cache" purge --id 00
	tries=$((tries + 1))
done
cp "$work/fill.err" "$err"
is "fill still runs" "$(kill -0 "$filler" 2>/dev/null && echo yes)" yes
kill -9 "$filler" 2>/dev/null
wait "$filler" 2>/dev/null
filler=
wants 0 -d "$cache" check
wants 0 -d "$cache" purge --all

# --- a record that was overwritten --------------------------------------------

# The head of a record says an ID that is not the cache's own in the clear, and
# what follows it is sealed.
damaged=$work/damaged
put -o size=4M -o shards=1 -i its-own-id- -n 3 "$damaged"
where=$(cd "$damaged" && LC_ALL=C grep -obaF its-own-id-1 -- * /dev/null |
    cut -d : -f 1,2)
is "copies found" "$([ -n "$where" ] && echo yes)" yes
for place in $where; do
	printf 'overwritten' | dd of="$damaged/${place%%:*}" bs=1 \
	    seek=$((${place#*:} + 20)) conv=notrunc 2>/dev/null
done
id=$(printf 'its-own-id-1' | od -An -v -tx1 | tr -d ' \n')
wants 1 -d "$damaged" check
says "^$id  [a-z]"
says '^3 records read, 0 expired, 1 with a problem$'
wants 1 -d "$damaged" check --json
valid_json
is "with a problem" "$(field with_problem)" 1
wants 0 -d "$damaged" dump --json
valid_json
is "sessions" "$(sessions)" 3
wants 0 -d "$damaged" purge --id "$id"
wants 0 -d "$damaged" check

# --- files that are damaged -------------------------------------------------

# What opens such a cache to serve makes it anew; a look refuses it.
for path in "$damaged"/*; do
	name=${path##*/}
	for change in 'truncate -s 5000' 'truncate -s 0' rm; do
		cp -R -p "$damaged" "$work/copy"
		$change "$work/copy/$name"
		files "$work/copy" >"$work/before"
		for command in dump stat check keys 'keys --rotate' \
		    'purge --all'; do
			# shellcheck disable=SC2086 # two words
			wants 1 -d "$work/copy" $command
			complains "$work/copy"
		done
		files "$work/copy" >"$work/after"
		is "changed by a look" \
		    "$(diff "$work/before" "$work/after")" ""
		rm -r "$work/copy"
	done
done

# --- the superuser and another user's cache ---------------------------------

if [ "$(id -u)" -eq 0 ]; then
	put -n 3 -o owner=65534:65534 -o size=4M "$work/nobody"
	files "$work/nobody" >"$work/before"
	wants 0 -d "$work/nobody" dump
	silent
	is "lines of another user's cache" "$(lines)" 4
	wants 0 -d "$work/nobody" stat
	wants 0 -d "$work/nobody" check
	wants 0 -d "$work/nobody" keys
	wants 0 -d "$work/nobody" purge --all
	is "purge" "$(cat "$out")" "3 sessions removed"
	files "$work/nobody" >"$work/after"
	is "changed by root" "$(diff "$work/before" "$work/after")" ""
	wants 1 -d "$work/nobody" -o owner=65533:65533 dump
	complains "$work/nobody"
fi

echo "$checks checks, $failures failed"
[ "$failures" -eq 0 ]
