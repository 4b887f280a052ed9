#!/usr/bin/env bats
# Indexes of layers by the command line, beside tar and gzip. Needs no root.

load lib
bats_require_minimum_version 1.5.0

setup_file() {
  export WORK=$(mktemp -d /tmp/ref-index-XXXXXX)
  mkdir -p "$WORK/tree/etc" "$WORK/tree/usr"
  seq 1 200000 >"$WORK/tree/usr/numbers"
  head -c 3000000 /dev/urandom >"$WORK/tree/usr/noise"
  echo "a line" >"$WORK/tree/etc/motd"
  tar -C "$WORK/tree" -cf "$WORK/layer.tar" .
  gzip -k "$WORK/layer.tar"
}
teardown_file() { rm -rf "$WORK"; }

@test "an index is made, is right, and gives every file back" {
  for layer in layer.tar layer.tar.gz; do
    "$DAEMON" index build "$WORK/$layer"
    "$DAEMON" index verify "$WORK/$layer.idx" "$WORK/$layer"
    for file in usr/numbers usr/noise etc/motd; do
      "$DAEMON" index cat "$WORK/$layer.idx" "$WORK/$layer" "$file" | cmp - "$WORK/tree/$file"
    done
  done
}

@test "its facts are those of the layer" {
  run --separate-stderr "$DAEMON" index inspect --json "$WORK/layer.tar.gz.idx"
  [ "$status" -eq 0 ]
  [ "$(jq -r .blob <<<"$output")" = "sha256:$(sha256sum <"$WORK/layer.tar.gz" | cut -d ' ' -f 1)" ]
  [ "$(jq -r .diffID <<<"$output")" = "sha256:$(sha256sum <"$WORK/layer.tar" | cut -d ' ' -f 1)" ]
  [ "$(jq -r .digest <<<"$output")" = "sha256:$(sha256sum <"$WORK/layer.tar.gz.idx" | cut -d ' ' -f 1)" ]
  [ "$(jq .files <<<"$output")" -eq 3 ]
  "$DAEMON" index inspect --files "$WORK/layer.tar.gz.idx" | grep -F ./usr/numbers
}

@test "a small file is read out of a part of the layer" {
  run --separate-stderr "$DAEMON" index cat --facts "$WORK/layer.tar.gz.idx" "$WORK/layer.tar.gz" etc/motd
  [ "$output" = "a line" ]
  read=$(sed -E 's/.* out of ([0-9]+) of .*/\1/' <<<"$stderr")
  [ "$read" -lt $(($(stat -c %s "$WORK/layer.tar.gz") / 2)) ]
}

@test "a damaged layer, another layer and a damaged index are told, each by name" {
  cp "$WORK/layer.tar.gz" "$WORK/bad.gz"
  printf '\x55' | dd of="$WORK/bad.gz" bs=1 seek=1000000 conv=notrunc status=none
  run "$DAEMON" index verify "$WORK/layer.tar.gz.idx" "$WORK/bad.gz"
  [ "$status" -eq 1 ] && [[ "$output" == *"expected sha256:"* ]] || { echo "$output"; false; }
  run "$DAEMON" index verify "$WORK/layer.tar.gz.idx" "$WORK/layer.tar"
  [ "$status" -eq 1 ] && [[ "$output" == *"layer.tar has "*" bytes"* ]] || { echo "$output"; false; }
  head -c 5000 "$WORK/layer.tar.gz.idx" >"$WORK/bad.idx"
  run "$DAEMON" index inspect "$WORK/bad.idx"
  [ "$status" -eq 1 ] && [[ "$output" == *"$WORK/bad.idx: layer index"* ]] || { echo "$output"; false; }
  run "$DAEMON" index build --digest "sha256:$(printf '0%.0s' {1..64})" -o "$WORK/never.idx" "$WORK/layer.tar.gz"
  [ "$status" -eq 1 ] && [ ! -e "$WORK/never.idx" ]
  run "$DAEMON" index cat "$WORK/layer.tar.gz.idx" "$WORK/layer.tar.gz" no/such
  [ "$status" -eq 1 ] && [[ "$output" == *'"no/such"'*"not found"* ]] || { echo "$output"; false; }
}

@test "layers are mounted, read as they are unpacked, and unmounted at the end" {
  [ "$(id -u)" = 0 ] || skip "mounting needs root"
  [ -e /dev/fuse ] || skip "there is no /dev/fuse"
  mkdir "$WORK/upper" "$WORK/mnt"
  echo more >"$WORK/upper/more"
  mkdir "$WORK/upper/etc"
  : >"$WORK/upper/etc/.wh.motd"
  tar -C "$WORK/upper" -cf "$WORK/upper.tar" .
  "$DAEMON" index build "$WORK/upper.tar"
  "$DAEMON" index mount "$WORK/layer.tar.gz.idx" "$WORK/layer.tar.gz" "$WORK/upper.tar.idx" "$WORK/upper.tar" "$WORK/mnt" >"$WORK/said" 2>"$WORK/log" 3>&- &
  pid=$!
  for _ in $(seq 300); do [ ! -s "$WORK/said" ] || break; sleep 0.1; done
  diff -r "$WORK/mnt/usr" "$WORK/tree/usr"
  [ "$(cat "$WORK/mnt/more")" = more ]
  [ ! -e "$WORK/mnt/etc/motd" ]
  kill "$pid"
  wait "$pid"
  ! findmnt "$WORK/mnt" || false
  ! grep -v ': complete and verified, ' "$WORK/log" || false
}

@test "large files that lie unpacked are read by the kernel itself, by either transport" {
  [ "$(id -u)" = 0 ] || skip "mounting needs root"
  [ -e /dev/fuse ] || skip "there is no /dev/fuse"
  mkdir "$WORK/large" "$WORK/through"
  head -c 20000000 /dev/urandom >"$WORK/large/noise"
  tar -C "$WORK/large" -cf "$WORK/large.tar" .
  "$DAEMON" index build "$WORK/large.tar"
  for transport in raw libfuse; do
    "$DAEMON" index mount --transport "$transport" --files "$WORK/large" "$WORK/large.tar.idx" "$WORK/large.tar" "$WORK/through" >"$WORK/said" 2>"$WORK/log" 3>&- &
    pid=$!
    for _ in $(seq 300); do [ ! -s "$WORK/said" ] || break; sleep 0.1; done
    cmp "$WORK/through/noise" "$WORK/large/noise"
    kill "$pid"
    wait "$pid"
    [ ! -s "$WORK/log" ] || { cat "$WORK/log"; false; }
    grep -x 'opens passed through to the kernel: 1, others: 0' "$WORK/said" || { cat "$WORK/said"; false; }
  done
  run "$DAEMON" index mount --files "$WORK/large" --files "$WORK/large" "$WORK/large.tar.idx" "$WORK/large.tar" "$WORK/through"
  [ "$status" -ne 0 ] && [[ "$output" == *"--files is there 2 times for 1 layers"* ]] || { echo "$output"; false; }
  run "$DAEMON" index mount --files "$WORK/none" "$WORK/large.tar.idx" "$WORK/large.tar" "$WORK/through"
  [ "$status" -ne 0 ] && [[ "$output" == *"$WORK/none"* ]] || { echo "$output"; false; }
}
