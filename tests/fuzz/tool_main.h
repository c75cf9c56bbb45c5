/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tool within a fuzz target: read before each of its files.  Its main()
 * is called by the target, and nothing waits.
 */
#ifndef TESTS_FUZZ_TOOL_MAIN_H
#define TESTS_FUZZ_TOOL_MAIN_H

#define main tool_main
#define nanosleep tool_sleep

int tool_main(int argc, char **argv);

#endif
