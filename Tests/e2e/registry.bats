#!/usr/bin/env bats
# The registry that the demonstrations use, with skopeo and curl as clients. Needs no root.

load lib

setup_file() {
  WORK=$(mktemp -d /tmp/ref-registry-XXXXXX)
  export WORK
  make_layout
  serve
}
teardown_file() {
  kill "$(cat "$WORK/registry.pid")" 2>/dev/null || true
  rm -rf "$WORK"
}

serve() {
  : >"$WORK/address"
  "$DAEMON" registry serve --root "$WORK/registry" --listen 127.0.0.1:0 >"$WORK/address" 2>"$WORK/registry.log" 3>&- &
  echo $! >"$WORK/registry.pid"
  disown $!
  for _ in $(seq 100); do [ -s "$WORK/address" ] && return 0; sleep 0.1; done
  cat "$WORK/registry.log"
  return 1
}
address() { cat "$WORK/address"; }

# An image of one layer, written by hand: no root and no umoci needed.
make_layout() {
  local layout=$WORK/image config layer manifest
  mkdir -p "$layout/blobs/sha256" "$WORK/tree"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  head -c 2000000 /dev/urandom >"$WORK/tree/data"
  tar -C "$WORK/tree" -cf "$WORK/layer.tar" data
  local diff; diff=$(sha256sum <"$WORK/layer.tar" | cut -d' ' -f1)
  # Compressed already, or skopeo would do it and make another image of it.
  gzip -n "$WORK/layer.tar"
  layer=$(put "$WORK/layer.tar.gz")
  printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$diff" >"$WORK/config"
  config=$(put "$WORK/config")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",%s}]}' \
    "$config" "$layer" >"$WORK/manifest"
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

push() { skopeo copy -q --dest-tls-verify=false "$@" "oci:$WORK/image:one" "docker://$(address)/team/app:1"; }

@test "it prints where it listens, with the port that it was given" {
  [[ "$(address)" =~ ^127\.0\.0\.1:[1-9][0-9]*$ ]]
  [ "$(curl -s -o /dev/null -w '%{http_code}' "http://$(address)/v2/")" = 200 ]
}

@test "skopeo pushes an image and gets back the same bytes" {
  push
  skopeo copy -q --src-tls-verify=false "docker://$(address)/team/app:1" "oci:$WORK/back:one"
  diff -r "$WORK/image/blobs" "$WORK/back/blobs"
  [ "$(skopeo inspect --tls-verify=false --raw "docker://$(address)/team/app:1" | sha256sum)" = "$(sha256sum <"$WORK/manifest")" ]
}

@test "skopeo pushes the same image in Docker's format" {
  skopeo copy -q --dest-tls-verify=false --format v2s2 "oci:$WORK/image:one" "docker://$(address)/docker:1"
  run curl -sI "http://$(address)/v2/docker/manifests/1"
  [[ "$output" == *"application/vnd.docker.distribution.manifest.v2+json"* ]]
}

@test "what it lists is what was pushed" {
  [ "$(curl -s "http://$(address)/v2/_catalog")" = '{"repositories":["docker","team/app"]}' ]
  [ "$(skopeo list-tags --tls-verify=false "docker://$(address)/team/app" | jq -c .Tags)" = '["1"]' ]
}

@test "kill -9, a start on the same directory: everything is there" {
  kill -KILL "$(cat "$WORK/registry.pid")"
  serve
  rm -rf "$WORK/back"
  skopeo copy -q --src-tls-verify=false "docker://$(address)/team/app:1" "oci:$WORK/back:one"
  diff -r "$WORK/image/blobs" "$WORK/back/blobs"
}

@test "kill -9 in the middle of a push: the push again succeeds, and nothing half is served" {
  head -c 8000000 /dev/urandom >"$WORK/large"
  sum=sha256:$(sha256sum <"$WORK/large" | cut -d' ' -f1)
  location=$(curl -si -X POST "http://$(address)/v2/cut/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" {print $2}')
  curl -s -X PATCH --limit-rate 1M -H 'Expect:' -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/large" "http://$(address)$location" >/dev/null 2>&1 3>&- &
  client=$!
  for _ in $(seq 1000); do [ "$(stat -c %s "$WORK/registry/uploads/${location##*/}/data" || echo 0)" -gt 1000000 ] && break; sleep 0.02; done
  kill -KILL "$(cat "$WORK/registry.pid")"
  wait $client || true
  serve
  [ "$(curl -s -o /dev/null -w '%{http_code}' "http://$(address)/v2/cut/blobs/$sum")" = 404 ]
  # The upload goes on where the registry says that it stopped.
  end=$(curl -si "http://$(address)$location" | tr -d '\r' | awk 'tolower($1) == "range:" {print $2}' | cut -d- -f2)
  [ "$end" -gt 1000000 ]
  tail -c +$((end + 2)) "$WORK/large" >"$WORK/rest"
  run curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/rest" "http://$(address)$location?digest=$sum"
  [ "$output" = 201 ]
  curl -s "http://$(address)/v2/cut/blobs/$sum" | cmp - "$WORK/large"
}

@test "an address that others can reach is refused" {
  run "$DAEMON" registry serve --root "$WORK/other" --listen 0.0.0.0:0
  [ "$status" -ne 0 ]
  [[ "$output" == *"loopback"* ]]
}

@test "a port that is taken is an error that names it" {
  run timeout 10 "$DAEMON" registry serve --root "$WORK/other" --listen "$(address)"
  [ "$status" -eq 1 ]
  [[ "$output" == *"$(address)"* ]]
}

@test "SIGTERM ends it in order" {
  "$DAEMON" registry serve --root "$WORK/other" --listen 127.0.0.1:0 >"$WORK/other.address" 2>/dev/null 3>&- &
  pid=$!
  for _ in $(seq 100); do [ -s "$WORK/other.address" ] && break; sleep 0.1; done
  kill -TERM $pid
  status=0
  wait $pid || status=$?
  [ "$status" -eq 0 ]
}

@test "its directory may be named by one letter, from where it is started" {
  mkdir -p "$WORK/here"
  : >"$WORK/here/address"
  (cd "$WORK/here" && exec "$DAEMON" registry serve --root r --listen 127.0.0.1:0 >address 2>registry.log 3>&-) &
  local pid=$!
  for _ in $(seq 100); do [ ! -s "$WORK/here/address" ] || break; sleep 0.1; done
  run timeout 20 skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:one" "docker://$(sed 's,^http://,,; s,/$,,; q' "$WORK/here/address")/app:1"
  kill "$pid"
  [ "$status" -eq 0 ] || { echo "$status $output"; cat "$WORK/here/registry.log"; false; }
}
