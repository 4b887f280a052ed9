#!/usr/bin/env bats
# Pulling never spills into storage: our own pull runs where no storage directory exists.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts"
  suite_up
}
teardown_file() { [ -z "$WORK" ] || suite_down; }

@test "a pull succeeds in a mount namespace in which the snapshotters' directories do not exist" {
  # The whole root directory of the daemon is hidden from the pulling process; it has the socket, and the network.
  run unshare -m bash -c "
    mount -t tmpfs hidden '$WORK/root' && [ -z \"\$(ls '$WORK/root')\" ] || exit 99
    exec '$DAEMON' pull --address '$WORK/run/containerd.sock' --fetch-only --json '$(image)'"
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *'"layers":5'* ]]
  run c content ls -q
  [ "${#lines[@]}" -eq 7 ]
}

@test "fetching leaves the snapshotter as it was" {
  run c snapshots ls
  [ "${#lines[@]}" -eq 1 ]
  [ -z "$(ls "$WORK/root/io.containerd.snapshotter.v1.overlayfs/snapshots")" ]
}

@test "what has been fetched is unpacked from the store alone, and not fetched again" {
  kill "$(cat "$WORK/registry.pid")"
  # The registry is gone: everything comes from the content store.
  run c run --rm "$(image)" unfetched echo unpacked
  echo "$output"
  [ "$output" = unpacked ]
  start_registry_again
  run "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)"
  echo "$output"
  [ "$status" -eq 0 ]
  [ "$(grep -c ' exists$' <<<"$output")" -eq 7 ]
  ! grep -q ' done$' <<<"$output" || false
}

start_registry_again() {
  docker-registry serve "$WORK/registry.yml" >>"$WORK/registry.log" 2>&1 3>&- &
  echo $! >"$WORK/registry.pid"
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$(cat "$WORK/port")") 2>/dev/null && break
    sleep 0.1
  done
}

@test "a registry that breaks its word: a blob with other bytes is refused, nothing is committed" {
  # Change one byte of a layer where the registry keeps it.
  blob=$(find "$WORK/registry" -path '*/blobs/sha256/*/data' -size +100k | head -n 1)
  digest=sha256:$(basename "$(dirname "$blob")")
  c images rm --sync "$(image)"
  printf '\x00' | dd of="$blob" bs=1 seek=5000 conv=notrunc status=none
  run "$DAEMON" pull --address "$WORK/run/containerd.sock" "$(image)"
  echo "$output"
  [ "$status" -ne 0 ]
  [[ "$output" == *"digest"* ]]
  run c content get "$digest"
  [ "$status" -ne 0 ]
  run c snapshots ls
  [ "${#lines[@]}" -eq 1 ]
}
