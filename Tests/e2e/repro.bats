#!/usr/bin/env bats
# The scripts that `repro` prints: they say by themselves whether a backend keeps its promise, act nowhere but in a directory of their own, and leave nothing. Root.

load lib

setup_file() {
  export WORK=$(mktemp -d /var/tmp/repro-bats.XXXXXX)
  export PROGRAM=$BUILD_DIR/containerd-conformance
  mkdir "$WORK/tmp"
}

teardown_file() { rm -rf "$WORK"; }

# Starts a copy of the Python example with a change that sed makes: serve NAME SED-SCRIPT.
serve() {
  local at=$WORK/$1
  cp -r "$ROOT_DIR/docs/examples/python-snapshotter" "$at"
  [ -z "$2" ] || sed -i "$2" "$at/snapshotter.py"
  "$at/snapshotter.py" --root "$at/root" --socket "$at/s.sock" >"$at/log" 2>&1 3>&- &
  echo $! >"$at/pid"
  for _ in $(seq 100); do
    [ ! -S "$at/s.sock" ] || return 0
    sleep 0.1
  done
  return 1
}
unserve() { kill "$(cat "$WORK/$1/pid")"; }
print() { TMPDIR=$WORK/tmp "$PROGRAM" repro "$1" "$2" --seed 1 --scratch "$WORK" >"$3"; }
decide() { TMPDIR=$WORK/tmp bash "$1"; }
# The same script against another socket.
toward() { sed "s|^SOCKET=.*|SOCKET=$WORK/$2/s.sock|" "$1"; }

@test "a script of calls tells a good snapshotter from one that lets parents go" {
  serve good ""
  serve parents '/if child is not None:/s/child is not None/False/'
  print snapshots.remove.children "snapshotter+grpc://$WORK/good/s.sock" "$WORK/a.sh"
  run decide "$WORK/a.sh"
  [ "$status" -eq 0 ] && [[ "${lines[-1]}" == "KEPT: snapshots.remove.children"* ]] || { echo "$output"; false; }
  run decide "$WORK/a.sh" # it left nothing behind: it can be run again
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  toward "$WORK/a.sh" parents >"$WORK/b.sh"
  run decide "$WORK/b.sh"
  [ "$status" -eq 1 ] && [[ "${lines[-1]}" == "BROKEN: snapshots.remove.children"*"failed precondition"* ]] || { echo "$output"; false; }
  print snapshots.remove.children "snapshotter+grpc://$WORK/parents/s.sock" "$WORK/c.sh"
  run decide "$WORK/c.sh"
  [ "$status" -eq 1 ] || { echo "$output"; false; }
  [ -z "$(ls -A "$WORK/tmp")" ] || { ls "$WORK/tmp"; false; }
}

@test "a script of files works in its own directory and mounts what the backend answers" {
  before=$(ls -A /mnt; findmnt -rn -o TARGET | sort)
  print snapshots.tree.parent-never-changes "snapshotter+grpc://$WORK/good/s.sock" "$WORK/d.sh"
  ! grep -nE '(^|[^A-Za-z])/mnt|/root/[0-9]+/fs' "$WORK/d.sh" || false
  run decide "$WORK/d.sh"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  serve writable 's/writable = row\["kind"\] == "active"/writable = True/'
  print snapshots.tree.view-is-read-only "snapshotter+grpc://$WORK/good/s.sock" "$WORK/e.sh"
  toward "$WORK/e.sh" writable >"$WORK/f.sh"
  run decide "$WORK/f.sh"
  [ "$status" -eq 1 ] || { echo "$output"; false; }
  [ "$before" = "$(ls -A /mnt; findmnt -rn -o TARGET | sort)" ]
  [ -z "$(ls -A "$WORK/tmp")" ]
}

@test "a store that holds something is left alone" {
  ctr -a "$WORK/good/s.sock" -n x snapshots --snapshotter conformance prepare mine
  run decide "$WORK/a.sh"
  [ "$status" -eq 2 ] && [[ "${lines[-1]}" == "NOT TRIED: "*"holds 1 snapshots"* ]] || { echo "$output"; false; }
  ctr -a "$WORK/good/s.sock" -n x snapshots --snapshotter conformance info mine
  ctr -a "$WORK/good/s.sock" -n x snapshots --snapshotter conformance rm mine
}

