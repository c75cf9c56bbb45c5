# SPDX-License-Identifier: BSD-2-Clause

# SC_CHECK_THREADS
# SC_THREAD_CFLAGS: for compiling and linking with pthreads, whose mutexes
# must be robust.
AC_DEFUN([SC_CHECK_THREADS], [
AC_CACHE_CHECK([for robust pthread mutexes], [sc_cv_threads], [
	sc_saved=$CFLAGS
	CFLAGS="$CFLAGS -pthread"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <pthread.h>]],
	    [[pthread_mutexattr_t attr;
	      pthread_mutexattr_init(&attr);
	      pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	      return pthread_mutexattr_setrobust(&attr,
	          PTHREAD_MUTEX_ROBUST);]])],
	    [sc_cv_threads=yes], [sc_cv_threads=no])
	CFLAGS=$sc_saved
])
AS_IF([test "x$sc_cv_threads" = xno],
    [AC_MSG_ERROR([sesscache needs pthreads with robust mutexes])])
AC_SUBST([SC_THREAD_CFLAGS], [-pthread])
])

# SC_CHECK_ATOMICS
# The counters in shared memory are 64-bit C11 atomics; what is not lock-free
# would be locked per process, and so not at all.
AC_DEFUN([SC_CHECK_ATOMICS], [
AC_CACHE_CHECK([for lock-free 64-bit C11 atomics], [sc_cv_atomics], [
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[
#include <stdatomic.h>
#include <stdint.h>
#if ATOMIC_LLONG_LOCK_FREE != 2 || ATOMIC_CHAR_LOCK_FREE != 2
#error not lock-free
#endif
static _Atomic uint64_t counter;
	    ]], [[return (int)atomic_fetch_add(&counter, 1);]])],
	    [sc_cv_atomics=yes], [sc_cv_atomics=no])
])
AS_IF([test "x$sc_cv_atomics" = xno],
    [AC_MSG_ERROR([sesscache needs lock-free 64-bit C11 atomics])])
])
