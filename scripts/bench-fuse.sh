#!/usr/bin/env bash
# FUSE and lazy pulling against their targets (docs/fuse-bench.md): ratios inside one run, rounds in which everything takes its turn, medians. Needs root.
# ROUNDS: how many, 5 by default. --json FILE (or OUT): every sample. --only SECTION,…: large, small, writing, cost, starting, survival, memory.
# RT=1: rows 1 to 9 with real-time priority. BENCH_TMP: where to work, on ext4 or xfs; 8 GB. Ends with 1 if a row could not be measured; a target that is missed is no failure.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
program=${BUILD_DIR:-$here/.build/release}/containerd-ref
[ "$(id -u)" = 0 ] || { echo "the benchmark mounts: run it as root" >&2; exit 1; }
[ -x "$program" ] || { echo "$program is not there: swift build -c release --product containerd-ref" >&2; exit 1; }
for tool in gcc python3 fuse-overlayfs containerd ctr ctr-remote runc skopeo busybox; do
  command -v "$tool" >/dev/null || { echo "$tool is not there: make bench-fuse installs what is needed" >&2; exit 1; }
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
gcc -O2 -std=gnu11 -Wall -Wextra "$here/scripts/bench-fuse/probe.c" -o "$scratch/probe"
# What was built may be built again meanwhile.
cp "$program" "$scratch/containerd-ref"
python3 "$here/scripts/bench-fuse/main.py" "$scratch/containerd-ref" "$scratch/probe" --rounds "${ROUNDS:-5}" ${OUT:+--json "$OUT"} "$@"
