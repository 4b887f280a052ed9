#!/usr/bin/env bats
# Indexes in a registry: pushed with the image or from a snapshotter, listed, found by a snapshotter that has never seen the image; what it says of itself.

load lib
bats_require_minimum_version 1.5.0

setup_file() {
  WORK=$(mktemp -d /tmp/ref-push-XXXXXX)
  export WORK
  start_embedded
  make_layout
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:one" "docker://$(image)"
}

teardown_file() {
  local name id
  for id in $(p tasks ls -q 2>/dev/null); do p tasks rm -f "$id" >/dev/null 2>&1 || true; done
  for name in snapshotter registry guarded peer; do end "$name"; done
  for id in $(findmnt -rno TARGET | grep "^$WORK" | sort -r); do umount -l "$id" || true; done
  if [ -n "${KEEP_WORK:-}" ]; then echo "# kept $WORK" >&3; else rm -rf "$WORK"; fi
}

registry() { cat "$WORK/registry.address"; }
image() { echo "$(registry)/team/app:1"; }
p() { ctr -a "$WORK/peer-run/containerd.sock" "$@"; }

end() { # end NAME
  local pid
  pid=$(cat "$WORK/$1.pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$pid"
}

start_embedded() {
  "$DAEMON" registry serve --root "$WORK/registry" --listen 127.0.0.1:0 --access-log "$WORK/access.log" >"$WORK/registry.address" 2>"$WORK/registry.log" 3>&- &
  echo $! >"$WORK/registry.pid"
  disown $!
  for _ in $(seq 100); do [ -s "$WORK/registry.address" ] && return 0; sleep 0.1; done
  cat "$WORK/registry.log"
  return 1
}

# An image of two layers, written by hand: no root and no umoci needed.
make_layout() {
  local layout=$WORK/image number diffs="" layers="" config manifest
  mkdir -p "$layout/blobs/sha256"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  for number in 1 2; do
    mkdir -p "$WORK/tree-$number"
    head -c 6000000 /dev/urandom >"$WORK/tree-$number/noise-$number"
    echo "file $number" >"$WORK/tree-$number/name-$number"
    tar -C "$WORK/tree-$number" -cf "$WORK/layer-$number.tar" .
    diffs="$diffs${diffs:+,}\"sha256:$(sha256sum <"$WORK/layer-$number.tar" | cut -d' ' -f1)\""
    gzip -n "$WORK/layer-$number.tar"
    layers="$layers${layers:+,}{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",$(put "$WORK/layer-$number.tar.gz")}"
  done
  printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%s]}}' "$diffs" >"$WORK/config"
  config=$(put "$WORK/config")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[%s]}' \
    "$config" "$layers" >"$WORK/manifest"
  manifest=$(put "$WORK/manifest")
  printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s,"annotations":{"org.opencontainers.image.ref.name":"one"}}]}' \
    "$manifest" >"$layout/index.json"
}

# put FILE: stores it as a blob, prints the fields that a descriptor has of it
put() {
  local sum; sum=$(sha256sum <"$1" | cut -d' ' -f1)
  cp "$1" "$WORK/image/blobs/sha256/$sum"
  printf '"digest":"sha256:%s","size":%s' "$sum" "$(stat -c %s "$1")"
}

manifest_digest() { echo "sha256:$(sha256sum <"$WORK/manifest" | cut -d' ' -f1)"; }
layer_digest() { echo "sha256:$(sha256sum <"$WORK/layer-$1.tar.gz" | cut -d' ' -f1)"; }

start_peer() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts"
  [ -e /dev/fuse ] || skip "there is no /dev/fuse"
  command -v containerd >/dev/null && command -v ctr-remote >/dev/null || skip "needs Debian's containerd and stargz-snapshotter (ctr-remote)"
  [ ! -e "$WORK/peer.pid" ] || return 0
  mkdir -p "$WORK/peer-root" "$WORK/peer-run"
  cat >"$WORK/peer.toml" <<TOML
version = 2
root = "$WORK/peer-root"
state = "$WORK/peer-run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$WORK/peer-run/containerd.sock"
[proxy_plugins.stargz]
  type = "snapshot"
  address = "$WORK/snapshotter.sock"
TOML
  containerd --config "$WORK/peer.toml" >>"$WORK/peer.log" 2>&1 3>&- &
  echo $! >"$WORK/peer.pid"
  disown $!
  for _ in $(seq 100); do p version >/dev/null 2>&1 && return 0; sleep 0.1; done
  tail -n 5 "$WORK/peer.log"
  return 1
}