@test "the shortest generated sequence that fails is made into a script" {
  run print snapshots.model.random "snapshotter+grpc://$WORK/good/s.sock" "$WORK/g.sh"
  [ "$status" -eq 3 ]
  print snapshots.model.random "snapshotter+grpc://$WORK/parents/s.sock" "$WORK/g.sh"
  run decide "$WORK/g.sh"
  [ "$status" -eq 1 ] || { echo "$output"; false; }
  toward "$WORK/g.sh" good >"$WORK/h.sh"
  run decide "$WORK/h.sh"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  for name in good parents writable; do unserve "$name"; done
}

@test "a script of messages tells a server that says NotFound from one that says something else" {
  serve right ""
  serve vague 's|Code.NOT_FOUND|Code.UNKNOWN|'
  print wire.status.not-found "snapshotter+grpc://$WORK/right/s.sock" "$WORK/k.sh"
  run decide "$WORK/k.sh"
  [ "$status" -eq 0 ] && [[ "${lines[-1]}" == "KEPT: wire.status.not-found"* ]] || { echo "$output"; false; }
  toward "$WORK/k.sh" vague >"$WORK/l.sh"
  run decide "$WORK/l.sh"
  [ "$status" -eq 1 ] && [[ "${lines[-1]}" == "BROKEN: wire.status.not-found"*"expected status not found, came status unknown"* ]] || { echo "$output"; false; }
  print wire.status.not-found "snapshotter+grpc://$WORK/vague/s.sock" "$WORK/m.sh"
  run decide "$WORK/m.sh"
  [ "$status" -eq 1 ] || { echo "$output"; false; }
  for name in right vague; do unserve "$name"; done
}

@test "a script of messages decides about a daemon, in namespaces that it takes away" {
  "$BUILD_DIR/containerd-ref" serve --root "$WORK/ref/root" --state "$WORK/ref/state" --address "$WORK/ref.sock" >"$WORK/ref.log" 2>&1 3>&- &
  echo $! >"$WORK/ref.pid"
  for _ in $(seq 100); do [ ! -S "$WORK/ref.sock" ] || break; sleep 0.1; done
  print daemon.lease.resources "daemon://$WORK/ref.sock" "$WORK/n.sh"
  run decide "$WORK/n.sh"
  [ "$status" -eq 0 ] && [[ "${lines[-1]}" == "KEPT: daemon.lease.resources"* ]] || { echo "$output"; false; }
  [ -z "$(ctr -a "$WORK/ref.sock" namespaces ls -q)" ]
  kill "$(cat "$WORK/ref.pid")"
}

@test "a script of command lines tells a good runtime from one whose start is not heard" {
  print oci.create.config-edited oci-runtime:runc "$WORK/i.sh"
  run decide "$WORK/i.sh"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  printf '#!/bin/sh\nfor word; do [ "$word" != start ] || exit 0; done\nexec runc "$@"\n' >"$WORK/deaf"
  chmod 755 "$WORK/deaf"
  sed "s|^RUNTIME=.*|RUNTIME=($WORK/deaf)|" "$WORK/i.sh" >"$WORK/j.sh"
  run decide "$WORK/j.sh"
  [ "$status" -eq 1 ] || { echo "$output"; false; }
  ! ls -d /sys/fs/cgroup/*/repro-* 2>/dev/null || false
  [ -z "$(ls -A "$WORK/tmp")" ]
}

@test "where no script is possible that is said, and nothing acts" {
  run print snapshots.remove.children inproc:fake "$WORK/k.sh"
  [ "$status" -eq 3 ]
  run decide "$WORK/k.sh"
  [ "$status" -eq 3 ] && [[ "$output" == *"inside of the suite's own process"*"containerd-conformance run inproc:fake"* ]] || { echo "$output"; false; }
}
