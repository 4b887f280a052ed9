#!/usr/bin/env bash
# Side by side with Debian's containerd, in one run, from one registry, by one client (ctr); rounds alternate between the two, and so does
# who goes first. Prints medians and ratios, and writes every sample with the machine's data as JSON to bench.json (or $BENCH_JSON).
# ROUNDS sets the number of rounds; DEBIAN_CACHE names a file that keeps debootstrap's tree between runs.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
export BUILD_DIR=${BUILD_DIR:-$here/.build/release}
source "$here/Tests/e2e/lib.bash"
[ "$(id -u)" = 0 ] || { echo "the benchmark mounts and runs containers: run it as root" >&2; exit 1; }
rounds=${ROUNDS:-7}
tag=bench-$$ # ids that no other run on this machine has
suite_up
trap suite_down EXIT
mkdir -p "$WORK/peer-root" "$WORK/peer-run" "$WORK/samples"
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
finish() {
  local id
  for id in $(ctr -a "$WORK/peer-run/containerd.sock" tasks ls -q 2>/dev/null); do ctr -a "$WORK/peer-run/containerd.sock" tasks rm -f "$id" >/dev/null 2>&1 || true; done
  kill $peer 2>/dev/null || true
  wait $peer 2>/dev/null || true
  suite_down
}
trap finish EXIT
for _ in $(seq 100); do ctr -a "$WORK/peer-run/containerd.sock" version >/dev/null 2>&1 && break; sleep 0.1; done

echo "making a Debian image (debootstrap) and 256 MiB of random bytes ..."
"$here/scripts/make-debian-image.sh" "$WORK/debian" bookworm "${DEBIAN_CACHE:-}"
debian=127.0.0.1:$(cat "$WORK/port")/debian:bookworm
skopeo copy -q --preserve-digests --dest-tls-verify=false "oci:$WORK/debian:bookworm" "docker://$debian"
head -c 268435456 /dev/urandom >"$WORK/random"
random=sha256:$(sha256sum <"$WORK/random" | cut -d' ' -f1)

at() { local who=$1; shift; ctr -a "$WORK/$([ "$who" = ours ] && echo run || echo peer-run)/containerd.sock" "$@"; }
# sample WHAT WHO COMMAND: microseconds on one line of a file; a failure ends the benchmark.
sample() {
  local what=$1 who=$2 from
  shift 2
  from=$(date +%s%N)
  "$@" >"$WORK/last" 2>&1 || { echo "$what by $who failed:" >&2; tail -5 "$WORK/last" >&2; exit 1; }
  echo $((($(date +%s%N) - from) / 1000)) >>"$WORK/samples/$what.$who"
}
ingest() { at "$1" content ingest --expected-digest "$random" bench <"$WORK/random"; }
get() { at "$1" content get "$random" >/dev/null; }
order() { if [ $(($1 % 2)) = 1 ]; then echo ours peer; else echo peer ours; fi; }

for who in ours peer; do at $who images pull --plain-http "$(image)" >/dev/null; done # both warm
for who in ours peer; do at $who run -d "$(image)" "$tag-exec" sleep 100000; done
for round in $(seq "$rounds"); do
  for who in $(order "$round"); do
    sample ingest $who ingest $who
    # A blob that nothing holds is garbage to the peer at its next collection.
    at $who content label "$random" containerd.io/gc.root=bench >/dev/null
    sample get $who get $who
    at $who content rm "$random" >/dev/null
    sample exec $who at $who tasks exec --exec-id "e$round" "$tag-exec" true
    sample run $who at $who run --rm "$(image)" "$tag-$round" true
    sleep 0.5 # collections that the removal has caused are over before the next one begins
  done
done
for who in ours peer; do
  at $who tasks rm -f "$tag-exec" >/dev/null 2>&1 || true
  at $who containers rm "$tag-exec"
  at $who images rm --sync "$(image)" >/dev/null
done
for round in $(seq "$rounds"); do
  for who in $(order "$round"); do
    sample pull-five $who at $who images pull --plain-http "$(image)"
    at $who images rm --sync "$(image)" >/dev/null
    sample pull-debian $who at $who images pull --plain-http "$debian"
    at $who images rm --sync "$debian" >/dev/null
  done
done
python3 - "$WORK/samples" "${BENCH_JSON:-$here/bench.json}" "$BUILD_DIR" <<'PYTHON'
import datetime, json, os, platform, statistics, subprocess, sys
samples, out, build = sys.argv[1:]
said = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip()
titles = {
    "pull-five": "pull and unpack, 5 small layers", "pull-debian": "pull and unpack, Debian", "ingest": "ingest of 256 MiB",
    "get": "get of 256 MiB", "run": "run true to its exit", "exec": "exec true to its exit",
}
with open("/proc/cpuinfo") as f:
    model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")
result = {
    "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    "machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "model": model, "load": os.getloadavg()},
    "versions": {"containerd": said("containerd", "--version"), "runc": said("runc", "--version").split("\n")[0], "swift": said("swift", "--version").split("\n")[0],
                 "ours": said("git", "describe", "--always", "--dirty"), "build": os.path.basename(build)},
    "unit": "ms", "measurements": {},
}
print(f"\n{'':34}{'ours':>10}{'containerd':>12}{'ratio':>8}   medians in ms; below 1 we are faster")
for what, title in titles.items():
    figures = {who: [int(x) / 1000 for x in open(f"{samples}/{what}.{who}")] for who in ("ours", "peer")}
    ours, peer = (statistics.median(figures[who]) for who in ("ours", "peer"))
    result["measurements"][what] = {"title": title, "ours": figures["ours"], "containerd": figures["peer"], "ratio": round(ours / peer, 3)}
    print(f"{title:34}{ours:10.1f}{peer:12.1f}{ours / peer:8.2f}")
with open(out, "w") as f:
    json.dump(result, f, indent=1)
print(f"\n{len(figures['ours'])} rounds on {os.cpu_count()} cpus, load {os.getloadavg()[0]:.1f}; written to {out}")
PYTHON
