#!/usr/bin/env bash
# The conformance suite on what Debian ships: containerd's snapshotters, content store, differ and daemon, runc, crun, the runc shim, and pull clients.
# What is known of each stands in conformance/baselines, and is explained in docs/findings.md.
# BUILD_DIR, JOBS and SEED as in run-conformance.sh; a red case is run once more here too.
#   scripts/run-conformance-peers.sh [DIRECTORY FOR REPORTS]          (root)
set -uo pipefail
cd "$(dirname "$0")/.."
build=${BUILD_DIR:-$PWD/.build/debug}
out=${1:-$PWD/.build/conformance-peers}
program=$build/containerd-conformance
jobs=${JOBS:-$(nproc)}
rm -rf "$out" && mkdir -p "$out"
[ "$(id -u)" = 0 ] || { echo "the peers need root" >&2; exit 2; }

scratch=$(mktemp -d /var/tmp/conformance-peers.XXXXXX)
cat >"$scratch/config.toml" <<EOF
version = 2
root = "$scratch/root"
state = "$scratch/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$scratch/containerd.sock"
[ttrpc]
  address = "$scratch/containerd.sock.ttrpc"
EOF
containerd --config "$scratch/config.toml" --log-level error >"$out/containerd.log" 2>&1 &
containerd=$!
finish() {
  kill "$containerd" 2>/dev/null
  wait "$containerd" 2>/dev/null
  # What a shim has left mounted would keep the directory.
  awk -v d="$scratch" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
  rm -rf "$scratch"
}
trap finish EXIT
for _ in $(seq 100); do ctr -a "$scratch/containerd.sock" version >/dev/null 2>&1 && break; sleep 0.1; done

seed=${SEED:-20261129}
red=()
judge() { # NAME ADDRESS BASELINE
  local known=()
  [ -f "conformance/baselines/$3.txt" ] && known=(--known-failing "conformance/baselines/$3.txt")
  echo
  if [ $# -gt 3 ]; then
    echo "$1: not judged: $4: $5"
    for term in $4; do known+=(--skip "$term"); done
  fi
  TMPDIR=$scratch "$program" run "$2" --jobs "$jobs" --name "$1" --output "$out/$1" --save "$out/$1.json" --seed "$seed" --retry 1 "${known[@]}" || red+=("$1")
}
sock=$scratch/containerd.sock
judge containerd-overlayfs "snapshotter+grpc://$sock?name=overlayfs" containerd-1.6.20-overlayfs
judge containerd-native "snapshotter+grpc://$sock?name=native" containerd-1.6.20-native
judge containerd-content "content+grpc://$sock" containerd-1.6.20-content
judge containerd-differ "diff+grpc://$sock?snapshotter=overlayfs" containerd-1.6.20-differ "layers.model.apply layers.model.round-trip" \
  "each attempt meets another of the deviations that single cases show (docs/findings/files-and-layers.md)"
judge containerd-daemon "daemon://$sock" containerd-1.6.20-daemon
# Crash and restart: each case starts a containerd of its own. Only what does not depend on the moment of a kill: what fails now and then is no known failure.
lasting=()
for cases in 'restart.*' crash.content.resume crash.content.free-ref crash.snapshots.leftovers crash.snapshots.stray-directory 'crash.snapshots.missing-*'; do
  lasting+=(--select "$cases")
done
echo
TMPDIR=$scratch "$program" run containerd:/usr/bin/containerd "${lasting[@]}" --jobs "$jobs" --name containerd-crash --output "$out/containerd-crash" \
  --save "$out/containerd-crash.json" --known-failing conformance/baselines/containerd-1.6.20-crash.txt --seed "$seed" --retry 1 || red+=(containerd-crash)
judge runc oci-runtime:/usr/sbin/runc runc-1.1.5
judge crun oci-runtime:/usr/bin/crun crun-1.8.1
judge containerd-shim-runc-v2 shim:/usr/bin/containerd-shim-runc-v2 containerd-shim-runc-v2-1.6.20
judge ctr-content-fetch "registry-client:ctr -a $sock -n {id} content fetch --plain-http {ref}&verify=ctr -a $sock -n {id} content get {digest}" containerd-1.6.20-pull
judge skopeo "registry-client:skopeo copy --src-tls-verify=false docker://{ref} oci:{dir}/layout:x&verify=cat {dir}/layout/blobs/sha256/{hex}" skopeo-1.9.3
judge ctr-images-pull "pipeline-client:ctr -a {socket} -n {namespace} images pull --plain-http --snapshotter {snapshotter} {ref}&fetch=ctr -a {socket} -n {namespace} content fetch --plain-http {ref}" ctr-1.6.20-pipeline
echo
"$program" matrix "$out"/*.json -o "$out/matrix.html" || red+=(matrix)
echo
"$program" figures "$out"/*.json || red+=(figures)
echo "reports: $out"
[ ${#red[@]} = 0 ] || { echo "red: ${red[*]}" >&2; exit 1; }
