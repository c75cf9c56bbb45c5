/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rotate-once: the ring of ticket keys, in two sealed copies that take turns,
 * while processes read it without its lock and rotate it when that is due, and
 * one may die between any two steps (lib/cache/keyring.c).
 *
 * A ring is told by its generation.  A copy has two words, the key and what is
 * sealed; it opens if both are of one generation and it was sealed for the
 * turn that it is opened for, as AES-GCM sees to.  A key is drawn for each
 * change and seals nothing else, so that no nonce is used twice.
 *
 * Left out: the deadline of the lock, which is only tried here; clocks that go
 * back; the first ring, and one that was damaged: that it does not open is an
 * error here.  Each step is seen by all processes in order, for which the code
 * has acquire and release at each word.  A read comes again without an end;
 * in the code it gives up, SESSCACHE_EBUSY.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#define LAST 3 /* generation that becomes due; the first is 1 */
#ifndef DEATHS
#define DEATHS 1
#endif

byte lock; /* whose it is; 0: nobody's */
bool alive[WORKERS + 1] = true;
byte done, deaths;

byte turn = 2;                   /* sc_ring.turn */
byte key[2], sealed[2], sealed_for[2]; /* sc_ring.copies */
byte due = 1, newest = 1;        /* the generation of now; the last one made */

inline read_ring() { /* open_ring(): at is its turn, body its generation */
	do
	:: at = turn;
		word = key[at & 1];
		d_step { body = sealed[at & 1]; number = sealed_for[at & 1] }
		if
#ifndef BROKEN_REREAD
		:: turn != at
#endif
		:: else -> break
		fi
	od;
	assert(word == body && number == at); /* it opens */
	d_step { word = 0; number = 0 }
}

inline wipe_copy(t) {
	key[(t) & 1] = 0;
	sealed[(t) & 1] = 0
}

inline publish(t) {
	assert(body + 1 <= due); /* one key for each time that one is due */
#ifdef BROKEN_TURN_FIRST
	turn = t;
#endif
#ifdef BROKEN_WIPE_FIRST
	wipe_copy(t + 1);
#endif
	key[(t) & 1] = body + 1; /* write_copy() */
	d_step { sealed[(t) & 1] = body + 1; sealed_for[(t) & 1] = t }
	d_step {
		turn = t;
		assert(body + 1 == newest + 1); /* none is made twice */
		newest = body + 1
	}
	wipe_copy(t + 1)
}

#define is_free (lock == 0 || !alive[lock])

inline change() { /* with the lock */
	read_ring();
	if
#ifndef BROKEN_CHECK
	:: body >= due /* another process was first */
#endif
	:: else ->
#ifdef BROKEN_IN_PLACE
		publish(at + 2)
#else
		publish(at + 1)
#endif
	fi
}

inline tidy() { /* who died before it wiped the other copy, left that */
#ifdef BROKEN_TIDY
	wipe_copy(at + 1)
#else
	if
	:: atomic { is_free -> lock = _pid }
		at = turn;
		wipe_copy(at + 1);
		lock = 0
	:: atomic { !is_free }
	fi
#endif
}

proctype worker() provided (alive[_pid]) {
	byte at, word, body, number, calls;

	do /* get_ready() */
	:: atomic { calls < 2 -> calls++ }
		read_ring();
		if
		:: key[(at + 1) & 1] != 0 || sealed[(at + 1) & 1] != 0 ->
			tidy()
		:: else
		fi;
		if
		:: body >= due
		:: else ->
			if
			:: atomic { is_free -> lock = _pid }
				change();
				lock = 0
			:: atomic { !is_free } /* the key it has will do */
			fi
		fi;
		d_step { at = 0; body = 0 }
	:: break
	od;
	done++
}

init {
	byte i;

	d_step { key[0] = 1; sealed[0] = 1; sealed_for[0] = turn }
	atomic {
		for (i : 1 .. WORKERS) { run worker() }
	}
	do
	:: atomic { due < LAST -> due++ } /* time goes by */
	:: atomic { deaths < DEATHS && lock != 0 && alive[lock] ->
		alive[lock] = false; deaths++ }
	:: break
	od;
	timeout;
	assert(done + deaths == WORKERS); /* all that lived came to an end */
	assert(sealed[turn & 1] == newest && key[turn & 1] == newest &&
	    sealed_for[turn & 1] == turn);
	assert(deaths > 0 || key[(turn + 1) & 1] == 0) /* wiped */
}
