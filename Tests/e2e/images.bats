#!/usr/bin/env bats
# Images of every form, pulled by ctr, unpacked by us: each tree is compared entry by entry with what umoci unpacks, and each is run.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  suite_up
}
teardown_file() { [ -z "$WORK" ] || suite_down; }

registry() { echo "127.0.0.1:$(cat "$WORK/port")"; }

# Puts TAG of the layout at LAYOUT into the registry as it is; prints its name there. `push LAYOUT TAG [SKOPEO'S OPTIONS]`
push() {
  local layout=$1 tag=$2
  shift 2
  skopeo copy -q "${@:---preserve-digests}" --dest-tls-verify=false "oci:$layout:$tag" "docker://$(registry)/form:$tag"
  echo "$(registry)/form:$tag"
}

# Pulls NAME and compares its tree with what umoci unpacks from LAYOUT:TAG.
same_tree() {
  local name=$1 source=$2
  c images pull --plain-http "$name" >/dev/null
  [ -d "$WORK/reference/${source##*:}" ] || { mkdir -p "$WORK/reference" && umoci unpack --image "$source" "$WORK/reference/${source##*:}" >/dev/null 2>&1; }
  mkdir -p "$WORK/mnt"
  c images mount "$name" "$WORK/mnt" >/dev/null
  run "$ROOT_DIR/scripts/compare-trees.py" "$WORK/mnt" "$WORK/reference/${source##*:}/rootfs"
  c images unmount --rm "$WORK/mnt" >/dev/null
  echo "$output"
  [ "$status" -eq 0 ]
}

@test "the comparison finds every kind of difference" {
  run "$ROOT_DIR/scripts/compare-trees.py" --self-test
  echo "$output"
  [ "$status" -eq 0 ]
}

@test "BusyBox in one layer" {
  umoci init --layout "$WORK/busybox"
  umoci new --image "$WORK/busybox:one"
  umoci unpack --image "$WORK/busybox:one" "$WORK/busybox-bundle" >/dev/null 2>&1
  (cd "$WORK/busybox-bundle/rootfs" && mkdir bin && cp /bin/busybox bin/ && for name in $(/bin/busybox --list); do ln bin/busybox "bin/$name" 2>/dev/null || true; done)
  umoci repack --image "$WORK/busybox:one" "$WORK/busybox-bundle" >/dev/null 2>&1
  umoci config --image "$WORK/busybox:one" --config.env PATH=/bin
  name=$(push "$WORK/busybox" one)
  same_tree "$name" "$WORK/busybox:one"
  run c run --rm "$name" busybox-one sh -c 'echo "$(stat -c %h /bin/sh) names"'
  echo "$output"
  [ "${output%% *}" -gt 200 ]
}

@test "five layers with deletions, opaque directories and hard links" {
  same_tree "$(image)" "$WORK/image:demo"
  run c run --rm "$(image)" five-layers sh -c 'ls data data/opaque data/fresh; stat -c %h data/fresh/four'
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" != *old* ]] && [[ "$output" != *setuid* ]] && [[ "$output" != *deep* ]]
  [ "${lines[-1]}" = 2 ]
}

@test "Debian, made by debootstrap: setuid, capabilities, attributes, devices, odd names" {
  "$ROOT_DIR/scripts/make-debian-image.sh" "$WORK/debian" bookworm "${DEBIAN_CACHE:-}"
  name=$(push "$WORK/debian" bookworm)
  same_tree "$name" "$WORK/debian:bookworm"
  run c run --rm "$name" debian bash -c '. /etc/os-release; echo "$ID $VERSION_ID"; stat -c %a /usr/bin/su; stat -c %h /usr/bin/id; ls /usr/share/doc; dpkg -l | grep -c ^ii'
  echo "$output"
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = "debian 12" ] && [ "${lines[1]}" = 4755 ] && [ "${lines[2]}" = 3 ] && [ "${lines[3]}" = README ]
  [ "${lines[4]}" -gt 50 ]
}

@test "layers in zstd, as skopeo writes them" {
  # skopeo compresses what is not compressed yet.
  "$ROOT_DIR/scripts/image-variant.py" "$WORK/image" demo zstd plain
  name=$(push "$WORK/image" zstd --dest-compress-format zstd)
  run skopeo inspect --raw --tls-verify=false "docker://$name"
  [[ "$output" == *"tar+zstd"* ]]
  c images rm --sync "$(image)"
  same_tree "$name" "$WORK/image:demo"
  run c run --rm "$name" form-zstd echo zstd
  [ "$output" = zstd ]
}

