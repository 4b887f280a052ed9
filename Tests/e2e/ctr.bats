#!/usr/bin/env bats
# Debian's own ctr drives our daemon. Needs root: it mounts and runs containers.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  suite_up
}
teardown_file() { [ -z "$WORK" ] || suite_down; }

@test "version names the server and its UUID" {
  run c version
  [ "$status" -eq 0 ]
  [[ "$output" == *"Server:"*"UUID: "* ]]
}

@test "plugins ls shows every part as ok" {
  run c plugins ls
  [ "$status" -eq 0 ]
  [[ "$output" == *overlayfs* ]]
  ! grep -q error <<<"$output" || false
}

@test "namespaces are made, labelled, listed and removed" {
  c namespaces create e2e colour=red
  c namespaces label e2e colour=blue
  run c namespaces ls
  [[ "$output" == *"e2e"*"colour=blue"* ]]
  c namespaces rm e2e
  run c namespaces ls
  [[ "$output" != *e2e* ]]
}

@test "an image is pulled and unpacked from a real registry" {
  run pull
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"unpacking linux/"* ]]
  run c images ls -q
  [ "$output" = "$(image)" ]
  run c snapshots ls
  [ "$(grep -c Committed <<<"$output")" -eq 5 ]
  run c snapshots tree
  [ "$(wc -l <<<"$output")" -eq 5 ]
}

@test "the unpacked tree is what umoci unpacks, entry by entry" {
  umoci unpack --image "$WORK/image:demo" "$WORK/bundle" >/dev/null 2>&1
  mkdir -p "$WORK/mnt"
  c images mount "$(image)" "$WORK/mnt"
  run "$ROOT_DIR/scripts/compare-trees.py" "$WORK/mnt" "$WORK/bundle/rootfs"
  c images unmount --rm "$WORK/mnt"
  echo "$output"
  [ "$status" -eq 0 ]
}

@test "content is listed, read back with its digest, and ingested" {
  digest=$(c content ls -q | head -n 1)
  [ "sha256:$(c content get "$digest" | sha256sum | cut -d' ' -f1)" = "$digest" ]
  head -c 3000000 /dev/urandom >"$WORK/blob"
  sum=sha256:$(sha256sum <"$WORK/blob" | cut -d' ' -f1)
  c content ingest --expected-digest "$sum" "e2e-ref" <"$WORK/blob"
  c content get "$sum" | cmp - "$WORK/blob"
  c content label "$sum" note=kept
  run c content ls
  [[ "$output" == *"note=kept"* ]]
  c content rm "$sum"
  run c content get "$sum"
  [ "$status" -ne 0 ]
  [[ "$output" == *"not found"* ]]
}

@test "an upload of many messages survives the client's pings" {
  head -c 400000000 /dev/zero >"$WORK/large"
  sum=sha256:$(sha256sum <"$WORK/large" | cut -d' ' -f1)
  c content ingest --expected-digest "$sum" "e2e-large" <"$WORK/large"
  rm "$WORK/large"
  c content rm "$sum"
}

@test "a wrong digest is refused and nothing is listed" {
  zero=sha256:0000000000000000000000000000000000000000000000000000000000000000
  run c content ingest --expected-digest "$zero" "e2e-wrong" <<<"some bytes"
  [ "$status" -ne 0 ]
  run c content ls -q
  [[ "$output" != *"$zero"* ]]
}

@test "run --rm prints the program's output and leaves nothing" {
  run c run --rm "$(image)" e2e-rm echo hello
  echo "$output"
  [ "$status" -eq 0 ]
  [ "$output" = hello ]
  run c containers ls -q
  [[ "$output" != *e2e-rm* ]]
}

@test "the program's exit status is the client's" {
  run c run --rm "$(image)" e2e-status sh -c 'exit 7'
  [ "$status" -eq 7 ]
}

@test "standard input reaches the program" {
  # ctr forgets an end of its input that comes before the task is made.
  run timeout 60 bash -c "ctr=\"ctr -a $WORK/run/containerd.sock\"
    { echo from stdin; until \$ctr tasks ls | grep -q 'e2e-stdin.*RUNNING'; do sleep 0.1; done; } | \$ctr run --rm $(image) e2e-stdin cat"
  [ "$status" -eq 0 ]
  [ "$output" = "from stdin" ]
}

@test "run -t gives the program a terminal" {
  run script -qec "ctr -a $WORK/run/containerd.sock run --rm -t $(image) e2e-tty sh -c 'tty && echo is a terminal'" /dev/null
  echo "$output"
  [[ "$output" == *"is a terminal"* ]]
}

