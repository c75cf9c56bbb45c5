/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a callback does is invisible to the application and to OpenSSL: errno
 * and the error queue are afterwards what they were.  Private to openssl/.
 */
#ifndef SC_OPENSSL_QUIET_H
#define SC_OPENSSL_QUIET_H

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

#endif
