#!/usr/bin/env bash
# The whole way once: a registry on loopback, our daemon, an image made from this machine's packages, a container that outlives a kill -9.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
source "$here/Tests/e2e/lib.bash"
[ "$(id -u)" = 0 ] || { echo "the demo mounts and runs containers: run it as root" >&2; exit 1; }
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
started=$SECONDS
WORK=$(mktemp -d /tmp/ref-demo-XXXXXX)
export WORK
trap 'suite_down >/dev/null 2>&1' EXIT
mkdir -p "$WORK/root" "$WORK/run"
printf 'version = 2\nroot = "%s/root"\nstate = "%s/run"\n' "$WORK" "$WORK" >"$WORK/config.toml"
if [ -n "${REF_SHIM:-}" ]; then printf '[runtimes]\n"io.containerd.runc.v2" = "%s"\n' "$REF_SHIM" >>"$WORK/config.toml"; fi

step "1. an image of five layers from this machine's own packages, in a registry on loopback"
start_registry
"$here/scripts/make-image.sh" "$WORK/image" demo
skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:demo" "docker://127.0.0.1:$(cat "$WORK/port")/demo:latest"
echo "$(image)"

step "2. our daemon"
start_daemon
c version 2>/dev/null | sed -n '/Server/,$p'

step "3. pull and unpack"
"$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)"
"$DAEMON" images --address "$WORK/run/containerd.sock"

step "4. run"
c run --rm "$(image)" demo-hello sh -c 'echo "hello from $(uname -s), pid $$, $(ls / | wc -l) entries in /"' 

step "5. a container that outlives the daemon"
c run -d "$(image)" demo-live sh -c 'while [ ! -e /stop ]; do sleep 0.1; done; exit 5'
pid=$(c tasks ls | awk '/demo-live/ {print $2}')
echo "container demo-live runs as pid $pid; now kill -9 $(cat "$WORK/daemon.pid") (the daemon)"
stop_daemon KILL
kill -0 "$pid" && echo "the daemon is gone, pid $pid is alive"
start_daemon
c tasks ls
c tasks exec --exec-id stop demo-live touch /stop
for _ in $(seq 50); do c tasks ls | grep -q STOPPED && break; sleep 0.1; done
status=$( (c tasks rm demo-live 2>&1 || true) | grep -oE 'exit code [0-9]+' | grep -oE '[0-9]+')
c containers rm demo-live
echo "exit status after the restart: $status"

step "summary"
printf '  pulled and unpacked   five layers through our content store, applier and overlay snapshotter\n'
printf '  ran                   demo-hello, demo-live (shim: %s)\n' "$(basename "${REF_SHIM:-containerd-shim-ref-v2}")"
printf '  outlived kill -9      yes, exit status %s delivered\n' "$status"
printf '  took                  %s s, all of it below %s, removed now\n' "$((SECONDS - started))" "$WORK"
[ "$status" = 5 ]
