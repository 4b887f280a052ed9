#!/usr/bin/env bats
# The example of docs/write-a-backend.md: it passes what the guide says, as root and without, and faults put into it by hand are found in its author's words. Root.

load lib

setup_file() {
  export WORK=$(mktemp -d /var/tmp/python-bats.XXXXXX)
  export PROGRAM=$BUILD_DIR/containerd-conformance
  chmod 755 "$WORK"
}

teardown_file() { rm -rf "$WORK"; }

# A copy of the example with a change that sed makes: judged DIRECTORY SED-SCRIPT CASE…; prints the run.
judged() {
  local at=$WORK/$1 change=$2 pid status
  shift 2
  cp -r "$ROOT_DIR/docs/examples/python-snapshotter" "$at"
  if [ -n "$change" ]; then
    sed -i "$change" "$at/snapshotter.py"
    ! cmp -s "$at/snapshotter.py" "$ROOT_DIR/docs/examples/python-snapshotter/snapshotter.py" || { echo "the change changes nothing"; return 3; }
  fi
  "$at/snapshotter.py" --root "$at/root" --socket "$at/s.sock" >"$at/log" 2>&1 3>&- &
  pid=$!
  for _ in $(seq 100); do
    [ -S "$at/s.sock" ] && break
    sleep 0.1
  done
  "$PROGRAM" run "snapshotter+grpc://$at/s.sock" --seed 1 --retry 1 --scratch "$at" --select "$@"
  status=$?
  kill "$pid"
  wait "$pid"
  return "$status"
}

@test "it passes what the guide calls core" {
  run judged good "" tag:core
  [ "$status" -eq 0 ] || { echo "$output"; cat "$WORK/good/log"; false; }
  [[ "$output" == *"only this was run: tag:core"*"partial: "* ]]
}

@test "it passes without root, in a user namespace that maps one user, and what cannot be judged there is skipped by name" {
  export -f judged
  mkdir -m 777 "$WORK/unprivileged"
  run setpriv --reuid nobody --regid nogroup --clear-groups env WORK="$WORK/unprivileged" PROGRAM="$PROGRAM" ROOT_DIR="$ROOT_DIR" \
    unshare --user --map-root-user --mount bash -c 'judged here "" "snapshots.tree" --select "snapshots.tree.*" --select "snapshots.mounts.*" --select snapshots.view.root --json'
  [ -n "$output" ]
  outcomes=$(sed -n '/^{/,$p' <<<"$output" | jq -r '[.results[].outcome] | group_by(.) | map("\(.[0]) \(length)") | join(" ")')
  [[ "$outcomes" == "pass "*" skip "* && "$outcomes" != *fail* && "$outcomes" != *error* ]] || { echo "$outcomes"; echo "$output"; false; }
  sed -n '/^{/,$p' <<<"$output" | jq -e '[.results[] | select(.outcome == "skip" and (.detail | contains("this user namespace does not map them")))] | length == 3'
}

@test "a parent that may be removed is found" {
  run judged parent '/if child is not None:/s/child is not None/False/' 'snapshots.remove.*'
  [ "$status" -eq 1 ]
  [[ "$output" == *"✗ snapshots.remove.children"* && "$output" == *'the error class "failed precondition"'* ]] || { echo "$output"; false; }
}

@test "a view that can be written to is found" {
  run judged view 's/writable = row\["kind"\] == "active"/writable = True/' 'snapshots.view.*'
  [ "$status" -eq 1 ]
  [[ "$output" == *"✗ snapshots.view.view"*"read-only"* ]] || { echo "$output"; false; }
}

@test "labels that a commit keeps from the active snapshot are found" {
  run judged labels 's/(name, json.dumps(labels), now, now, row\["id"\])/(name, row["labels"], now, now, row["id"])/' 'snapshots.commit.*'
  [ "$status" -eq 1 ]
  [[ "$output" == *"✗ snapshots.commit."*"labels"* ]] || { echo "$output"; false; }
}
