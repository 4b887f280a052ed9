#!/usr/bin/env bats
# The daemon is killed at random under a mixed workload: what it lists is there, what nobody holds goes away.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  suite_up
}
teardown_file() { [ -z "$WORK" ] || suite_down; }

# Pulls, runs and removes until told to end; a daemon that is gone makes commands fail, and the next one is tried.
workload() {
  local i=0
  set +e
  while [ ! -e "$WORK/enough" ]; do
    i=$((i + 1))
    pull >/dev/null 2>&1
    c run --rm "$(image)" "run-$1-$i" /bin/true >/dev/null 2>&1
    c run -d --null-io "$(image)" "stay-$1-$i" /bin/sleep 300 >/dev/null 2>&1
    c tasks rm -f "stay-$1-$i" >/dev/null 2>&1
    c containers rm "stay-$1-$i" >/dev/null 2>&1
    head -c 200000 /dev/urandom | c content ingest "ref-$1-$i" >/dev/null 2>&1
    if [ $((i % 3)) = 0 ]; then c images rm --sync "$(image)" >/dev/null 2>&1; fi
    sleep 0.05
    echo "$i" >"$WORK/rounds-$1"
  done
}

# Every blob that is listed has its bytes; every snapshot that is listed has its directories; every image is complete.
check_listed() {
  local digest key dir blobs="$WORK/root/io.containerd.content.v1.content/blobs/sha256"
  for digest in $(c content ls -q); do
    [ "$(sha256sum <"$blobs/${digest#sha256:}" | cut -d' ' -f1)" = "${digest#sha256:}" ] || { echo "content $digest has other bytes"; return 1; }
  done
  for key in $(c snapshots ls | awk 'NR > 1 { print $1 }'); do
    for dir in $(c snapshots mounts /nowhere "$key" | grep -oE '/[^:, ]*/snapshots/[0-9]+/(fs|work)'); do
      [ -d "$dir" ] || { echo "snapshot $key lacks $dir"; return 1; }
    done
  done
  if c images ls -q | grep -q .; then
    c images check | awk 'NR > 1 && !/complete/ { print "incomplete: " $0; bad = 1 } END { exit bad }' || return 1
  fi
}

@test "kill -9 at random under load: nothing listed is missing, and the daemon comes back each time" {
  local end=$((SECONDS + 40)) worker1 worker2 rounds=0
  workload a 3>&- &
  worker1=$!
  workload b 3>&- &
  worker2=$!
  # A slow machine gets more time for as much.
  few() { [ "$rounds" -lt 8 ] || [ "$(cat "$WORK/rounds-a" 2>/dev/null || echo 0)" -lt 8 ]; }
  while [ $SECONDS -lt $end ] || { [ $SECONDS -lt $((end + 240)) ] && few; }; do
    sleep "$((RANDOM % 3)).$((RANDOM % 10))"
    stop_daemon KILL
    start_daemon
    rounds=$((rounds + 1))
  done
  touch "$WORK/enough"
  wait $worker1 $worker2 || true
  echo "$rounds kills during $(cat "$WORK/rounds-a") and $(cat "$WORK/rounds-b") rounds of work"
  check_listed
  [ "$rounds" -ge 8 ]
  [ "$(cat "$WORK/rounds-a")" -ge 8 ]
}

@test "after the last kill a pull and a run succeed" {
  pull
  run c run --rm "$(image)" last /bin/echo alive
  [ "$status" -eq 0 ]
  [ "$output" = alive ]
}

@test "with everything removed, nothing that the kills left behind stays" {
  local id
  for id in $(c tasks ls -q); do c tasks rm -f "$id" >/dev/null 2>&1 || true; done
  for id in $(c containers ls -q); do c containers rm "$id"; done
  for id in $(c images ls -q); do c images rm "$id" >/dev/null; done
  for id in $(c content active -q); do c content rm "$id" 2>/dev/null || true; done
  for id in $(c snapshots ls | awk '$3 == "Active" { print $1 }'); do c snapshots rm "$id" 2>/dev/null || true; done
  for id in $(c leases ls -q); do c leases rm --sync "$id"; done
  c leases create --id final >/dev/null
  c leases rm --sync final
  check_listed
  run c snapshots ls
  [ "$(wc -l <<<"$output")" -eq 1 ]
  [ -z "$(c content ls -q)" ]
  echo "left on disk:"
  find "$WORK/root/io.containerd.content.v1.content/blobs" -type f
  find "$WORK/root/io.containerd.snapshotter.v1.overlayfs/snapshots" -mindepth 1 -maxdepth 1
  find "$WORK/run/io.containerd.runtime.v2.task" -mindepth 2 -maxdepth 2
  [ -z "$(find "$WORK/root/io.containerd.content.v1.content/blobs" -type f)" ]
  [ -z "$(find "$WORK/root/io.containerd.snapshotter.v1.overlayfs/snapshots" -mindepth 1 -maxdepth 1)" ]
  [ -z "$(find "$WORK/run/io.containerd.runtime.v2.task" -mindepth 2 -maxdepth 2)" ]
  run grep -c "$WORK" /proc/self/mounts
  [ "$output" = 0 ]
}
