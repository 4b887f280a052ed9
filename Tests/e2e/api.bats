#!/usr/bin/env bats
# What a daemon must bear: strangers on its socket, clients that vanish, a full disk, lost files, being told to stop.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  suite_up
  pull >/dev/null
  head -c 20000000 /dev/urandom >"$WORK/blob"
}
teardown_file() {
  [ -z "$WORK" ] && return
  if mountpoint -q "$WORK/small"; then umount -l "$WORK/small"; fi
  suite_down
}

descriptors() { ls "/proc/$(cat "$WORK/daemon.pid")/fd" | wc -l; }

# Waits until the daemon holds at most so many descriptors.
settled() {
  for _ in $(seq 50); do
    [ "$(descriptors)" -le "$1" ] && return 0
    sleep 0.1
  done
  echo "still $(descriptors) descriptors, expected at most $1"
  return 1
}

# Runs the daemon in the foreground; it is expected to refuse.
refused() {
  run timeout 20 "$DAEMON" serve --config "$WORK/config.toml"
  echo "$output"
  [ "$status" -ne 0 ] && [ "$status" -ne 124 ]
}

@test "subscribers that are killed leave no descriptor behind" {
  local before pids=()
  c version >/dev/null
  before=$(descriptors)
  for _ in 1 2 3; do
    pids=()
    for _ in $(seq 20); do
      ctr -a "$WORK/run/containerd.sock" events >/dev/null 2>&1 3>&- &
      pids+=($!)
    done
    sleep 0.7
    kill -9 "${pids[@]}"
    wait "${pids[@]}" 2>/dev/null || true
  done
  settled "$before"
}

