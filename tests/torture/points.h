/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places inside the library at which a process of the torture may die or stop:
 * the linker leads calls between its objects here ("--wrap"), so that the code
 * under test is the code that ships.
 */
#ifndef TESTS_TORTURE_POINTS_H
#define TESTS_TORTURE_POINTS_H

#include <stdbool.h>

enum point {
	POINT_GATE,   /* in the gate of a shard, at its journal */
	POINT_WRITE,  /* in a write transaction */
	POINT_COMMIT, /* before and after it is committed */
	POINT_EVICT,
	POINT_HELD,   /* any lock is about to be released */
	POINT_ROTATE, /* of ticket keys */
	POINT_OPEN,
	POINT_RESIZE, /* a shard is empty, or half filled again */
	POINT_PURGE,
	POINT_FORK, /* in the child, before fork() returns */
	POINTS,
};

extern const char *const point_names[POINTS];

/*
 * At the n-th time that this process, or the child that it is about to have,
 * comes to a point: die there, or stop for so long (0: die).
 */
void point_plan(enum point point, unsigned nth, unsigned stop_ms);
void point_plan_nothing(void);

/* Whether a lock was had whose owner had died, since the last question. */
bool point_repaired(void);

#endif
