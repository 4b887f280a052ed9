#!/usr/bin/env bats
# Our daemon with our lazy snapshotter as a proxy plugin, our client and an embedded registry: nothing is unpacked before it is read.

load lib
bats_require_minimum_version 1.5.0

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  [ -e /dev/fuse ] || skip "there is no /dev/fuse"
  WORK=$(mktemp -d /tmp/ref-lazy-XXXXXX)
  export WORK
  export CONTAINERD_ADDRESS="$WORK/run/containerd.sock"
  mkdir -p "$WORK/root" "$WORK/run"
  cat >"$WORK/config.toml" <<TOML
version = 2
root = "$WORK/root"
state = "$WORK/run"
[proxy_plugins.fuse]
  type = "snapshot"
  address = "$WORK/snapshotter.sock"
TOML
  if [ -n "${REF_SHIM:-}" ]; then
    printf '[runtimes]\n"io.containerd.runc.v2" = "%s"\n' "$REF_SHIM" >>"$WORK/config.toml"
  fi
  start_embedded
  "$ROOT_DIR/scripts/make-image.sh" "$WORK/image" demo
  # A layer of its own with a large file: what is fetched of it can be seen.
  mkdir -p "$WORK/large/large"
  head -c 24000000 /dev/urandom >"$WORK/large/large/noise"
  umoci insert --image "$WORK/image:demo" "$WORK/large" / >/dev/null 2>&1
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:demo" "docker://$(registry)/demo:latest"
  skopeo inspect "oci:$WORK/image:demo" | jq '.Layers | length' >"$WORK/layers"
  # Before the snapshotter: it is connected to when it is needed.
  start_daemon 3>&-
}

teardown_file() {
  [ -n "$WORK" ] || return 0
  local id name
  for id in $(c tasks ls -q 2>/dev/null); do c tasks rm -f "$id" >/dev/null 2>&1 || true; done
  for name in daemon snapshotter registry; do end "$name"; done
  for id in $(findmnt -rno TARGET | grep "^$WORK" | sort -r); do umount -l "$id" || true; done
  if [ -n "${KEEP_WORK:-}" ]; then echo "# kept $WORK" >&3; else rm -rf "$WORK"; fi
}

r() { "$DAEMON" "$@"; }
registry() { cat "$WORK/registry.address"; }
image() { echo "$(registry)/demo:latest"; }
layers() { cat "$WORK/layers"; }
blobs_fetched() { grep -c 'GET /v2/demo/blobs/' "$WORK/access.log" || true; }
indexes() { find "$WORK/snapshotter/indexes" -name '*.idx' 2>/dev/null | wc -l; }
noise() { sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1; }

end() { # end NAME [SIGNAL]
  local pid
  pid=$(cat "$WORK/$1.pid")
  kill -"${2:-TERM}" "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$pid"
}

start_embedded() {
  "$DAEMON" registry serve --root "$WORK/registry" --listen 127.0.0.1:0 --access-log "$WORK/access.log" >"$WORK/registry.said" 2>>"$WORK/registry.log" 3>&- &
  echo $! >"$WORK/registry.pid"
  disown $!
  for _ in $(seq 100); do [ ! -s "$WORK/registry.said" ] || break; sleep 0.1; done
  sed 's,^http://,,; s,/$,,' "$WORK/registry.said" | head -n 1 >"$WORK/registry.address"
}

start_snapshotter() { # start_snapshotter [OPTIONS…]
  "$DAEMON" snapshotter serve --backend fuse --root "$WORK/snapshotter" --address "$WORK/snapshotter.sock" \
    --containerd "$CONTAINERD_ADDRESS" "$@" >>"$WORK/snapshotter.log" 2>&1 3>&- &
  echo $! >"$WORK/snapshotter.pid"
  disown $!
  for _ in $(seq 150); do
    # Lists come out of the daemon's own database: this one asks the plugin.
    if c snapshots --snapshotter fuse prepare ready >/dev/null 2>&1; then
      c snapshots --snapshotter fuse rm ready
      return 0
    fi
    sleep 0.1
  done
  tail -n 5 "$WORK/snapshotter.log"
  return 1
}

# forget_image: all that is left are the indexes, within ten seconds
forget_image() {
  r images rm "$(image)" >/dev/null
  for _ in $(seq 100); do [ "$(c snapshots --snapshotter fuse ls | wc -l)" -gt 1 ] || return 0; sleep 0.1; done
  c snapshots --snapshotter fuse ls
  return 1
}

@test "the daemon tells of the plugin, in its configuration and to clients" {
  r config --config "$WORK/config.toml" | grep -A 3 '^\[proxy_plugins\]' | grep -F '"fuse"'
  c plugins ls | grep -E '^io.containerd.snapshotter.v1 +fuse .*ok'
}

@test "while nobody listens, calls say which plugin it is and where" {
  run r pull --snapshotter fuse "$(image)"
  [ "$status" -ne 0 ]
  [[ "$output" == *"snapshotter fuse at $WORK/snapshotter.sock: there is no such socket"* ]] || { echo "$output"; false; }
  # Others go on: the daemon's own snapshotter, and collections of what it holds.
  r pull "$(image)" >/dev/null 2>&1
  r images rm "$(image)" >/dev/null
  for _ in $(seq 100); do [ "$(c snapshots ls | wc -l)" -gt 1 ] || break; sleep 0.1; done
  [ "$(c snapshots ls | wc -l)" -eq 1 ]
}

