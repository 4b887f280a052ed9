#!/usr/bin/env bats
# kill -9 in the middle of a pull: of the daemon, and of the client. The registry's own log says what is fetched again: nothing that was finished,
# and of the half-fetched layer only what the store does not have.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: the daemon mounts"
  WORK=$(mktemp -d /tmp/ref-e2e-XXXXXX)
  export WORK
  mkdir -p "$WORK/root" "$WORK/run"
  printf 'version = 2\nroot = "%s/root"\nstate = "%s/run"\n' "$WORK" "$WORK" >"$WORK/config.toml"
  make_large_image
  start_slow_registry
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:large" "docker://$(registry)/large:latest"
  start_daemon
}

teardown_file() {
  [ -n "$WORK" ] || return 0
  stop_daemon TERM
  kill "$(cat "$WORK/registry.pid")" 2>/dev/null || true
  if [ -n "${KEEP_WORK:-}" ]; then echo "# kept $WORK" >&3; else rm -rf "$WORK"; fi
}

setup() {
  local lease
  # A client that was killed, or whose daemon was, leaves its lease, and that holds what it had fetched.
  for lease in $(c leases ls -q); do c leases rm --sync "$lease"; done
  c images rm --sync "$(image)" >/dev/null 2>&1 || true
  drop_ingests
  run c content ls -q
  [ -z "$output" ]
  : >"$WORK/access"
}

# Two layers: a small one that arrives at once, and one of 24 MB that does not compress and takes its time.
make_large_image() {
  umoci init --layout "$WORK/image" >/dev/null
  umoci new --image "$WORK/image:large" >/dev/null
  local step
  for step in 'echo small >small' 'head -c 24000000 /dev/urandom >large'; do
    umoci unpack --image "$WORK/image:large" "$WORK/bundle" >/dev/null 2>&1
    (cd "$WORK/bundle/rootfs" && eval "$step")
    umoci repack --image "$WORK/image:large" "$WORK/bundle" >/dev/null 2>&1
    rm -rf "$WORK/bundle"
  done
}

# 4 MB a second: the large layer takes six seconds.
start_slow_registry() {
  "$DAEMON" registry serve --root "$WORK/registry" --listen 127.0.0.1:0 --limit-rate 4000000 --access-log "$WORK/access" \
    >"$WORK/registry.address" 2>"$WORK/registry.log" 3>&- &
  echo $! >"$WORK/registry.pid"
  disown $!
  for _ in $(seq 100); do [ -s "$WORK/registry.address" ] && return 0; sleep 0.1; done
  echo "the registry did not come up:"; cat "$WORK/registry.log"
  return 1
}

registry() { cat "$WORK/registry.address"; }
image() { echo "$(registry)/large:latest"; }

manifest() { jq -r '.manifests[0].digest' "$WORK/image/index.json"; }
# blob FILTER: a digest out of the manifest
blob() { jq -r "$1" "$WORK/image/blobs/sha256/$(manifest | cut -d: -f2)"; }
large() { blob '.layers[1].digest'; }
large_size() { blob '.layers[1].size'; }

# Bytes of the large layer that the daemon has on disk.
ingested() {
  local file
  for file in "$WORK"/root/io.containerd.content.v1.content/ingest/*/; do
    grep -qs "$(large)" "$file/ref" && { stat -c %s "$file/data"; return; }
  done
  echo 0
}

# Waits until the finished blobs are there and the large one is half there.
wait_half_way() {
  for _ in $(seq 300); do
    [ "$(ingested)" -gt 4000000 ] && [ "$(c content ls -q | wc -l)" -ge 3 ] && return 0
    sleep 0.05
  done
  echo "no download was half-way: $(ingested) bytes"; c content active; return 1
}

# wait_for PID: its exit status in `status`; `run` would ask a shell that is not its parent
wait_for() { status=0; wait "$1" || status=$?; }

# A download that a killed client has left behind.
drop_ingests() { rm -rf "$WORK"/root/io.containerd.content.v1.content/ingest/*; }

# fetched DIGEST: how the registry was asked for a blob since the log was begun: RANGE STATUS SENT, a line each.
fetched() {
  grep "^GET [^ ]*$1 " "$WORK/access" | sed -E 's/^GET [^ ]+ (range=bytes=([0-9]+)- )?status=([0-9]+) sent=([0-9]+).*/\2 \3 \4/; s/^ /0 /'
}

# Its address is free then.
end_registry() { # end_registry SIGNAL
  local pid
  pid=$(cat "$WORK/registry.pid")
  kill -"$1" "$pid"
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.05; done
}

