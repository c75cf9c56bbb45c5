/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places inside the library at which a process of the torture may die or stop:
 * the linker leads calls between its objects here ("--wrap"), so that the code
 * under test is the code that ships.
 */
#ifndef TESTS_TORTURE_POINTS_H
#define TESTS_TORTURE_POINTS_H

#include <stdbool.h>
#include <stdint.h>

enum point {
	POINT_GATE,   /* in the gate of a shard, at its journal */
	POINT_WRITE,  /* in a write transaction */
	POINT_COMMIT, /* before and after it is committed */
	POINT_EVICT,
	POINT_HELD,   /* any lock is about to be released */
	POINT_ROTATE, /* of ticket keys */
	POINT_OPEN,
	POINT_RESIZE,  /* from one shard to the next, among them the last: then
	                  the new size is published */
	POINT_COLLECT, /* records that a shard takes along */
	POINT_EMPTIED, /* its file is empty, or laid out anew */
	POINT_REFILL,  /* half filled again */
	POINT_FILLED,  /* filled again, which nobody knows yet */
	POINT_PURGE,
	POINT_FORK, /* in the child, before fork() returns */
	POINTS,
};

extern const char *const point_names[POINTS];

/* Instead of a time: the thread stays there until its process ends. */
enum { POINT_FOR_EVER = 0x7fffffff };

/*
 * At the n-th time that this thread, or the child that it is about to have,
 * comes to a point: die there, or stop for so long (0: die).
 */
void point_plan(enum point point, unsigned nth, unsigned stop_ms);
void point_plan_nothing(void);

/* Whether a thread of this process stays at a point for ever. */
bool point_is_held(void);

/*
 * When this thread asked for a lock that it had, and whose owner had died,
 * since the last question; 0: for none.
 */
uint64_t point_repaired(void);

#endif
