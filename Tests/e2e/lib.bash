# Shared by the end-to-end suites: a daemon and a registry of their own, on loopback and in a scratch directory, ended by pid.

ROOT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD_DIR=${BUILD_DIR:-$ROOT_DIR/.build/debug}
DAEMON=$BUILD_DIR/containerd-ref

start_daemon() {
  "$DAEMON" serve --config "$WORK/config.toml" --log-level debug >>"$WORK/daemon.log" 2>&1 &
  echo $! >"$WORK/daemon.pid"
  disown $! # its death is for us to report, not for the shell
  for _ in $(seq 100); do
    ctr -a "$WORK/run/containerd.sock" version >/dev/null 2>&1 && return 0
    kill -0 "$(cat "$WORK/daemon.pid")" 2>/dev/null || break # it has ended already
    sleep 0.1
  done
  echo "the daemon did not come up:"; tail -20 "$WORK/daemon.log"
  return 1
}

# Ends the daemon with a signal (TERM unless said otherwise) and waits for it.
stop_daemon() {
  local pid
  pid=$(cat "$WORK/daemon.pid")
  kill -"${1:-TERM}" "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid"
}

start_registry() {
  PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir -p "$WORK/registry"
  cat >"$WORK/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/registry}}
http: {addr: 127.0.0.1:$PORT}
YAML
  docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 &
  echo $! >"$WORK/registry.pid"
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && break
    sleep 0.1
  done
  echo "$PORT" >"$WORK/port"
}

suite_up() {
  WORK=$(mktemp -d /tmp/ref-e2e-XXXXXX)
  export WORK
  mkdir -p "$WORK/root" "$WORK/run"
  cat >"$WORK/config.toml" <<TOML
version = 2
root = "$WORK/root"
state = "$WORK/run"
TOML
  if [ -n "${REF_SHIM:-}" ]; then
    printf '[runtimes]\n"io.containerd.runc.v2" = "%s"\n' "$REF_SHIM" >>"$WORK/config.toml"
  fi
  start_registry
  "$ROOT_DIR/scripts/make-image.sh" "$WORK/image" demo
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:demo" "docker://127.0.0.1:$(cat "$WORK/port")/demo:latest"
  start_daemon
}

suite_down() {
  local id
  for id in $(ctr -a "$WORK/run/containerd.sock" tasks ls -q 2>/dev/null); do
    ctr -a "$WORK/run/containerd.sock" tasks rm -f "$id" >/dev/null 2>&1 || true
  done
  stop_daemon TERM
  kill "$(cat "$WORK/registry.pid")" 2>/dev/null || true
  if [ -n "${KEEP_WORK:-}" ]; then echo "# kept $WORK" >&3; else rm -rf "$WORK"; fi
}

c() { ctr -a "$WORK/run/containerd.sock" "$@"; }
image() { echo "127.0.0.1:$(cat "$WORK/port")/demo:latest"; }
pull() { c images pull --plain-http "$(image)"; }

# Waits until `CLIENT events >FILE` hears what happens: makes something happen until it does.
listening() { # listening CLIENT FILE
  local n
  for n in $(seq 300); do
    "$1" namespaces label default "heard=$n" || true
    sleep 0.1
    [ ! -s "$2" ] || return 0
  done
  echo "nothing heard in $2"
  return 1
}

# Waits until FILE has what is looked for.
heard() { # heard FILE PATTERN
  for _ in $(seq 300); do ! grep -q -- "$2" "$1" || return 0; sleep 0.1; done
  echo "no $2 in $1:"; tail -20 "$1"
  return 1
}
