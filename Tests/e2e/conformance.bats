#!/usr/bin/env bats
# The conformance program: it reports what happens as what it is, and judges our own parts and others'. Root.

load lib

setup_file() {
  export WORK=$(mktemp -d /var/tmp/conformance-bats.XXXXXX)
  export PROGRAM=$BUILD_DIR/containerd-conformance
}

teardown_file() { rm -rf "$WORK"; }

@test "passes, failures, hangs, crashes and leaks are reported as what they are" {
  run "$PROGRAM" selftest --scratch "$WORK"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
}

@test "the fakes keep every contract, and every form of report is written" {
  run "$PROGRAM" run inproc:fake --seed 1 --retry 1 --scratch "$WORK" --skip tag:model --output "$WORK/report" --save "$WORK/fake.json"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  for file in report.html junit.xml report.tap report.jsonl summary.md badge.svg certificate.json report.json; do [ -s "$WORK/report/$file" ]; done
  python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$WORK/report/junit.xml"
  [ "$(jq -s '[.[] | select(.type == "case")] | length' "$WORK/report/report.jsonl")" = "$(jq '.results | length' "$WORK/fake.json")" ]
}

@test "a run that executes nothing is red" {
  run "$PROGRAM" run inproc:fake --select snapshots.tree --scratch "$WORK" --quiet
  [ "$status" -eq 1 ]
}

@test "an unknown address is refused with the forms there are" {
  run "$PROGRAM" run nowhere:at-all --scratch "$WORK"
  [ "$status" -ne 0 ]
  [[ "$output" == *"nowhere:at-all"*"inproc:fake"* ]]
}

@test "a fault is noticed by the case that is meant to, and a wrapper without one by nobody" {
  run "$PROGRAM" mutate M001 identity-snapshotter --seed 1 --scratch "$WORK" --save "$WORK/mutation.json"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  [ "$(jq -r '[.verdicts[].state] | sort | join(" ")' "$WORK/mutation.json")" = "green killed" ]
}

@test "what is known to fail must fail: a pass turns the run red, and --fix takes it out" {
  echo "snapshots.prepare.active | anything | docs/findings.md | 2099-01-01" >"$WORK/known.txt"
  run "$PROGRAM" run inproc:fake --select snapshots.prepare.active --known-failing "$WORK/known.txt" --scratch "$WORK" --fix
  [ "$status" -eq 1 ]
  [[ "$output" == *"snapshots.prepare.active"* ]]
  [ "$(grep -c prepare "$WORK/known.txt" || true)" = 0 ]
  run "$PROGRAM" run inproc:fake --select snapshots.prepare.active --known-failing "$WORK/known.txt" --scratch "$WORK"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
}

@test "our runtime and our shim keep the chapters of runtimes and shims" {
  run "$PROGRAM" run oci-runtime:refrun --seed 1 --retry 1 --scratch "$WORK" --select 'oci.start' --select 'hooks.order'
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  run "$PROGRAM" run shim:containerd-shim-ref-v2 --seed 1 --retry 1 --scratch "$WORK" --select 'shim.events'
  [ "$status" -eq 0 ] || { echo "$output"; false; }
}

@test "every statement that concerns the suite has a case" {
  run "$PROGRAM" coverage --uncovered
  [ "$status" -eq 0 ] || { echo "$output"; false; }
}

@test "in a user namespace directories of lower layers can be removed and replaced" {
  unshare --user --map-root-user --mount true || skip "user namespaces are forbidden here"
  mkdir "$WORK/userns"
  run unshare --user --map-root-user --mount "$PROGRAM" run inproc:overlay --seed 1 --retry 1 --scratch "$WORK/userns" \
    --select snapshots.tree.deleted-directory --select snapshots.tree.file-and-directory
  [ "$status" -eq 0 ] || { echo "$output"; false; }
}

# What a run makes is found by its scratch directory, by the pid of its runner in the names of cgroups, and by its processes.
nothing_is_left_of() { # nothing_is_left_of RUNNER SCRATCH
  local left= process
  for _ in $(seq 100); do
    left=$(
      ls -A "$2"
      grep -F "$2" /proc/self/mountinfo
      find /sys/fs/cgroup -maxdepth 3 -type d -name "conformance-$1-*"
      ls -d /tmp/conformance-"$1"-* /run/containerd/runc/conformance-"$1"-* 2>/dev/null
      for process in /proc/[0-9]*; do
        { tr '\0' '\n' <"$process/environ" | grep -qF "CONFORMANCE_CASE=$2" && echo "$process"; } 2>/dev/null
        { tr '\0' '\n' <"$process/cmdline" | grep -qF "$2" && echo "$process"; } 2>/dev/null
      done
    ) || true
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  echo "left: $left"
  return 1
}