start_snapshotter() { # start_snapshotter NAME [OPTIONS…]: with a directory of that name
  local name=$1
  shift
  [ ! -e "$WORK/snapshotter.pid" ] || end snapshotter
  "$DAEMON" snapshotter serve --backend fuse --root "$WORK/$name" --address "$WORK/snapshotter.sock" --log-level debug \
    --containerd "$WORK/peer-run/containerd.sock" "$@" >>"$WORK/snapshotter.log" 2>&1 3>&- &
  echo $! >"$WORK/snapshotter.pid"
  disown $!
  for _ in $(seq 150); do
    if p snapshots --snapshotter stargz prepare ready >/dev/null 2>&1; then
      p snapshots --snapshotter stargz rm ready
      return 0
    fi
    sleep 0.1
  done
  tail -n 5 "$WORK/snapshotter.log"
  return 1
}

lazily() { ctr-remote -a "$WORK/peer-run/containerd.sock" images rpull --plain-http "$(image)"; }
forget() { p images rm --sync "$(image)" >/dev/null; }

@test "without indexes there is nothing to list" {
  run "$DAEMON" index ls "$(image)"
  [ "$status" -eq 0 ] && [[ "$output" == "no artifact with indexes refers to $(registry)/team/app@$(manifest_digest)" ]] || { echo "$output"; false; }
  run --separate-stderr "$DAEMON" index ls --json "$(image)"
  [ "$output" = "[]" ]
}

@test "a layer without an index is not lazy, and lazy status says what was looked for" {
  start_peer
  start_snapshotter first --index-trust repository
  lazily >/dev/null
  run "$DAEMON" lazy status --root "$WORK/first"
  [ "$status" -eq 0 ] && [[ "$output" == *"no snapshot is lazy"*"not lazy:"*"no index of layer $(layer_digest 1)"*"no artifact with indexes refers to the image"* ]] ||
    { echo "$output"; false; }
  "$DAEMON" lazy status --json --root "$WORK/first" | jq -e '.images == [] and ([.declined[].obstacle] | unique == ["no-index"])'
  forget
}

@test "index push makes one artifact that refers to the image" {
  run --separate-stderr "$DAEMON" index push --json "$(image)"
  [ "$status" -eq 0 ] || { echo "$output $stderr"; false; }
  echo "$output" >"$WORK/pushed.json"
  jq -e --arg subject "$(manifest_digest)" '.subject == $subject and (.layers | length) == 2 and .skipped == [] and ([.layers[].isBuilt] | all)' "$WORK/pushed.json"
  local artifact; artifact=$(jq -r .artifact "$WORK/pushed.json")
  curl -fs "http://$(registry)/v2/team/app/referrers/$(manifest_digest)" >"$WORK/referrers.json"
  jq -e --arg artifact "$artifact" \
    '[.manifests[] | select(.artifactType == "application/vnd.containerd-ref.layer-indexes.v1") | .digest] == [$artifact]' "$WORK/referrers.json"
  curl -fs -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$(registry)/v2/team/app/manifests/$artifact" >"$WORK/artifact.json"
  [ "sha256:$(sha256sum <"$WORK/artifact.json" | cut -d' ' -f1)" = "$artifact" ]
  jq -e --arg subject "$(manifest_digest)" '.subject.digest == $subject and .config.mediaType == "application/vnd.oci.empty.v1+json"' "$WORK/artifact.json"
  [ "$(jq -r '.layers[].annotations["containerd-ref.layer-index.layer"]' "$WORK/artifact.json")" = "$(layer_digest 1; layer_digest 2)" ]
  # What was pushed is an index of the layer.
  curl -fs "http://$(registry)/v2/team/app/blobs/$(jq -r '.layers[0].digest' "$WORK/artifact.json")" >"$WORK/one.idx"
  "$DAEMON" index verify "$WORK/one.idx" "$WORK/layer-1.tar.gz"
}

@test "pushing again pushes nothing, and it is listed once" {
  run --separate-stderr "$DAEMON" index push --json "$(image)"
  [ "$status" -eq 0 ] && jq -e --slurpfile first "$WORK/pushed.json" '.pushed == 0 and .artifact == $first[0].artifact' <<<"$output" || { echo "$output"; false; }
  run "$DAEMON" index ls "$(image)"
  [ "$status" -eq 0 ] && [ "${#lines[@]}" -eq 2 ] && [[ "${lines[1]}" == "$(jq -r .artifact "$WORK/pushed.json")"*"containerd-ref"*"2 of 2"* ]] || { echo "$output"; false; }
  "$DAEMON" index ls --json "$(image)" | jq -e '.[0].layers == 2 and .[0].of == 2'
}