# What was finished is not asked for again; the large layer is asked for once, from exactly the byte that the store had.
expect_resumed_at() {
  local kept=$1 digest
  # The registry may notice a moment later that a client is dead.
  sed '/status=200.*broken/d' "$WORK/access" >"$WORK/access.clean"
  cat "$WORK/access.clean" | tee "$WORK/access"
  for digest in "$(blob .config.digest)" "$(blob '.layers[0].digest')"; do [ -z "$(fetched "$digest")" ]; done
  [ "$(fetched "$(large)")" = "$kept 206 $(($(large_size) - kept))" ]
}

expect_whole() {
  [ "sha256:$(c content get "$(large)" | sha256sum | cut -d' ' -f1)" = "$(large)" ]
  run c images ls -q
  [ "$output" = "$(image)" ]
  run c content active
  [[ "$output" != *"$(large)"* ]]
}

@test "kill -9 of the daemon in the middle of our own pull: the next one goes on at the byte that is on disk" {
  "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)" >"$WORK/first" 2>&1 3>&- &
  client=$!
  wait_half_way
  stop_daemon KILL
  wait_for $client
  [ "$status" -ne 0 ]
  start_daemon
  kept=$(ingested)
  [ "$kept" -gt 4000000 ]
  : >"$WORK/access"
  "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)"
  expect_resumed_at "$kept"
  expect_whole
}

@test "kill -9 of the daemon in the middle of ctr's pull: the next one goes on at the byte that is on disk" {
  c images pull --plain-http "$(image)" >"$WORK/first" 2>&1 3>&- &
  client=$!
  wait_half_way
  stop_daemon KILL
  # ctr would try for ever to get its stream back: its pull is over.
  kill -KILL $client 2>/dev/null || true
  wait_for $client
  start_daemon
  kept=$(ingested)
  [ "$kept" -gt 4000000 ]
  : >"$WORK/access"
  c images pull --plain-http "$(image)" >"$WORK/second" 2>&1
  expect_resumed_at "$kept"
  expect_whole
}

@test "kill -9 of the pulling client: the daemon keeps what it has, the next pull goes on there" {
  "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)" >"$WORK/first" 2>&1 3>&- &
  client=$!
  wait_half_way
  kill -KILL $client
  wait_for $client
  : >"$WORK/access"
  "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)"
  kept=$(fetched "$(large)" | tail -n 1 | cut -d' ' -f1)
  [ "$kept" -gt 4000000 ]
  # The registry may have noticed the first client's death only now; its line is the one without a range.
  sed -i '/status=200.*broken/d' "$WORK/access"
  expect_resumed_at "$kept"
  expect_whole
}

@test "kill -9 of the registry in the middle of a pull: the pull waits for its return and goes on" {
  "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)" >"$WORK/first" 2>&1 3>&- &
  client=$!
  wait_half_way
  address=$(registry)
  end_registry KILL
  : >"$WORK/access"
  "$DAEMON" registry serve --root "$WORK/registry" --listen "$address" --access-log "$WORK/access" >"$WORK/registry.address" 2>>"$WORK/registry.log" 3>&- &
  echo $! >"$WORK/registry.pid"
  disown $!
  wait_for $client
  cat "$WORK/first"
  [ "$status" -eq 0 ]
  cat "$WORK/access"
  read -r start status sent <<<"$(fetched "$(large)")"
  [ "$start" -gt 4000000 ]
  [ "$status" -eq 206 ]
  [ "$sent" -eq $(($(large_size) - start)) ]
  expect_whole
}

@test "three clients pull one image at the same time: every byte is fetched once" {
  restart_slow_registry
  : >"$WORK/access"
  "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)" >"$WORK/first" 2>&1 3>&- &
  first=$!
  c images pull --plain-http "$(image)" >"$WORK/second" 2>&1 3>&- &
  second=$!
  "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)" >"$WORK/third" 2>&1 3>&- &
  third=$!
  for client in $first $second $third; do
    wait_for "$client"
    [ "$status" -eq 0 ] || { cat "$WORK/first" "$WORK/second" "$WORK/third"; false; }
  done
  cat "$WORK/access"
  # Who comes second may ask before it learns that the ref is taken, but gets no more than buffers hold.
  sent=$(fetched "$(large)" | awk '{ sum += $3 } END { print sum }')
  [ "$sent" -ge "$(large_size)" ]
  [ "$sent" -le $(($(large_size) + 1000000)) ]
  expect_whole
}

# The registry that the test before has left behind is a fast one.
restart_slow_registry() {
  end_registry TERM
  "$DAEMON" registry serve --root "$WORK/registry" --listen "$(registry)" --limit-rate 4000000 --access-log "$WORK/access" \
    >"$WORK/registry.again" 2>>"$WORK/registry.log" 3>&- &
  echo $! >"$WORK/registry.pid"
  disown $!
  for _ in $(seq 100); do [ -s "$WORK/registry.again" ] && return 0; sleep 0.1; done
  echo "the registry did not come up:"; cat "$WORK/registry.log"
  return 1
}
