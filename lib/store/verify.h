/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the file of a shard is whole: every page of it that LMDB would
 * follow, looked at without LMDB, which believes its files and crashes on what
 * is damaged.  Knows the format of LMDB 0.9 where addresses have 64 bits, and
 * says nothing of any other.
 *
 * What it reads it copies: neither a file that changes nor one that is cut
 * meanwhile does harm.  Does not look into records, which are sealed.
 */
#ifndef SC_STORE_VERIFY_H
#define SC_STORE_VERIFY_H

#include "status.h"

/*
 * fd is a file of this many bytes.  Returns SESSCACHE_OK, SESSCACHE_ENOMEM, or
 * SESSCACHE_ECORRUPT and a sentence that names the page: also of a file that
 * is whole, if transactions are committed meanwhile.
 */
enum sesscache_status sc_verify_file(int fd, uint64_t bytes)
    SESSCACHE_MUST_CHECK;

#endif
