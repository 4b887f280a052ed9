#!/usr/bin/env bash
# Side by side with Debian's containerd, in one run, from one registry, by one client (ctr): rounds alternate between the two.
# Prints medians and ratios, and writes them as JSON to bench.json (or $BENCH_JSON). ROUNDS sets the number of rounds.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
export BUILD_DIR=${BUILD_DIR:-$here/.build/release}
source "$here/Tests/e2e/lib.bash"
[ "$(id -u)" = 0 ] || { echo "the benchmark mounts and runs containers: run it as root" >&2; exit 1; }
rounds=${ROUNDS:-7}
suite_up
mkdir -p "$WORK/peer-root" "$WORK/peer-run"
cat >"$WORK/peer.toml" <<TOML
version = 2
root = "$WORK/peer-root"
state = "$WORK/peer-run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$WORK/peer-run/containerd.sock"
TOML
containerd --config "$WORK/peer.toml" >"$WORK/peer.log" 2>&1 &
peer=$!
trap 'kill $peer 2>/dev/null; suite_down' EXIT
for _ in $(seq 100); do ctr -a "$WORK/peer-run/containerd.sock" version >/dev/null 2>&1 && break; sleep 0.1; done

milliseconds() { local from; from=$(date +%s%N); "$@" >/dev/null 2>&1; echo $((($(date +%s%N) - from) / 1000)); }
for round in $(seq "$rounds"); do
  for who in ours peer; do
    socket=$WORK/$([ $who = ours ] && echo run || echo peer-run)/containerd.sock
    client=(ctr -a "$socket")
    milliseconds "${client[@]}" images pull --plain-http "$(image)" >>"$WORK/pull.$who"
    milliseconds "${client[@]}" run --rm "$(image)" "bench-$round" true >>"$WORK/run.$who"
    "${client[@]}" images rm --sync "$(image)" >/dev/null
  done
done
python3 - "$WORK" "${BENCH_JSON:-$here/bench.json}" <<'PYTHON'
import json, statistics, sys
work, out = sys.argv[1:]
result = {}
print(f"{'':24}{'ours':>10}{'containerd':>12}{'ratio':>8}   (medians, ms; ratio of the rounds' medians)")
for what, title in (("pull", "pull and unpack"), ("run", "run true to its exit")):
    figures = {w: [int(x) / 1000 for x in open(f"{work}/{what}.{w}")] for w in ("ours", "peer")}
    ours, peer = (statistics.median(figures[w]) for w in ("ours", "peer"))
    result[what] = {"ours_ms": figures["ours"], "containerd_ms": figures["peer"], "ratio": ours / peer}
    print(f"{title:24}{ours:10.1f}{peer:12.1f}{ours / peer:8.2f}")
json.dump(result, open(out, "w"), indent=1)
print("written to", out)
PYTHON