@test "an image that is not there, and a platform that it has not, are named" {
  run "$DAEMON" index push "$(registry)/team/none:1"
  [ "$status" -eq 1 ] && [[ "$output" == *"team/none:1"*"not found"* ]] || { echo "$output"; false; }
  run "$DAEMON" index push --platform linux "$(image)"
  [ "$status" -ne 0 ] && [[ "$output" == *'--platform "linux"'* ]] || { echo "$output"; false; }
  run "$DAEMON" lazy status --root "$WORK/nowhere"
  [ "$status" -eq 1 ] && [[ "$output" == *"$WORK/nowhere"*"not found"* ]] || { echo "$output"; false; }
}

@test "a snapshotter that has never seen the image is lazy with what it finds there, and asks once" {
  start_peer
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' >"$WORK/metrics.port"
  start_snapshotter second --metrics ":$(cat "$WORK/metrics.port")" --no-background
  : >"$WORK/access.log"
  lazily >/dev/null
  run cat "$WORK/access.log"
  [ "$(grep -c "GET /v2/team/app/referrers/" <<<"$output")" -eq 1 ] || { echo "$output"; false; }
  ! grep -q "GET /v2/team/app/blobs/$(layer_digest 1)" <<<"$output" || false
  "$DAEMON" lazy status --json --root "$WORK/second" >"$WORK/status.json"
  jq -e '(.images | length) == 1 and ([.images[0].layers[].state] | unique == ["filling"]) and ([.images[0].layers[].here] | add) == 0 and .declined == []' \
    "$WORK/status.json" || { cat "$WORK/status.json"; false; }
  # Something stands on it, and reads.
  top=$(p snapshots --snapshotter stargz ls | awk '$3 == "Committed" { print $1 }' | while read -r name; do
    p snapshots --snapshotter stargz ls | awk -v name="$name" '$2 == name { found = 1 } END { exit found }' && echo "$name"
  done | head -n 1)
  mkdir -p "$WORK/mnt"
  p snapshots --snapshotter stargz prepare --target "$WORK/mnt" reader "$top" >"$WORK/mount.sh"
  sh -e "$WORK/mount.sh"
  [ "$(cat "$WORK/mnt/name-2")" = "file 2" ]
  cmp "$WORK/mnt/noise-1" "$WORK/tree-1/noise-1"
  umount "$WORK/mnt"
  p snapshots --snapshotter stargz rm reader
  run "$DAEMON" lazy status --root "$WORK/second"
  [[ "$output" == *"$(registry)/team/app@$(manifest_digest)"*"LAYER"*"mounted at $WORK/second/lazy/"* ]] || { echo "$output"; false; }
}

@test "its figures are there for Prometheus" {
  [ -e "$WORK/status.json" ] || skip "needs the snapshotter of the test before"
  local address
  address=http://127.0.0.1:$(cat "$WORK/metrics.port")/metrics
  curl -fsS "$address" >"$WORK/metrics"
  grep -F '# TYPE containerd_ref_layer_fetched_bytes_total counter' "$WORK/metrics"
  fetched=$(sed -nE "s/^containerd_ref_layer_fetched_bytes_total\{.*layer=\"$(layer_digest 1)\"\} ([0-9]+)$/\1/p" "$WORK/metrics")
  [ "$fetched" -gt 5000000 ]
  reads=$(sed -nE 's/^containerd_ref_mount_reads_total\{.*result="bytes"\} ([0-9]+)$/\1/p' "$WORK/metrics")
  [ "$reads" -gt 0 ]
  grep -E 'containerd_ref_mount_reads_total\{.*result="error"\} 0$' "$WORK/metrics"
  run curl -s -o /dev/null -w '%{http_code}' "${address%/metrics}/"
  [ "$output" = 404 ]
  # A server that takes its place has its address too.
  before=$(grep -c msg=serving "$WORK/snapshotter.log")
  kill -HUP "$(cat "$WORK/snapshotter.pid")"
  for _ in $(seq 200); do [ "$(grep -c msg=serving "$WORK/snapshotter.log")" -eq "$before" ] || break; sleep 0.1; done
  # containerd's own connection broke with it, and is made again by and by.
  for _ in $(seq 150); do ! p snapshots --snapshotter stargz ls >/dev/null 2>&1 || break; sleep 0.1; done
  curl -fsS --retry 50 --retry-delay 1 --retry-connrefused --retry-max-time 10 "$address" | grep -E '^containerd_ref_layer_here_bytes\{.*\} [1-9]'
  forget
}

