#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The first five minutes of a stranger: from a clean clone of HEAD in a bare
# Debian, ./bootstrap demo and ./bootstrap check, once as root and once as a
# user with sudo.  Needs root, debootstrap, git and a Debian mirror; takes some
# ten minutes and 2 GB, so it is no part of make check.
#
#   tests/chroot.sh [root|user]...
#
# SUITE (bookworm; others bring a newer compiler, OpenSSL and LMDB), MIRROR and
# TMPDIR may be set.
set -eu

[ "$(id -u)" -eq 0 ] || {
	echo "skipped: only root can chroot"
	exit 77
}
for program in debootstrap git chroot mount; do
	command -v $program >/dev/null || {
		echo "skipped: no $program"
		exit 77
	}
done

source=$(cd "$(dirname "$0")/.." && pwd)
suite=${SUITE:-bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian}
work=$(mktemp -d)
base=$work/base

unmount() {
	for point in proc dev/shm; do
		if mountpoint -q "$1/$point"; then
			umount -l "$1/$point"
		fi
	done
}

cleanup() {
	for root in "$work"/*; do
		unmount "$root"
	done
	# A mount that is still there must not be emptied.
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# enter ROOT COMMAND: in a clean environment, as after a login.
enter() {
	chroot "$1" env -i HOME=/root LANG=C.UTF-8 TERM=dumb \
	    PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -euc "$2" </dev/null
}

make_root() {
	echo "== $1: a copy of the bare system, a clean clone =="
	root=$work/$1
	cp -a "$base" "$root"
	mount -t proc proc "$root/proc"
	mkdir -p "$root/dev/shm"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	git clone -q --no-local "$source" "$root/home/sesscache"
}

both='./bootstrap demo && ./bootstrap check'

as_root() {
	make_root root
	echo "== root: $both =="
	enter "$work/root" "cd /home/sesscache && $both"
}

as_user() {
	make_root user
	enter "$work/user" 'export DEBIAN_FRONTEND=noninteractive
	    apt-get update -q
	    apt-get install -q -y --no-install-recommends sudo
	    useradd -m -s /bin/sh stranger
	    echo "stranger ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/stranger
	    chown -R stranger: /home/sesscache'
	echo "== user: $both =="
	enter "$work/user" "su stranger -c 'cd /home/sesscache && $both'"
}

echo "== debootstrap $suite from $mirror =="
debootstrap --variant=minbase "$suite" "$base" "$mirror" >"$work/log" 2>&1 || {
	tail -20 "$work/log"
	exit 1
}
cp /etc/resolv.conf "$base/etc/resolv.conf"

[ $# -gt 0 ] || set -- root user
for who in "$@"; do
	case $who in
	root) as_root ;;
	user) as_user ;;
	*)
		echo "usage: tests/chroot.sh [root|user]..." >&2
		exit 2
		;;
	esac
	unmount "$work/$who"
done
echo "== passed: $* =="