@test "garbage, other protocols and silence on the socket disturb nobody" {
  local before
  before=$(descriptors)
  python3 - "$WORK/run/containerd.sock" <<'PYTHON'
import os, socket, sys
first = [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(5000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
         b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + b"\xff\xff\xff" + os.urandom(3000)]
held = []
for index in range(60):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    try: connection.sendall(first[index % len(first)])
    except BrokenPipeError: pass
    held.append(connection)
os.system("ctr -a %s version >/dev/null" % sys.argv[1]) and sys.exit("no answer beside %d odd connections" % len(held))
PYTHON
  settled "$before"
}

@test "a reader that stops half-way costs nothing" {
  local before digest
  digest=sha256:$(sha256sum <"$WORK/blob" | cut -d' ' -f1)
  c content ingest --expected-digest "$digest" half <"$WORK/blob"
  before=$(descriptors)
  for _ in $(seq 10); do c content get "$digest" 2>/dev/null | head -c 10 >/dev/null; done
  settled "$before"
  c content get "$digest" | cmp - "$WORK/blob"
}

@test "a hundred clients at once are all answered" {
  local pids=() pid
  for _ in $(seq 100); do
    ctr -a "$WORK/run/containerd.sock" images ls -q >/dev/null 3>&- &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
}

@test "events are filtered by namespace, topic and field" {
  local pids=() filters=('namespace==other' 'topic=="/containers/create",event.id==two' 'topic~="^/namespaces/",event.labels."a.b"==c') i
  for i in 0 1 2; do
    ctr -a "$WORK/run/containerd.sock" events "${filters[$i]}" >"$WORK/events-$i" 2>/dev/null 3>&- &
    pids+=($!)
  done
  sleep 2 # nothing tells that they listen: what they would hear is counted below
  c namespaces create other
  c namespaces create labelled a.b=c
  c containers create "$(image)" one
  c containers create "$(image)" two
  c -n other leases create >/dev/null
  c -n other images pull --plain-http "$(image)" >/dev/null
  sleep 0.5
  kill "${pids[@]}"
  cat "$WORK"/events-?
  [ "$(grep -c . "$WORK/events-0")" -ge 6 ]
  [ "$(grep -vc ' other ' "$WORK/events-0" || true)" = 0 ]
  [ "$(wc -l <"$WORK/events-1")" = 1 ]
  grep -q '/containers/create.*"two"' "$WORK/events-1"
  [ "$(wc -l <"$WORK/events-2")" = 1 ]
  grep -q labelled "$WORK/events-2"
}

@test "told to stop in the middle of an upload it stops, the container goes on, and the upload resumes" {
  c run -d --null-io "$(image)" survivor /bin/sleep 300
  local pid before after
  pid=$(c tasks ls | awk '$1 == "survivor" { print $2 }')
  mkfifo "$WORK/slow"
  (cat "$WORK/blob"; sleep 20) >"$WORK/slow" 3>&- &
  local feeder=$!
  ctr -a "$WORK/run/containerd.sock" content ingest slow <"$WORK/slow" >/dev/null 2>&1 3>&- &
  local client=$!
  for _ in $(seq 300); do c content active | grep -q '^slow' && break || sleep 0.1; done
  before=$SECONDS
  stop_daemon TERM
  after=$SECONDS
  kill $feeder $client 2>/dev/null || true
  echo "stopped after $((after - before)) s"
  [ $((after - before)) -le 8 ]
  kill -0 "$pid"
  start_daemon
  c tasks ls | grep -q "survivor.*$pid.*RUNNING"
  c content active | grep -q "^slow"
  c tasks rm -f survivor || true
  c containers rm survivor
}

@test "thirty containers are found again by a daemon that was killed" {
  local i
  for i in $(seq 30); do c run -d --null-io "$(image)" "many-$i" /bin/sleep 300; done
  stop_daemon KILL
  start_daemon
  [ "$(c tasks ls | grep -c "many-.*RUNNING")" = 30 ]
  for i in $(seq 30); do
    c tasks rm -f "many-$i" >/dev/null 2>&1 || true
    c containers rm "many-$i"
  done
}

@test "without its database, or with a damaged one, it refuses by name and touches nothing" {
  local database="$WORK/root/io.containerd.metadata.v1.sqlite/meta.db" index="$WORK/root/io.containerd.snapshotter.v1.overlayfs/index.db" listed file
  listed=$(c content ls -q; c snapshots ls)
  stop_daemon TERM
  for file in "$database" "$index"; do
    mv "$file" "$file.away"
    refused
    [[ "$output" == *"$file is missing"* ]]
    mv "$file.away" "$file"
  done
  # A daemon that was ended leaves changes in the write-ahead log, the first page's too: it goes with the good copy.
  cp "$database" "$database.good"
  for file in "$database-wal" "$database-shm"; do [ ! -e "$file" ] || mv "$file" "$file.away"; done
  printf 'this is no database, and it was one' | dd of="$database" conv=notrunc status=none
  refused
  [[ "$output" == *"$database is damaged"* ]]
  rm -f "$database-wal" "$database-shm"
  for file in "$database-wal" "$database-shm"; do [ ! -e "$file.away" ] || mv "$file.away" "$file"; done
  mv "$database.good" "$database"
  start_daemon
  [ "$(c content ls -q; c snapshots ls)" = "$listed" ]
}

@test "a full disk fails what needs it with a clear word; all else stays, and with room again all works" {
  mkdir "$WORK/small"
  mount -t tmpfs -o size=16m tmpfs "$WORK/small"
  stop_daemon TERM
  cp "$WORK/config.toml" "$WORK/config.good"
  sed -i "s|^root = .*|root = \"$WORK/small\"|" "$WORK/config.toml"
  start_daemon
  pull >/dev/null
  local listed digest
  listed=$(c content ls -q; c snapshots ls)
  digest=sha256:$(sha256sum <"$WORK/blob" | cut -d' ' -f1)
  run c content ingest --expected-digest "$digest" big <"$WORK/blob"
  echo "$output"
  [ "$status" -ne 0 ]
  [[ "$output" == *"No space left"* ]]
  run c run --rm "$(image)" filler /bin/sh -c 'dd if=/dev/zero of=/fill bs=64k 2>/dev/null; echo "full: $?"'
  echo "$output"
  run pull
  echo "$output"
  [ "$status" -ne 0 ]
  run c content label "$(c content ls -q | head -n 1)" note=full
  echo "$output"
  [ "$(c content ls -q; c snapshots ls)" = "$listed" ]
  stop_daemon KILL
  start_daemon
  [ "$(c content ls -q; c snapshots ls)" = "$listed" ]
  mount -o remount,size=64m "$WORK/small"
  c content ingest --expected-digest "$digest" big <"$WORK/blob"
  c content get "$digest" | cmp - "$WORK/blob"
  pull >/dev/null
  [ "$(c run --rm "$(image)" again /bin/echo fine)" = fine ]
  stop_daemon TERM
  mv "$WORK/config.good" "$WORK/config.toml"
  start_daemon
}

@test "what a program wrote to its terminal arrives whole, though its client deletes it at once" {
  local i
  c run -d --null-io "$(image)" talker /bin/sleep 300
  cat >"$WORK/terminal.py" <<'PYTHON'
import os, pty, sys
out = bytearray()
def read(fd):
    data = os.read(fd, 65536)
    out.extend(data)
    return data
status = pty.spawn(sys.argv[1:], read)
text = bytes(out).decode(errors="replace").rstrip()
if not text.endswith("99999 100000"):
    sys.exit("the output ends with %r" % text[-40:])
PYTHON
  for i in $(seq 15); do
    python3 "$WORK/terminal.py" ctr -a "$WORK/run/containerd.sock" tasks exec -t --exec-id "e$i" talker /bin/seq -s ' ' 100000 </dev/null >"$WORK/terminal.out" 2>&1 ||
      { tail -c 200 "$WORK/terminal.out"; return 1; }
  done
  c tasks rm -f talker || true
  c containers rm talker
}