@test "with --index-trust local nobody's index is believed, and the registry is not asked for one" {
  start_peer
  start_snapshotter third --index-trust local
  : >"$WORK/access.log"
  lazily >/dev/null
  ! grep -q /referrers/ "$WORK/access.log" || false
  "$DAEMON" lazy status --root "$WORK/third" | grep -F "none of others is believed"
  forget
}

@test "another repository is looked into if any may be believed, and if it was named" {
  start_peer
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:one" "docker://$(registry)/team/other:1"
  "$DAEMON" index push --to "$(registry)/shared/indexes" "$(registry)/team/other:1" >/dev/null
  "$DAEMON" index ls --in "$(registry)/shared/indexes" "$(registry)/team/other:1" | grep -F "2 of 2"
  "$DAEMON" index ls "$(registry)/team/other:1" | grep -F "no artifact with indexes"
  start_snapshotter fourth --index-trust any --index-repository "$(registry)/shared/indexes"
  ctr-remote -a "$WORK/peer-run/containerd.sock" images rpull --plain-http "$(registry)/team/other:1" >/dev/null
  "$DAEMON" lazy status --json --root "$WORK/fourth" | jq -e '(.images | length) == 1'
  p images rm --sync "$(registry)/team/other:1" >/dev/null
}

@test "mirrors and credentials are those of hosts.toml and config.json" {
  mkdir -p "$WORK/certs.d/registry.test"
  printf 'server = "http://%s"\n' "$(registry)" >"$WORK/certs.d/registry.test/hosts.toml"
  "$DAEMON" index ls --hosts-dir "$WORK/certs.d" registry.test/team/app:1 | grep -F "2 of 2"
  echo 'server = 1' >"$WORK/certs.d/registry.test/hosts.toml"
  run "$DAEMON" index ls --hosts-dir "$WORK/certs.d" registry.test/team/app:1
  [ "$status" -eq 1 ] && [[ "$output" == *"$WORK/certs.d/registry.test/hosts.toml"* ]] || { echo "$output"; false; }
  command -v docker-registry >/dev/null || skip "needs Debian's docker-registry for the credentials"
  start_guarded
  skopeo copy -q --dest-tls-verify=false --dest-creds user:secret "oci:$WORK/image:one" "docker://$(guarded)/team/app:1"
  run "$DAEMON" index push --registry-config "$WORK/tree-1" "$(guarded)/team/app:1"
  [ "$status" -eq 1 ] && [[ "$output" == *unauthenticated* ]] || { echo "$output"; false; }
  mkdir -p "$WORK/docker"
  printf '{"auths":{"%s":{"auth":"%s"}}}' "$(guarded)" "$(printf user:secret | base64)" >"$WORK/docker/config.json"
  "$DAEMON" index push --registry-config "$WORK/docker" "$(guarded)/team/app:1" | grep -F "refers to $(manifest_digest)"
  "$DAEMON" index ls --registry-config "$WORK/docker" "$(guarded)/team/app:1" | grep -F "2 of 2"
}

guarded() { echo "127.0.0.1:$(cat "$WORK/guarded.port")"; }

start_guarded() { # a registry that wants user:secret
  # A line as htpasswd -B writes it.
  perl -e 'print "user:", crypt("secret", "\$2b\$05\$abcdefghijklmnopqrstuu"), "\n"' >"$WORK/htpasswd"
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' >"$WORK/guarded.port"
  cat >"$WORK/guarded.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/guarded}}
http: {addr: 127.0.0.1:$(cat "$WORK/guarded.port")}
auth: {htpasswd: {realm: test, path: $WORK/htpasswd}}
YAML
  docker-registry serve "$WORK/guarded.yml" >"$WORK/guarded.log" 2>&1 3>&- &
  echo $! >"$WORK/guarded.pid"
  disown $!
  for _ in $(seq 100); do (exec 4<>"/dev/tcp/127.0.0.1/$(cat "$WORK/guarded.port")") 2>/dev/null && return 0; sleep 0.1; done
  tail -n 5 "$WORK/guarded.log"
  return 1
}
