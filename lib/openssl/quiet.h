/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a callback does is invisible to the application and to OpenSSL: errno
 * and the error queue are afterwards what they were.  Private to openssl/.
 */
#ifndef SC_OPENSSL_QUIET_H
#define SC_OPENSSL_QUIET_H

#include <stddef.h>

/*
 * Around a callback that adds errors to the queue but removes none.  An
 * asynchronous engine cannot suspend what is in between either, for another
 * connection of this thread would then use the same buffers.
 */
struct sc_quiet {
	int saved_errno;
};

void sc_quiet_begin(struct sc_quiet *quiet);
void sc_quiet_end(const struct sc_quiet *quiet);

enum { SC_MAX_ERRORS = 16 }; /* that OpenSSL's queue holds */

/* One error of the queue; the strings are ours, NULL if there is none. */
struct sc_saved_error {
	unsigned long code;
	char *file, *function, *text;
	int line;
};

/* Around a handshake of our own, which clears the queue. */
struct sc_aside {
	struct sc_saved_error errors[SC_MAX_ERRORS];
	size_t n;
	int saved_errno;
};

void sc_aside_begin(struct sc_aside *aside);
void sc_aside_end(struct sc_aside *aside);

#endif
