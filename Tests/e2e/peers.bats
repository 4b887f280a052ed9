#!/usr/bin/env bats
# Both directions: Debian's containerd drives our shim, and our daemon drives Debian's shim and runc.

load lib

SHIM=$BUILD_DIR/containerd-shim-ref-v2

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  command -v containerd >/dev/null && command -v containerd-shim-runc-v2 >/dev/null || skip "needs Debian's containerd and runc"
  suite_up
  pull >/dev/null
  mkdir -p "$WORK/peer-root" "$WORK/peer-run" "$WORK/path"
  cp "$SHIM" "$WORK/path/containerd-shim-ref-v2"
  cat >"$WORK/peer.toml" <<TOML
version = 2
root = "$WORK/peer-root"
state = "$WORK/peer-run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$WORK/peer-run/containerd.sock"
TOML
  start_peer
  p images pull --plain-http "$(image)" >/dev/null
}

teardown_file() {
  [ -n "$WORK" ] || return 0
  local id
  for id in $(p tasks ls -q 2>/dev/null); do p tasks rm -f "$id" >/dev/null 2>&1 || true; done
  stop_peer TERM
  suite_down
}

p() { ctr -a "$WORK/peer-run/containerd.sock" "$@"; }

start_peer() {
  PATH=$WORK/path:$PATH containerd --config "$WORK/peer.toml" >>"$WORK/peer.log" 2>&1 3>&- &
  echo $! >"$WORK/peer.pid"
  disown $!
  for _ in $(seq 100); do p version >/dev/null 2>&1 && return 0; sleep 0.1; done
  echo "containerd did not come up:"; tail -20 "$WORK/peer.log"
  return 1
}

stop_peer() {
  local pid
  pid=$(cat "$WORK/peer.pid")
  kill -"$1" "$pid" 2>/dev/null || true
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$pid"
}

stopped() { # stopped CLIENT ID: waits for the end
  for _ in $(seq 100); do "$1" tasks ls | grep "^$2 " | grep -q STOPPED && return 0; sleep 0.1; done
  return 1
}

# The same life, whoever is the daemon (c or p) and whatever the runtime.
whole_life() { # whole_life CLIENT RUNTIME ID
  local client=$1 runtime=$2 id=$3 pid order events
  "$client" events >"$WORK/events-$id" 2>&1 3>&- &
  events=$!
  listening "$client" "$WORK/events-$id"
  run "$client" run --rm --runtime "$runtime" "$(image)" "$id-status" sh -c 'echo out; echo err >&2; exit 7'
  echo "$output"
  [ "$status" -eq 7 ]
  [[ "$output" == *out* && "$output" == *err* ]]
  run script -qec "ctr -a $WORK/$([ "$client" = c ] && echo run || echo peer-run)/containerd.sock run --rm -t --runtime $runtime $(image) $id-tty tty" /dev/null
  [[ "$output" == *"/dev/pts/"* ]]
  "$client" run -d --runtime "$runtime" --memory-limit 67108864 "$(image)" "$id" sleep 1000
  run "$client" tasks exec --exec-id e "$id" sh -c 'echo in exec; exit 4'
  [ "$status" -eq 4 ]
  [ "${lines[0]}" = "in exec" ]
  run "$client" tasks ps "$id"
  [ "${#lines[@]}" -eq 2 ]
  run "$client" tasks metrics "$id"
  [[ "$output" == *67108864* ]]
  "$client" tasks pause "$id"
  run "$client" tasks ls
  [[ "$output" == *PAUSED* ]]
  "$client" tasks resume "$id"
  "$client" tasks kill -s KILL "$id"
  stopped "$client" "$id"
  run "$client" tasks rm "$id"
  [[ "$output" == *137* ]]
  "$client" containers rm "$id"
  run "$client" run --rm --runtime "$runtime" "$(image)" "$id-none" nosuch
  [ "$status" -eq 1 ]
  [[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
  heard "$WORK/events-$id" "/tasks/delete.*\"container_id\":\"$id\""
  kill $events
  order=$(grep "\"container_id\":\"$id\"" "$WORK/events-$id" | grep -oE '/tasks/[a-z-]+' | tr '\n' ' ')
  echo "$order"
  [ "$order" = "/tasks/create /tasks/start /tasks/exec-added /tasks/exec-started /tasks/exit /tasks/paused /tasks/resumed /tasks/exit /tasks/delete " ]
}

@test "containerd drives our shim by its path" { whole_life p "$SHIM" path; }
@test "containerd drives our shim by its name" { whole_life p io.containerd.ref.v2 name; }
@test "our daemon drives Debian's shim and runc" { whole_life c /usr/bin/containerd-shim-runc-v2 runc; }

@test "containerd is killed and comes back: the container of our shim lives, its status is delivered" {
  p run -d --runtime "$SHIM" "$(image)" outlive sh -c 'while [ ! -e /stop ]; do sleep 0.1; done; exit 5'
  pid=$(p tasks ls | awk '/^outlive / {print $2}')
  stop_peer KILL
  kill -0 "$pid"
  start_peer
  run p tasks ls
  [[ "$output" == *outlive*"$pid"*RUNNING* ]]
  p tasks exec --exec-id stop outlive touch /stop
  stopped p outlive
  run p tasks rm outlive
  [[ "$output" == *5* ]]
  p containers rm outlive
}

@test "our shim is killed: containerd reports it and cleans up" {
  p run -d --runtime "$SHIM" "$(image)" killed sleep 1000
  pid=$(p tasks ls | awk '/^killed / {print $2}')
  kill -KILL "$(awk '/PPid/ {print $2}' "/proc/$pid/status")"
  for _ in $(seq 300); do [ -e "/proc/$pid" ] || break; sleep 0.1; done
  [ ! -e "/proc/$pid" ]
  for _ in $(seq 50); do p containers rm killed 2>/dev/null && break; sleep 0.1; done
  [[ "$(p containers ls -q)" != *killed* ]]
  [ ! -e /sys/fs/cgroup/pids/default/killed ]
}

@test "our shim tells containerd of memory that ran out" {
  p events >"$WORK/peer-oom" 2>&1 3>&- &
  events=$!
  listening p "$WORK/peer-oom"
  run p run --rm --runtime "$SHIM" --memory-limit 8388608 "$(image)" oom tail /dev/zero
  [ "$status" -eq 137 ]
  heard "$WORK/peer-oom" '/tasks/oom.*"container_id":"oom"'
  kill $events
  grep -q '/tasks/oom.*"container_id":"oom"' "$WORK/peer-oom"
}

@test "our daemon is killed and comes back: the container of Debian's shim lives" {
  c run -d --runtime /usr/bin/containerd-shim-runc-v2 "$(image)" foreign sleep 1000
  pid=$(c tasks ls | awk '/^foreign / {print $2}')
  stop_daemon KILL
  start_daemon
  run c tasks ls
  [[ "$output" == *foreign*"$pid"*RUNNING* ]]
  c tasks kill -s KILL foreign
  stopped c foreign
  c tasks rm foreign || true
  c containers rm foreign
}