@test "a Docker schema 2 image" {
  c images rm --sync "$(registry)/form:zstd"
  name=$(push "$WORK/image" demo -f v2s2)
  run skopeo inspect --raw --tls-verify=false "docker://$name"
  [[ "$output" == *"vnd.docker.distribution.manifest.v2+json"* ]]
  same_tree "$name" "$WORK/image:demo"
  run c run --rm "$name" form-docker echo docker
  [ "$output" = docker ]
}

@test "uncompressed layers, gzip of many members, zstd of many frames" {
  for form in plain members frames; do
    "$ROOT_DIR/scripts/image-variant.py" "$WORK/image" demo "$form" "$form"
    c images ls -q | grep form: | xargs -r ctr -a "$WORK/run/containerd.sock" images rm --sync >/dev/null
    name=$(push "$WORK/image" "$form")
    # The same layers under the same ChainIDs: they are unpacked anew since the last image is gone.
    run c snapshots ls
    [ "$(grep -c Committed <<<"$output")" -le 3 ]
    same_tree "$name" "$WORK/image:demo"
    run c run --rm "$name" "form-$form" echo "$form"
    echo "$output"
    [ "$output" = "$form" ]
  done
}

@test "an image of 125 layers: mount options of more than a page" {
  "$ROOT_DIR/scripts/image-variant.py" "$WORK/image" demo many many=120
  name=$(push "$WORK/image" many)
  same_tree "$name" "$WORK/image:many"
  # The image's user is a name: ctr itself mounts the layers, to read /etc/passwd in them.
  run c run --rm "$name" form-many sh -c 'id -u; cat /layers/120; ls /layers | wc -l; echo written >/tmp/x && cat /tmp/x'
  echo "$output"
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = 1000 ] && [ "${lines[1]}" = "layer 120" ] && [ "${lines[2]}" = 108 ] && [ "${lines[3]}" = written ]
}

@test "a layer whose DiffID is another leaves no snapshot" {
  python3 - "$WORK/image" <<'PYTHON'
import hashlib, json, sys
layout = sys.argv[1]
index = json.load(open(f"{layout}/index.json"))
name = "org.opencontainers.image.ref.name"
def load(d): return json.load(open(f"{layout}/blobs/sha256/{d['digest'][7:]}"))
def put(value):
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    open(f"{layout}/blobs/sha256/{digest}", "wb").write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}
manifest = load(next(m for m in index["manifests"] if m["annotations"][name] == "demo"))
config = load(manifest["config"])
config["rootfs"]["diff_ids"][0] = "sha256:" + "1" * 64
manifest["config"].update(put(config))
index["manifests"].append({"mediaType": "application/vnd.oci.image.manifest.v1+json", **put(manifest), "annotations": {name: "wrong"}})
json.dump(index, open(f"{layout}/index.json", "w"))
PYTHON
  name=$(push "$WORK/image" wrong)
  run "$DAEMON" pull --address "$WORK/run/containerd.sock" "$name"
  echo "$output"
  [ "$status" -ne 0 ]
  [[ "$output" == *"1111111111"* ]]
  run c snapshots ls
  ! grep -q 1111111111 <<<"$output" || false
}

@test "kill -9 of the daemon in the middle of an apply: the half layer is collected, nothing stays mounted" {
  c images ls -q | xargs -r ctr -a "$WORK/run/containerd.sock" images rm --sync >/dev/null
  name=$(registry)/form:bookworm
  "$DAEMON" pull --address "$WORK/run/containerd.sock" --fetch-only "$name" >/dev/null
  ctr -a "$WORK/run/containerd.sock" images pull --plain-http "$name" >"$WORK/killed" 2>&1 3>&- &
  client=$!
  # Half-way: the layer's directory has some of its entries.
  snapshots=$WORK/root/io.containerd.snapshotter.v1.overlayfs/snapshots
  for _ in $(seq 200); do
    [ "$(find "$snapshots" -maxdepth 4 2>/dev/null | wc -l)" -gt 40 ] && break
    sleep 0.02
  done
  stop_daemon KILL
  kill $client 2>/dev/null || true
  wait $client || true
  [ "$(find "$snapshots" | wc -l)" -gt 40 ]
  ! grep -q "$WORK/root" /proc/self/mounts || false
  start_daemon
  run c snapshots ls
  ! grep -q Committed <<<"$output" || false
  c images pull --plain-http "$name" >/dev/null
  c images rm --sync "$name" >/dev/null
  for _ in $(seq 50); do [ -z "$(ls "$snapshots")" ] && break; sleep 0.1; done
  run c snapshots ls
  echo "$output"; ls "$snapshots"
  # The lease of the killed client keeps its half snapshot for a day at most; without it nothing does.
  c leases ls -q | xargs -r ctr -a "$WORK/run/containerd.sock" leases rm --sync
  [ -z "$(ls "$snapshots")" ]
}