begun() { # begun SCRATCH: waits until a case has been begun there
  for _ in $(seq 3000); do
    ls -d "$1"/conformance-run-*/c* >/dev/null 2>&1 && return 0
    sleep 0.02
  done
  return 1
}

@test "a runner that is killed leaves nothing, and the next run is clean" {
  local attempt runner target cases
  for attempt in 1 2 3 4; do
    mkdir -p "$WORK/killed"
    target=oci-runtime:refrun cases='oci.*'
    [ $attempt -lt 4 ] || { target=shim:containerd-shim-ref-v2 cases='shim.*'; }
    "$PROGRAM" run "$target" --seed $attempt --scratch "$WORK/killed" --select "$cases" --quiet >"$WORK/killed.log" 2>&1 &
    runner=$!
    begun "$WORK/killed"
    sleep 0.$((attempt * 3 % 10))
    kill -KILL $runner
    wait $runner 2>/dev/null || true
    nothing_is_left_of $runner "$WORK/killed"
  done
  run "$PROGRAM" run oci-runtime:refrun --seed 1 --retry 1 --scratch "$WORK/killed" --select 'oci.create.*' --quiet
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  [[ "$output" != *"left"* ]] || { echo "$output"; false; }
}

@test "a runner that is interrupted reports what it has judged, and leaves nothing" {
  local runner status=0
  mkdir -p "$WORK/interrupted"
  "$PROGRAM" run oci-runtime:refrun --seed 1 --scratch "$WORK/interrupted" --select 'oci.s*' --skip oci.state.follows --save "$WORK/partial.json" \
    >"$WORK/interrupted.log" 2>&1 &
  runner=$!
  # Of two at once the third begins when one has ended.
  for _ in $(seq 1500); do ls -d "$WORK"/interrupted/conformance-run-*/c2-* >/dev/null 2>&1 && break; sleep 0.02; done
  kill -INT $runner
  wait $runner || status=$?
  [ "$status" -eq 130 ] || { cat "$WORK/interrupted.log"; false; }
  nothing_is_left_of $runner "$WORK/interrupted"
  jq -r '.results[].outcome' "$WORK/partial.json" | sort | uniq -c
  [ "$(jq '[.results[] | select(.outcome == "pass")] | length' "$WORK/partial.json")" -ge 1 ]
  [ "$(jq '[.results[] | select(.outcome == "blocked")] | length' "$WORK/partial.json")" -ge 1 ]
  [ "$(jq '[.results[] | select(.outcome != "pass" and .outcome != "blocked")] | length' "$WORK/partial.json")" -eq 0 ]
}

@test "two runs at the same time do not tell of each other" {
  local one
  mkdir -p "$WORK/both"
  "$PROGRAM" run oci-runtime:refrun --seed 1 --retry 1 --scratch "$WORK/both" --select 'oci.create.*' --quiet >"$WORK/one.log" 2>&1 &
  one=$!
  run "$PROGRAM" run oci-runtime:refrun --seed 2 --scratch "$WORK/both" --select 'oci.start.*' --quiet
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  wait $one || { cat "$WORK/one.log"; false; }
}

@test "what a killed worker leaves in a daemon is removed" {
  local daemon socket="$WORK/daemon/run/containerd.sock" left
  mkdir -p "$WORK/daemon"
  printf 'version = 2\nroot = "%s"\nstate = "%s"\n' "$WORK/daemon/root" "$WORK/daemon/run" >"$WORK/config.toml"
  "$BUILD_DIR/containerd-ref" serve --config "$WORK/config.toml" >"$WORK/daemon.log" 2>&1 &
  daemon=$!
  for _ in $(seq 100); do ctr -a "$socket" version >/dev/null 2>&1 && break; sleep 0.1; done
  # A fifth of a second for a case: some are ended half-way.
  run "$PROGRAM" run "daemon://$socket" --seed 1 --scratch "$WORK" --select 'daemon.*' --timeout 0.2
  left=$(ctr -a "$socket" namespaces ls -q | grep '^conformance-' || true)
  kill "$daemon"
  wait "$daemon" || true
  [[ "$output" == *"timeout"* ]] || { echo "$output"; false; }
  [ -z "$left" ] || { echo "$left"; false; }
}
