/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The linker's names ("--wrap"): a call of f() is one of __wrap_f(), and
 * __real_f() is what it would have been.
 */
#ifndef TESTS_WRAP_H
#define TESTS_WRAP_H

#define REAL(f) __real_##f /* NOLINT(bugprone-reserved-identifier) */
#define WRAP(f) __wrap_##f /* NOLINT(bugprone-reserved-identifier) */

#endif
