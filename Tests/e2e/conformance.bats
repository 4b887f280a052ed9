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
  run "$PROGRAM" run inproc:fake --seed 1 --scratch "$WORK" --skip tag:model --output "$WORK/report" --save "$WORK/fake.json"
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
  run "$PROGRAM" run oci-runtime:refrun --seed 1 --scratch "$WORK" --select 'oci.start' --select 'hooks.order'
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  run "$PROGRAM" run shim:containerd-shim-ref-v2 --seed 1 --scratch "$WORK" --select 'shim.events'
  [ "$status" -eq 0 ] || { echo "$output"; false; }
}

@test "every statement that concerns the suite has a case" {
  run "$PROGRAM" coverage --uncovered
  [ "$status" -eq 0 ] || { echo "$output"; false; }
}