@test "an image that is new is pulled as ever, and its layers get indexes" {
  start_snapshotter
  run r pull --snapshotter fuse "$(image)"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  [[ "$output" == *"unpacked $(layers) layers"* && "$output" != *lazy* ]]
  for _ in $(seq 3000); do [ "$(indexes)" -lt "$(layers)" ] || break; sleep 0.1; done
  [ "$(indexes)" -eq "$(layers)" ]
  run --separate-stderr r run --rm --snapshotter fuse "$(image)" ordinary sha256sum /large/noise
  [ "${output%% *}" = "$(noise)" ]
  forget_image
}

@test "the next pull fetches the manifest and the config alone, and the container runs" {
  end snapshotter
  start_snapshotter --no-background
  for _ in $(seq 100); do [ "$(c content ls -q | wc -l)" -gt 0 ] || break; sleep 0.1; done
  : >"$WORK/access.log"
  run r pull --snapshotter fuse "$(image)"
  [ "$status" -eq 0 ] || { echo "$output"; tail -n 5 "$WORK/snapshotter.log"; false; }
  [[ "$output" == *"lazy $(layers) of $(layers) layers"* && "$output" != *unpack* ]] || { echo "$output"; tail -n 5 "$WORK/snapshotter.log"; false; }
  # The config is the one blob.
  [ "$(blobs_fetched)" -eq 1 ] || { cat "$WORK/access.log"; false; }
  [ "$(c content ls -q | wc -l)" -eq 2 ]
  run --separate-stderr r run --rm --snapshotter fuse "$(image)" lazy sh -c 'sha256sum /large/noise; cat /data/fresh/five; ls /data'
  [ "$status" -eq 0 ]
  [ "${lines[0]%% *}" = "$(noise)" ]
  [[ "$output" == *five* ]]
  # Deleted by upper layers.
  [[ "$output" != *old* && "$output" != *linked-twice* ]]
}

@test "pull --json says how many layers are lazy" {
  r pull --json --snapshotter fuse "$(image)" | jq -e --argjson layers "$(layers)" '.layers == $layers and .lazy == $layers'
  r pull --json --fetch-only --namespace other "$(image)" | jq -e --argjson layers "$(layers)" '.layers == $layers and .lazy == 0'
  c -n other images rm --sync "$(image)"
}

@test "an image whose blobs are not here is listed, pulled again without a fetch, and survives a collection" {
  r images | grep -F "$(image)" | grep -v incomplete
  : >"$WORK/access.log"
  r pull --snapshotter fuse "$(image)"
  [ "$(blobs_fetched)" -eq 0 ] || { cat "$WORK/access.log"; false; }
  # Removing something makes the daemon collect.
  c images tag "$(image)" other:1
  c images rm --sync other:1
  [ "$(c snapshots --snapshotter fuse ls | wc -l)" -eq "$(($(layers) + 1))" ]
  c snapshots --snapshotter fuse usage
}

@test "another namespace shares the layers, and what one removes the other keeps" {
  : >"$WORK/access.log"
  r pull --namespace second --snapshotter fuse "$(image)"
  # The daemon has the config's bytes already.
  [ "$(blobs_fetched)" -le 1 ] || { cat "$WORK/access.log"; false; }
  [ "$(find "$WORK/snapshotter/snapshots" -name lazy.json | wc -l)" -eq "$(layers)" ]
  c -n second images rm --sync "$(image)"
  run --separate-stderr r run --rm --snapshotter fuse "$(image)" kept sha256sum /large/noise
  [ "${output%% *}" = "$(noise)" ]
}

@test "for another snapshotter the layers are fetched after all" {
  run r pull "$(image)"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  [ "$(c content ls -q | wc -l)" -eq "$(($(layers) + 2))" ]
  run --separate-stderr r run --rm "$(image)" overlay sha256sum /large/noise
  [ "${output%% *}" = "$(noise)" ]
  forget_image
}

@test "a container reads on when the daemon is killed, and the next daemon finds everything" {
  r pull --snapshotter fuse "$(image)"
  r run -d --snapshotter fuse "$(image)" stays sleep 1000
  local pid
  pid=$(c tasks ls | awk '$1 == "stays" {print $2}')
  end daemon KILL
  # Nobody has read it yet: it comes out of the registry now.
  run timeout 60 nsenter -t "$pid" -m sha256sum /large/noise
  [ "${output%% *}" = "$(noise)" ] || { echo "$output"; false; }
  start_daemon 3>&-
  c tasks ls | grep '^stays ' | grep RUNNING
  run --separate-stderr r run --rm --snapshotter fuse "$(image)" after cat /data/fresh/five
  [ "$output" = five ] || { echo "$output"; false; }
  # The snapshotter finds the new daemon: what it is asked for now it looks up there.
  r rm --force stays >/dev/null
  forget_image
  r pull --snapshotter fuse "$(image)" 2>&1 | grep -F "lazy $(layers) of $(layers) layers"
}

@test "a snapshotter that is away and comes back is connected to again" {
  end snapshotter
  run r run --rm --snapshotter fuse "$(image)" away true
  [ "$status" -ne 0 ]
  [[ "$output" == *"snapshotter fuse at $WORK/snapshotter.sock: "* ]] || { echo "$output"; false; }
  start_snapshotter
  run --separate-stderr r run --rm --snapshotter fuse "$(image)" back cat /data/fresh/five
  [ "$output" = five ]
  forget_image
}
