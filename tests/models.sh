#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What the processes do to each other, step by step, in all orders and with a
# death anywhere: spin looks at each state of the models in tests/models.  A
# model that was broken on purpose (BROKEN_...) must be found out.
set -eu
: "${top_srcdir:?}"

for program in spin gcc; do
	command -v "$program" >/dev/null 2>&1 && continue
	echo "$program is not here"
	[ "${SC_NO_SKIP:-0}" -eq 0 ] || exit 1
	exit 77
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
status=0

# look MODEL [FLAG]: what spin says goes to "said".
look() {
	model=$1
	shift
	spin -a "$@" "$top_srcdir/tests/models/$model.pml" >said 2>&1 &&
	    gcc -O1 -w -DSAFETY -DNOREDUCE -DMEMLIM=500 -o pan pan.c \
	        >>said 2>&1 &&
	    timeout 120 ./pan -E -w20 -m10000 >>said 2>&1
}

# A search that came to no end says nothing.
is_complete() {
	! grep -qE 'MEMLIM|max search depth|Search not completed' said
}

for file in "$top_srcdir"/tests/models/*.pml; do
	model=$(basename "$file" .pml)
	rm -f said
	if look "$model" && grep -q 'errors: 0$' said && is_complete; then
		echo "$model: $(sed -n 's/ *\([0-9.e+]* states, stored\)/\1/p' said)"
	else
		echo "$model: FAILED"
		cat said
		status=1
	fi
	grep -oE 'BROKEN_[A-Z_]+' "$file" | sort -u >flags
	while read -r flag; do
		rm -f said
		look "$model" "-D$flag" || :
		if grep -q 'assertion violated' said &&
		    ! grep -q 'invalid array index' said; then
			echo "$model, $flag: found"
		else
			echo "$model, $flag: NOT found"
			cat said
			status=1
		fi
	done <flags
done
exit $status
