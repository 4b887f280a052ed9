#!/usr/bin/env bash
# The whole way once, with nothing but our own programs on it: an image made from this machine's packages, a registry on loopback, the daemon, pull, run,
# kill -9 of the daemon, and a container that does not mind. Everything lives below one temporary directory and is gone at the end, also after ^C.
#
# REF_REGISTRY=embedded (ours) or docker-registry (Debian's; taken by itself where it is installed). BUILD_DIR says where the programs are.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
bin=${BUILD_DIR:-$here/.build/debug}
[ "$(id -u)" = 0 ] || { echo "the demo mounts file systems and runs containers: run it as root" >&2; exit 1; }
[ -x "$bin/containerd-ref" ] || { echo "$bin/containerd-ref is not there: run make build first" >&2; exit 1; }

registry_kind=${REF_REGISTRY:-}
if [ -z "$registry_kind" ]; then registry_kind=$(command -v docker-registry >/dev/null && echo docker-registry || echo embedded); fi
case $registry_kind in embedded | docker-registry) ;; *) echo "REF_REGISTRY=$registry_kind: embedded or docker-registry is needed" >&2; exit 1 ;; esac

work=$(mktemp -d /tmp/containerd-ref-demo-XXXXXX)
export CONTAINERD_ADDRESS=$work/run/containerd.sock CONTAINERD_NAMESPACE=demo-$$
export PATH=$bin:$PATH
containers=(hello survivor)
daemon= registry=
started=$SECONDS

