/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Take-once: one record of one shard, in two journals and a tree, while
 * processes store it, take it and write a journal to the tree, and one may die
 * between any two steps (lib/store/shard.c, journal.c; look_inside() in
 * lib/cache/cache.c).  Versions stand for what is stored again under the same
 * number.
 *
 * Left out: deadlines (who waits in vain does nothing at all; to wait for ever
 * is the worse case); aliases, and records that bypass the journals; evictions,
 * which may remove a record at any time; the steps inside LMDB's commit, which
 * counts from one store to a meta page on.
 */
#define WORKERS 2
#ifndef CALLS
#define CALLS 5 /* by all of them */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define VERSIONS 2 /* 1 and 2: as many entries fit a journal here */
#define UNKNOWN 8
#define REMOVED 9

byte gate, work; /* whose they are; 0: nobody's */
bool alive[WORKERS + 1] = true;
byte next_version = 1, calls, done;

/* struct sc_journal, twice; journal j has the entries 2j and 2j + 1 */
byte newer, count[2], version[4]; /* newer: sc_area.active */
bool dead[4], removal[2];

byte tree, txn; /* the record in it; LMDB's transaction number */
byte commits;   /* sc_state.commits */

/* What may be expected of a version. */
bool placed[VERSIONS + 1], stored[VERSIONS + 1], doubtful[VERSIONS + 1],
    gone[VERSIONS + 1];

#define free(mutex) (mutex == 0 || !alive[mutex]) /* robust */

inline enter() { /* sc_store_enter() */
	d_step {
		free(gate);
#ifndef BROKEN_REPAIR
		commits = commits + (gate != 0); /* sc_shard_repaired() */
#endif
		gate = _pid
	}
}

inline leave() { /* sc_store_leave() */
	gate = 0
}

inline ask(j) { /* sc_journal_find() */
	if
	:: found != UNKNOWN
	:: else ->
		if
		:: count[j] > 1 && !dead[2*j + 1] -> found = version[2*j + 1]
		:: else ->
			if
			:: count[j] > 0 && !dead[2*j] -> found = version[2*j]
			:: else -> found = (removal[j] -> REMOVED : UNKNOWN)
			fi
		fi
	fi
}

inline read_begin() { /* the snapshot that it has, or a new one */
	if
	:: !live || seen != commits -> live = true; seen = commits; snapshot = txn
	:: else
	fi;
	assert(snapshot == txn) /* others reuse the pages of older ones */
}

inline find() { /* sc_store_read() */
	d_step {
		found = UNKNOWN;
		ask(newer);
		ask((1 - newer));
		if
		:: found == REMOVED -> found = 0
		:: found == UNKNOWN ->
			read_begin();
			found = tree
		:: else
		fi;
		assert(!gone[found]); /* what went never comes back */
		for (v : 1 .. VERSIONS) { /* and nothing is lost */
			assert(found != 0 || !stored[v] || gone[v] ||
			    doubtful[v])
		}
		v = 0
	}
}

inline kill_entries(n) { /* the first n of the active journal */
	d_step { if :: n > 0 -> dead[2*newer] = true :: else fi };
	d_step { if :: n > 1 -> dead[2*newer + 1] = true :: else fi }
}

inline remove() { /* sc_journal_remove() */
	doubtful[found] = true;
#ifdef BROKEN_KILL_FIRST
	kill_entries(count[newer]);
#endif
	removal[newer] = true;
	kill_entries(count[newer])
}

inline take() { /* look_inside() */
	enter();
	find();
#ifdef BROKEN_GATE
	leave();
	enter();
#endif
	if
	:: found != 0 ->
		remove();
		d_step {
			assert(!gone[found]); /* one wins */
			gone[found] = true
		}
	:: else
	fi;
	leave()
}

inline put() { /* sc_store_put(), sc_journal_put() */
	enter();
	d_step { /* what nobody reads yet */
		version[2*newer + count[newer]] = mine;
		dead[2*newer + count[newer]] = false
	}
	d_step { /* until here the older one was the record */
		for (v : 1 .. VERSIONS) {
			doubtful[v] = doubtful[v] || placed[v]
		}
		v = 0;
		placed[mine] = true;
		count[newer]++
	}
	kill_entries(count[newer] - 1);
	d_step {
		for (v : 1 .. VERSIONS) {
			gone[v] = gone[v] || (placed[v] && v != mine)
		}
		v = 0;
		stored[mine] = true
	}
	leave()
}

inline seal() { /* j: the journal to write out, or 2 */
	enter();
	d_step {
		if
#ifndef BROKEN_SEAL
		:: count[1 - newer] > 0 || removal[1 - newer] -> j = 1 - newer
#endif
		:: else ->
			if
			:: count[newer] > 0 || removal[newer] ->
				j = newer; newer = 1 - newer
			:: else -> j = 2
			fi
		fi
	}
	leave()
}

inline place_journal() { /* into a transaction that is not committed yet */
	d_step {
		written = (removal[j] -> 0 : tree);
		for (v : 0 .. count[j] - 1) {
			written = (dead[2*j + v] -> written : version[2*j + v])
		}
		v = 0
	}
}

inline clear_journal() { /* sc_journal_clear() */
	removal[j] = false;
	count[j] = 0
}

inline commit() {
	enter();
#ifdef BROKEN_CLEAR_FIRST
	clear_journal();
#endif
	d_step { tree = written; txn++ }
	commits++;
	clear_journal();
	leave()
}

inline flush() { /* sc_store_flush() */
#ifdef BROKEN_ORDER
	enter();
#endif
	d_step { free(work); work = _pid }
	seal();
	if
	:: j < 2 -> place_journal(); commit()
	:: else
	fi;
	work = 0 /* sc_shard_rest() */
}

proctype worker() provided (alive[_pid]) {
	bool live;
	byte v, j, found, mine, written, snapshot, seen;

	do
	:: atomic { calls < CALLS && next_version <= VERSIONS ->
		calls++; mine = next_version; next_version++ }
		put()
	:: atomic { calls < CALLS -> calls++ }
		take()
	:: atomic { calls < CALLS -> calls++ }
		flush()
	:: atomic { calls < CALLS -> calls++ }
		enter();
		d_step { read_begin() } /* another record */
		leave()
	:: break
	od;
	done++
}

init {
	byte i, deaths;

	atomic {
		for (i : 1 .. WORKERS) { run worker() }
	}
	do /* that one dies without a lock is as if it were stopped */
	:: atomic { deaths < DEATHS && gate != 0 && alive[gate] ->
		alive[gate] = false; deaths++ }
	:: atomic { deaths < DEATHS && work != 0 && alive[work] ->
		alive[work] = false; deaths++ }
	:: break
	od;
	timeout;
	assert(done + deaths == WORKERS) /* all that lived came to their end */
}
