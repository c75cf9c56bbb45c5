/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks and the hand: lookups set marks while a process that makes room moves
 * the hand over the regulars, clears marks, and may die; another one goes on
 * (set_mark(), clear_mark() in lib/store/shard.c; evict_regular() in
 * lib/cache/evict.c).  The hand lies in shared memory beside the tree, not in
 * it: what a transaction deleted that was not committed is there again, while
 * the hand stands where it was left.
 *
 * Left out: newcomers, which go by their age; tickets, which marks do not
 * spare; the bound STEPS, so that the hand must end without it.
 */
#define RECORDS 3 /* regulars; their marks share a byte */
#define WANTED 2  /* to go in one transaction */
#define SPARED 1  /* by it at most */
#ifndef HITS
#define HITS 2
#endif
#define DEATHS 1

byte work; /* whose it is; 0: nobody's */
bool alive[3] = true;
byte marks, tree = 7; /* bits of the records */
byte hand, passed;     /* struct sc_hand */
byte done, deaths;
byte kept;             /* marks that were set and not cleared */

#define bit(seq) (1 << (seq))
#define has(set, seq) (((set) & bit(seq)) != 0)
#define records (has(now, 0) + has(now, 1) + has(now, 2))

inline first_from(from) { /* sc_room_first(); RECORDS: none */
	seq = from;
	do
	:: seq < RECORDS && !has(now, seq) -> seq++
	:: else -> break
	od
}

inline under_hand() {
	d_step {
		if /* of the older half, or the oldest */
		:: passed < records / 2 -> first_from(hand)
		:: else -> seq = RECORDS
		fi;
		if
		:: seq >= RECORDS -> hand = 0; passed = 0; first_from(0)
		:: else
		fi
	}
}

inline evict_regular() {
	under_hand();
	hand = seq + 1;
	atomic {
		steps++; /* each one spares or deletes: */
		assert(steps <= SPARED + WANTED)
	}
	if
#ifdef BROKEN_SPARED
	:: has(marks, seq) ->
#else
	:: has(marks, seq) && spared < SPARED ->
#endif
		d_step { /* clear_mark(): one atomic_fetch_and() */
			kept = kept & (255 - bit(seq));
			marks = marks & (255 - bit(seq))
		}
		d_step { spared++; passed++ }
	:: else -> d_step { now = now & (255 - bit(seq)); gone++ }
	fi
}

proctype worker() provided (alive[_pid]) {
	byte now, seq, steps, spared, gone;

	atomic { work == 0 || !alive[work] -> work = _pid }
	now = tree; /* sc_tree_begin() */
	do
	:: gone < WANTED && now != 0 -> evict_regular()
	:: else -> break
	od;
	tree = now; /* commit() */
	work = 0;
	done++
}

/* sc_store_hit(): inside the gate, so one at a time, but with no work lock */
proctype lookup() {
	byte hits, seq, old;

	do
	:: atomic { hits < HITS -> hits++; select(seq : 0 .. RECORDS - 1) }
		if /* set_mark() */
		:: has(marks, seq) /* and if the hand clears it now, it is lost */
		:: else ->
#ifdef BROKEN_PLAIN
			old = marks;
			d_step {
				marks = old | bit(seq);
				kept = kept | bit(seq)
			}
#else
			d_step { /* one atomic_fetch_or() */
				marks = marks | bit(seq);
				kept = kept | bit(seq)
			}
#endif
		fi;
		d_step { old = 0; seq = 0 }
	:: break
	od
}

init {
	atomic { run worker(); run worker(); run lookup() }
	do
	:: atomic { deaths < DEATHS && work != 0 && alive[work] ->
		alive[work] = false; deaths++ }
	:: break
	od;
	timeout;
	assert(done + deaths == 2); /* all that lived came to an end */
	assert(marks == kept) /* no mark goes or comes with its neighbours */
}