bold= dim= green= plain=
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' plain=$'\e[0m'; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }
show() { # show COMMAND…: prints what a user would type, and does it
  printf '%s$%s' "$dim" "$plain"
  local word
  for word in "$@"; do if [[ $word == *[\ \;\$\>]* ]]; then printf " '%s'" "$word"; else printf ' %s' "$word"; fi; done
  printf '\n'
  "$@"
}

wait_for() { # wait_for WHAT COMMAND…: up to ten seconds
  local what=$1
  shift
  for _ in $(seq 100); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  echo "$what did not happen within ten seconds" >&2
  tail -n 5 "$work"/*.log >&2 || true
  return 1
}

end() { # end PID [SIGNAL]: and wait until it is gone
  [ -n "$1" ] || return 0
  kill -"${2:-TERM}" "$1" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.05; done
  kill -KILL "$1" 2>/dev/null || true
}

start_daemon() {
  # A session of its own: ^C is for this script, which ends the daemon when it needs it no more.
  setsid containerd-ref serve --config "$work/config.toml" >>"$work/daemon.log" 2>&1 &
  daemon=$!
  disown $daemon # its death by -9 is for us to report, not for the shell
  wait_for "the daemon's start" containerd-ref ps
}

start_registry() {
  if [ "$registry_kind" = embedded ]; then
    # Slow on purpose: on loopback the progress would be over before it is seen.
    setsid containerd-ref registry serve --root "$work/registry" --listen 127.0.0.1:0 --limit-rate 600000 >"$work/registry.address" 2>"$work/registry.log" &
    registry=$!
    disown $registry
    wait_for "the registry's start" grep -q : "$work/registry.address"
    address=$(head -n 1 "$work/registry.address")
    address=${address#http://}
    return
  fi
  local port
  for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$work/registry" "$port" >"$work/registry.yml"
    setsid docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    registry=$!
    disown $registry
    address=127.0.0.1:$port
    for _ in $(seq 100); do
      kill -0 $registry 2>/dev/null || break # the port is taken: another one
      (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
      sleep 0.1
    done
  done
  echo "docker-registry did not start:" >&2
  tail -n 5 "$work/registry.log" >&2
  return 1
}

leftovers() { # everything of this demo that is still there, one thing a line
  local id directory words
  grep -F "$work" /proc/self/mountinfo | sed 's/^/mount: /' || true
  for directory in /proc/[0-9]*; do
    # Programs whose arguments or files name our directory; this script itself does not.
    # A process may end while we look.
    words=$({ tr '\0' ' ' <"$directory/cmdline"; } 2>/dev/null) || continue
    if [[ $words == *"$work"* ]]; then echo "process ${directory#/proc/}: ${words:0:80}"; fi
  done
  find /sys/fs/cgroup -type d -path "*/$CONTAINERD_NAMESPACE*" 2>/dev/null | sed 's/^/cgroup: /' || true
  for id in "${containers[@]}"; do
    local socket
    socket=/run/containerd-ref/s/$(printf '%s' "$CONTAINERD_ADDRESS/$CONTAINERD_NAMESPACE/$id" | sha256sum | cut -d' ' -f1)
    [ ! -e "$socket" ] || echo "shim socket: $socket"
  done
}

clean_up() {
  trap '' INT TERM HUP
  if [ -n "$daemon" ]; then
    # Interrupted between the kill and the restart, the containers need a daemon once more, to be ended by it.
    kill -0 "$daemon" 2>/dev/null || start_daemon >/dev/null 2>&1 || true
    containerd-ref rm --force "${containers[@]}" >/dev/null 2>&1 || true
  fi
  end "$daemon"
  end "$registry"
  # The daemon gives every namespace of its containers a cgroup of that name; the last one out removes it.
  find /sys/fs/cgroup -depth -type d -path "*/$CONTAINERD_NAMESPACE" -exec rmdir {} + 2>/dev/null || true
}

finish() {
  local status=$? left
  set +e # whatever cannot be removed, the rest is
  clean_up
  left=$(leftovers)
  rm -rf --one-file-system "$work"
  if [ -n "$left" ]; then
    printf 'left behind:\n%s\n' "$left" >&2
    [ "$status" -ne 0 ] || status=1
  fi
  [ "$status" -eq 0 ] || [ -z "${summary:-}" ] || echo "the demo failed" >&2
  exit "$status"
}
trap finish EXIT
trap 'echo; echo "interrupted, cleaning up"; exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

say "${bold}containerd-ref: one image, from a registry to a process that outlives its daemon$plain"
say "everything is below $work; no network but loopback"
mkdir -p "$work/registry"
printf 'version = 2\nroot = "%s/root"\nstate = "%s/run"\n' "$work" "$work" >"$work/config.toml"
# Another shim than our own, if somebody wants to see that.
if [ -n "${REF_SHIM:-}" ]; then printf '[runtimes]\n"io.containerd.runc.v2" = "%s"\n' "$REF_SHIM" >>"$work/config.toml"; fi

step "1. An image of five layers, made from this machine's own BusyBox, pushed to a registry"
start_registry
"$here/scripts/make-image.sh" "$work/image" demo
image=$address/demo:latest
show skopeo copy --quiet --dest-tls-verify=false "oci:$work/image:demo" "docker://$image"
say "registry: $registry_kind on $address"

step "2. The daemon"
start_daemon
say "$ containerd-ref serve --config $work/config.toml &"
say "pid $daemon, listening on $CONTAINERD_ADDRESS"

step "3. Pull and unpack"
show containerd-ref pull "$image"
show containerd-ref images

step "4. Run"
# shellcheck disable=SC2016 # the container's shell is to see the dollars
show containerd-ref run --rm "$image" hello sh -c 'echo "hello from $(uname -s), I am pid $$, and / holds $(ls / | wc -l) entries"; exit 3' && status=0 || status=$?
say "exit status $status, as the program said"
[ "$status" -eq 3 ]

step "5. Kill the daemon, keep the container"
show containerd-ref run --detach --log-uri "$work/survivor.log" "$image" survivor sh -c 'trap "echo told to end; exit 5" TERM; echo started; while :; do sleep 0.1; done'
wait_for "the container's first words" grep -q started "$work/survivor.log"
show containerd-ref ps
pid=$(containerd-ref ps --json | sed -E 's/.*"pid":([0-9]+).*/\1/')
show kill -9 "$daemon"
wait_for "the daemon's death" eval "! kill -0 $daemon"
kill -0 "$pid"
say "${green}the daemon is gone; the container's process $pid is alive$plain"
show containerd-ref ps || true
say "${dim}…and a new daemon finds it:$plain"
start_daemon
show containerd-ref ps
containerd-ref ps --json | grep -q "\"pid\":$pid,"
show containerd-ref kill --signal TERM survivor
wait_for "the container's end" sh -c 'containerd-ref ps --json | grep -q stopped'
show containerd-ref ps
exit_status=$(containerd-ref ps --json | sed -E 's/.*"exitStatus":([0-9]+).*/\1/')
[ "$exit_status" = 5 ]
say "its output, from both daemons' times: $(tr '\n' ' ' <"$work/survivor.log")"

step "6. Clean up"
show containerd-ref rm survivor
show containerd-ref images rm "$image"
clean_up
left=$(leftovers)
[ -z "$left" ] || { echo "$left" >&2; exit 1; }
daemon= registry=
say "no process, mount, cgroup, socket or FIFO is left"

summary=done
cat <<SUMMARY

${bold}Summary$plain
  image       five layers through our fetcher, content store, applier and overlay snapshotter
  registry    $registry_kind, on loopback
  ran         hello (exit status 3), survivor (exit status 5); runtime and shim: $(basename "${REF_SHIM:-containerd-shim-ref-v2}")
  survived    kill -9 of the daemon: same pid $pid before and after, exit status delivered by the next daemon
  left        nothing
  took        $((SECONDS - started)) s
SUMMARY
