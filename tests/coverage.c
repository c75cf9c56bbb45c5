/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With --enable-coverage, what a child did counts although it ends without the
 * exit handlers of its parent.
 */
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SC_COVERAGE

void __gcov_dump(void); /* NOLINT(bugprone-reserved-identifier): gcc's name */

_Noreturn void
_exit(int status)
{
	__gcov_dump();
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

#else

/* Without it there is nothing to do; an empty unit is no C. */
typedef int test_no_coverage;

#endif
