#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs a test program.  Check has a process for each test, and each one's end
# is dear where leaks are looked for then, or counts written.  Those whose many
# tests need none of their own run in one.
set -eu

case ${1##*/} in
check_cache | check_callbacks | check_early | check_evict | check_exchange | \
    check_hosts | check_keyring | check_landing | check_lifetime | \
    check_matrix | check_openssl | check_realm | check_resume | check_store | \
    check_trust)
	export CK_FORK=no
	;;
esac
exec "$@"
