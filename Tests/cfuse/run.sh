#!/bin/sh
# The C side of FUSE against a tree that is made up: TAP on stdout. Needs root, /dev/fuse, gcc and libfuse3-dev; takes some 30 seconds.
# Arguments: names of tests (walk, opens, push, present, ahead, take-over, idle); all without. Or `bench`: how fast passed-through files are read, not a test.
# CFUSE_TMP: where to work, on ext4 or xfs (files are passed through from there). Default: /var/tmp.
set -eu
[ -e /dev/fuse ] || { echo "1..0 # SKIP there is no /dev/fuse"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP mounting needs root"; exit 0; }
here=$(cd "$(dirname "$0")" && pwd)
sources=$here/../../Sources
work=$(mktemp -d "${CFUSE_TMP:-/var/tmp}/cfuse.XXXXXX")
cleanup() {
  # Whatever a failed run has left mounted.
  grep -F " $work/" /proc/self/mounts | cut -d' ' -f2 | while read -r mount; do umount -l "$mount" || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

compile() {
  gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -pthread ${CFUSE_FLAGS:-} -I"$sources/CIdle/include" -I"$sources/CFuse/include" -I"$sources/CUnion/include" -I"$sources/CLibFuse/include" "$@"
}
mkdir "$work/mounts"
if [ "${1:-}" = bench ]; then
  compile -o "$work/bench" "$here"/bench.c "$here"/tap.c "$sources"/CIdle/*.c "$sources"/CFuse/*.c
  timeout -k 5 120 "$work/bench" "$work/mounts"
  exit
fi
compile -o "$work/test" "$here"/main.c "$here"/tap.c "$here"/tree.c "$here"/walk.c "$here"/server.c "$here"/test_*.c \
  "$sources"/CIdle/*.c "$sources"/CFuse/*.c "$sources"/CUnion/*.c "$sources"/CLibFuse/*.c -lfuse3 -Wl,--wrap=writev
timeout -k 5 240 "$work/test" "$work/mounts" "$@"