@test "run -d, exec, kill, rm: events in order" {
  ctr -a "$WORK/run/containerd.sock" events >"$WORK/events" 2>&1 3>&- &
  events=$!
  listening c "$WORK/events"
  c run -d "$(image)" e2e-d sleep 1000
  run c tasks ls
  [[ "$output" == *e2e-d*RUNNING* ]]
  run c tasks exec --exec-id e1 e2e-d sh -c 'echo in exec; exit 4'
  [ "$status" -eq 4 ]
  [ "${lines[0]}" = "in exec" ]
  run c tasks ps e2e-d
  [ "$status" -eq 0 ]
  run c tasks metrics e2e-d
  [[ "$output" == *memory* ]]
  c tasks pause e2e-d
  run c tasks ls
  [[ "$output" == *PAUSED* ]]
  c tasks resume e2e-d
  c tasks kill -s KILL e2e-d
  for _ in $(seq 50); do c tasks ls | grep -q STOPPED && break; sleep 0.1; done
  run c tasks rm e2e-d
  [[ "$output" == *137* ]]
  c containers rm e2e-d
  heard "$WORK/events" /containers/delete
  kill $events
  cat "$WORK/events"
  order=$(grep -oE '/(snapshot/prepare|containers/create|tasks/(create|start|exec-added|exec-started|paused|resumed|exit|delete)|containers/delete)' "$WORK/events" | tr '\n' ' ')
  [[ "$order" == *"/snapshot/prepare /containers/create /tasks/create /tasks/start /tasks/exec-added /tasks/exec-started /tasks/exit "* ]]
  [[ "$order" == *"/tasks/paused /tasks/resumed /tasks/exit /tasks/delete "*"/containers/delete "* ]]
}

@test "kill -9 of the daemon: the container lives, its status is delivered after the restart" {
  c run -d "$(image)" e2e-outlive sh -c 'while [ ! -e /stop ]; do sleep 0.1; done; exit 5'
  pid=$(c tasks ls | awk '/e2e-outlive/ {print $2}')
  stop_daemon KILL
  kill -0 "$pid"
  start_daemon
  run c tasks ls
  [[ "$output" == *e2e-outlive*"$pid"*RUNNING* ]]
  c tasks exec --exec-id stop e2e-outlive touch /stop
  for _ in $(seq 50); do c tasks ls | grep -q STOPPED && break; sleep 0.1; done
  run c tasks rm e2e-outlive
  [[ "$output" == *"exit"*"5"* ]] || { echo "$output"; false; }
  c containers rm e2e-outlive
}

@test "kill -9 of the daemon while a container writes: no line is lost" {
  c images ls -q | grep -q . || pull >/dev/null
  c run -d --log-uri "file://$WORK/lines" "$(image)" e2e-lines sh -c 'i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); [ $((i % 100)) -ne 0 ] || sleep 0.05; done; exit 3'
  sleep 0.3
  stop_daemon KILL
  sleep 0.5
  start_daemon
  for _ in $(seq 100); do c tasks ls | grep -q STOPPED && break; sleep 0.1; done
  run c tasks rm e2e-lines
  [[ "$output" == *3* ]]
  c containers rm e2e-lines
  [ "$(grep -c '^line ' "$WORK/lines")" -eq 3000 ]
  [ "$(tail -n 1 "$WORK/lines")" = "line 2999" ]
}

# kill -9 of the daemon between create and start needs a client that only creates: Tests/EndToEndTests.

@test "kill -9 of the daemon in the middle of an upload: finished bytes stay" {
  head -c 50000000 /dev/urandom >"$WORK/half"
  sum=sha256:$(sha256sum <"$WORK/half" | cut -d' ' -f1)
  (head -c 20000000 "$WORK/half"; sleep 30) | ctr -a "$WORK/run/containerd.sock" content ingest --expected-digest "$sum" --expected-size 50000000 e2e-half >/dev/null 2>&1 3>&- &
  for _ in $(seq 300); do c content active | grep e2e-half | grep -qv ' 0 *B' && break || sleep 0.1; done
  stop_daemon KILL
  pkill -f e2e-half || true
  start_daemon
  run c content active
  echo "$output"
  [[ "$output" == *e2e-half* ]]
  ! grep -q ' 0 *B' <<<"$output" || false
}

@test "images rm frees content and snapshots" {
  c images rm --sync "$(image)"
  run c content ls -q
  [ -z "$output" ]
  run c snapshots ls
  [ "$(wc -l <<<"$output")" -eq 1 ]
  [ -z "$(ls "$WORK/root/io.containerd.content.v1.content/blobs/sha256")" ]
}
