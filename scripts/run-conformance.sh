#!/usr/bin/env bash
# The conformance suite on every backend of this repository, then the mutants, then the three figures.
#   scripts/run-conformance.sh [DIRECTORY FOR REPORTS]
# BUILD_DIR says where the programs are (.build/debug), JOBS how many cases run at once, SEED what chance is made from.
# A red case is run once more: what passes then is told of at the end, and does not turn the run red.
set -uo pipefail
cd "$(dirname "$0")/.."
build=${BUILD_DIR:-$PWD/.build/debug}
out=${1:-$PWD/.build/conformance}
program=$build/containerd-conformance
jobs=${JOBS:-$(nproc)}
rm -rf "$out" && mkdir -p "$out"
seed=${SEED:-20261129}
red=()

"$program" doctor || red+=(doctor)
echo
"$program" selftest || red+=(selftest)

targets=(inproc:fake inproc:overlay inproc:fuse-overlayfs inproc:fake-remote inproc:fake-lazy
  inproc:fuse 'inproc:fuse?transport=libfuse' 'inproc:fuse?stacking=union' 'inproc:fuse?stacking=union&transport=libfuse'
  inproc:grpc inproc:metadata inproc:daemon inproc:ref-daemon inproc:differ inproc:pull inproc:pipeline
  oci-runtime:refrun shim:containerd-shim-ref-v2)
for target in "${targets[@]}"; do
  name=${target//[:\/?=&]/-}
  known=()
  case $target in
    oci-runtime:refrun) known=(--known-failing conformance/baselines/refrun.txt) ;;
    inproc:fuse-overlayfs) known=(--known-failing conformance/baselines/fuse-overlayfs-1.10.txt) ;;
  esac
  echo
  "$program" run "$target" --jobs "$jobs" --name "$target" --output "$out/$name" --save "$out/$name.json" --seed "$seed" --retry 1 "${known[@]}" || red+=("$target")
done

# The program behind its socket: what differs there is what is read, and what becomes of it when the server ends.
serve="$build/containerd-ref snapshotter serve --backend fuse --root {root} --address {socket} --containerd {containerd} --deadline 4 --no-background --no-prefetch"
echo
"$program" run "snapshotter-program:$serve&stall=10&failover=yes" --select lazy.read --select lazy.source --select lazy.remove --jobs "$jobs" --name containerd-ref-fuse --output "$out/containerd-ref-fuse" \
  --save "$out/containerd-ref-fuse.json" --seed "$seed" --retry 1 || red+=(containerd-ref-fuse)

echo
pull="$build/containerd-ref pull --address {socket} -n {namespace} --plain-http --snapshotter {snapshotter}"
"$program" run "pipeline-client:$pull {ref}&fetch=$pull --fetch-only {ref}" --jobs "$jobs" --name containerd-ref-pull --output "$out/containerd-ref-pull" \
  --save "$out/containerd-ref-pull.json" --seed "$seed" --retry 1 || red+=(containerd-ref-pull)

# The daemon as a program: by its socket as a stranger's, then ended and killed by the cases that start one of their own.
scratch=$(mktemp -d /var/tmp/conformance-daemon.XXXXXX)
"$build/containerd-ref" serve --root "$scratch/root" --state "$scratch/state" --address "$scratch/containerd.sock" >"$out/daemon.log" 2>&1 &
daemon=$!
finish() {
  kill "$daemon" 2>/dev/null
  wait "$daemon" 2>/dev/null
  awk -v d="$scratch" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
  rm -rf "$scratch"
}
trap finish EXIT
for _ in $(seq 100); do [ -S "$scratch/containerd.sock" ] && break; sleep 0.1; done
judge() { # NAME ADDRESS
  echo
  TMPDIR=$scratch "$program" run "$2" --jobs "$jobs" --name "$1" --output "$out/$1" --save "$out/$1.json" --seed "$seed" --retry 1 || red+=("$1")
}
judge containerd-ref-overlayfs "snapshotter+grpc://$scratch/containerd.sock?name=overlayfs"
judge containerd-ref-content "content+grpc://$scratch/containerd.sock"
judge containerd-ref-differ "diff+grpc://$scratch/containerd.sock?snapshotter=overlayfs"
judge containerd-ref-daemon "daemon://$scratch/containerd.sock"
judge containerd-ref-crash "containerd:$build/containerd-ref"

echo
# Most of a mutant's time is waiting.
"$program" mutate --jobs $((jobs + 1)) --seed "$seed" --quiet --known-failing conformance/baselines/refrun.txt --save "$out/mutation.json" || red+=(mutate)
"$program" coverage --markdown >"$out/coverage.md" || red+=(coverage)
"$program" matrix "$out"/*-*.json -o "$out/matrix.html" || red+=(matrix)
echo
"$program" figures --mutation "$out/mutation.json" "$out"/*-*.json || red+=(figures)
echo "reports: $out"
[ ${#red[@]} = 0 ] || { echo "red: ${red[*]}" >&2; exit 1; }
