/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resize: a shard's file is emptied and made anew while others have it mapped
 * and use it, and whoever does it may die between any two steps; who uses the
 * file and finds it damaged makes it anew too, empty (sc_shard_remake(),
 * sc_shard_mend() in lib/store/remake.c; sc_store_enter(), sc_shard_remap() in
 * lib/store/shard.c).
 *
 * A file is told by its size and by what it holds: the record that was stored,
 * or nothing yet.  Left out: the directory's lock, under which one process at
 * a time remakes (here they take turns by the shard's locks); the pages of the
 * tree; that the kept sessions may not fit.
 */
#define USERS 2
#define REMAKERS 2 /* the second one also repairs, as it opens the cache */
#define DEATHS 2 /* of one who makes it anew after the other, too */
#define CALLS 1
#define HALF 0 /* contents of a file */
#define EMPTY 1
#define WHOLE 2

byte gate, work; /* whose they are; 0: nobody's */
bool alive[USERS + REMAKERS + 1] = true;
byte done, deaths;

byte file = 1, content = WHOLE;  /* which mapping fits it, and its contents */
byte generation;                 /* sc_state.generation */
bool broken;                     /* sc_state.broken */
byte sizes = 1;

#define free(mutex) (mutex == 0 || !alive[mutex])

inline use(mine) { /* what is in a map of the file as it was then */
	assert(mine == file);        /* else it is a SIGBUS */
	assert(content != HALF)      /* else it is torn */
}

inline cut() { /* ftruncate() */
	d_step { sizes++; file = sizes; content = HALF }
}

inline mend() { /* with the work lock */
	atomic { free(gate) -> gate = _pid }
	if
#ifdef BROKEN_SECOND_LOOK
	:: true ->
#else
	:: broken -> /* nobody was faster */
#endif
		assert(broken); /* else it may hold what is new */
		cut();
		content = EMPTY;
		generation++;
		mapped = file;
		seen = generation;
		broken = false
	:: else
	fi;
	gate = 0
}

proctype user() provided (alive[_pid]) {
	byte mapped = 1, seen, calls;

	do
	:: atomic { calls < CALLS -> calls++ }
		if
		:: true -> skip /* a lookup */
		:: atomic { free(work) -> work = _pid } /* it writes a journal */
		fi;
		atomic { free(gate) -> gate = _pid } /* sc_store_enter() */
		if
		:: broken ->
			gate = 0;
			if /* it waits for nobody: not for itself either */
			:: atomic { work != _pid && free(work) -> work = _pid };
				mend()
			:: else
			fi
		:: else ->
			if
			:: seen != generation -> /* sc_shard_remap() */
				mapped = file;
				seen = generation
			:: else
			fi;
			use(mapped);
			gate = 0;
			if
			:: work == _pid -> use(mapped) /* marks, hand, tree */
			:: else
			fi
		fi;
		if
		:: work == _pid -> work = 0
		:: else
		fi
	:: break
	od;
	done++
}

proctype remaker() provided (alive[_pid]) {
	bool keep = true;

	atomic { free(work) -> work = _pid }
#ifndef BROKEN_GATE
	atomic { free(gate) -> gate = _pid }
#endif
	keep = !broken; /* of a damaged one, nothing */
#ifndef BROKEN_FLAG
	broken = true; /* until it is whole again */
#endif
	cut();
	content = EMPTY; /* sc_tree_open() */
	if
	:: keep -> content = WHOLE /* put_back() */
	:: else
	fi;
#ifndef BROKEN_GENERATION
	generation++;
#endif
	broken = false;
	if
	:: gate == _pid -> gate = 0
	:: else
	fi;
	work = 0;
	done++
}

init {
	atomic { run user(); run user(); run remaker(); run remaker() }
	do
	:: atomic { deaths < DEATHS && gate != 0 && alive[gate] ->
		alive[gate] = false; deaths++ }
	:: atomic { deaths < DEATHS && work != 0 && alive[work] ->
		alive[work] = false; deaths++ }
	:: break
	od;
	timeout;
	assert(done + deaths == USERS + REMAKERS);
	assert(deaths > 0 || content == WHOLE) /* nothing is lost */
}
