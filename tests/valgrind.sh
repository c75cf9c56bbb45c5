#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Run one unit test under memcheck: "make check-valgrind".  An error in any
# process fails it; what is lost counts in the first process alone, since a
# child of a threaded process inherits memory of threads that it has not.
set -u
: "${VALGRIND:=valgrind}"

logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
status=0

# "Possibly" lost is not looked for: LMDB keeps pointers to the middle of its
# blocks.
CK_FORK=no "$VALGRIND" --quiet --error-exitcode=1 --leak-check=full \
    --show-leak-kinds=definite,indirect --errors-for-leak-kinds=none \
    --log-file="$logs/%p" "$@" &
first=$!
wait "$first" || status=1
[ -e "$logs/$first" ] || {
	echo "$VALGRIND wrote no log"
	exit 1
}
for log in "$logs"/*; do
	if [ "$log" = "$logs/$first" ]; then
		if grep -qE '(definitely|indirectly) lost in' "$log"; then
			status=1
		fi
		cat "$log"
	else
		# What a child lost is left out: paragraphs end at an empty line.
		sed 's/^==[0-9]*== *$//' "$log" |
		    awk 'BEGIN { RS = ""; ORS = "\n\n" } !/ lost in loss record/'
	fi
done
exit $status
