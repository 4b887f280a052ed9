#!/usr/bin/env bats
# Debian's containerd with our lazy snapshotter as a proxy plugin, against an embedded registry. The plugin is called "stargz", because that is the name
# that ctr-remote (Debian's stargz-snapshotter, a ctr that asks for remote snapshots) uses.

load lib
bats_require_minimum_version 1.5.0

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  [ -e /dev/fuse ] || skip "there is no /dev/fuse"
  command -v containerd >/dev/null && command -v ctr-remote >/dev/null || skip "needs Debian's containerd and stargz-snapshotter (ctr-remote)"
  WORK=$(mktemp -d /tmp/ref-fuse-XXXXXX)
  export WORK
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
  start_embedded
  "$ROOT_DIR/scripts/make-image.sh" "$WORK/image" demo
  # A layer of its own with a large file: what is fetched of it can be seen.
  mkdir -p "$WORK/large/large"
  head -c 24000000 /dev/urandom >"$WORK/large/large/noise"
  seq 1 300000 >"$WORK/large/large/numbers"
  umoci insert --image "$WORK/image:demo" "$WORK/large" / >/dev/null 2>&1
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:demo" "docker://$(registry)/demo:latest"
  for _ in $(seq 100); do p version >/dev/null 2>&1 && break; sleep 0.1; done
  start_snapshotter
}

teardown_file() {
  [ -n "$WORK" ] || return 0
  local id name
  for id in $(p tasks ls -q 2>/dev/null); do p tasks rm -f "$id" >/dev/null 2>&1 || true; done
  for name in snapshotter registry peer; do end "$name"; done
  for id in $(findmnt -rno TARGET | grep "^$WORK" | sort -r); do umount -l "$id" || true; done
  if [ -n "${KEEP_WORK:-}" ]; then echo "# kept $WORK" >&3; else rm -rf "$WORK"; fi
}

# The newest that serves a snapshot; one in which a layer is being unpacked has a negative number.
union_server() { pgrep -n -f "snapshotter union --serve .*$WORK/snapshotter/union/[0-9]"; }

halts_by_host() { [ "$(cat /sys/devices/system/cpu/cpuidle/current_driver)" = haltpoll ] && [ "$(nproc --all)" -le 8 ] && [ -w /dev/cpu_dma_latency ]; }

# By a thread of its own with descriptors of its own.
asks_processors() { ls -l /proc/"$1"/task/*/fd | grep -q /dev/cpu_dma_latency; }

# What a test has left that failed does not fail those that follow.
setup() {
  local id
  rm -f "$WORK/calling"
  umount -l "$WORK/mounted" 2>/dev/null || true
  kill -0 "$(cat "$WORK/registry.pid")" 2>/dev/null || start_embedded
  kill -0 "$(cat "$WORK/snapshotter.pid")" 2>/dev/null || start_snapshotter
  for id in $(p tasks ls -q); do p tasks rm -f "$id" >/dev/null; done
  for id in $(p containers ls -q); do p containers rm "$id"; done
  for id in looks making made plain ready; do p snapshots --snapshotter stargz rm $id 2>/dev/null || true; done
}

p() { ctr -a "$WORK/peer-run/containerd.sock" "$@"; }
registry() { cat "$WORK/registry.address"; }
image() { echo "$(registry)/demo:latest"; }
lazily() { ctr-remote -a "$WORK/peer-run/containerd.sock" images rpull --plain-http "$(image)"; }
blobs_fetched() { grep -c 'GET /v2/demo/blobs/' "$WORK/access.log" || true; }

end() { # end NAME [SIGNAL]
  local pid
  pid=$(cat "$WORK/$1.pid")
  kill -"${2:-TERM}" "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$pid"
}

start_embedded() { # start_embedded [OPTIONS…]: at the same address each time
  local address=127.0.0.1:0
  [ ! -s "$WORK/registry.address" ] || address=$(registry)
  : >"$WORK/registry.said"
  "$DAEMON" registry serve --root "$WORK/registry" --listen "$address" --access-log "$WORK/access.log" "$@" >"$WORK/registry.said" 2>>"$WORK/registry.log" 3>&- &
  echo $! >"$WORK/registry.pid"
  disown $!
  for _ in $(seq 100); do [ ! -s "$WORK/registry.said" ] || break; sleep 0.1; done
  sed 's,^http://,,; s,/$,,' "$WORK/registry.said" | head -n 1 >"$WORK/registry.address"
}

start_snapshotter() { # start_snapshotter [OPTIONS…]
  "$DAEMON" snapshotter serve --backend fuse --root "$WORK/snapshotter" --address "$WORK/snapshotter.sock" \
    --containerd "$WORK/peer-run/containerd.sock" "$@" >>"$WORK/snapshotter.log" 2>&1 3>&- &
  echo $! >"$WORK/snapshotter.pid"
  disown $!
  # containerd tries again by and by, and gives each try little time.
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

# The one that serves, not the one that stands by.
worker() { # worker [SUPERVISOR]: nor one that is still being loaded, nor a dead one
  local pid
  for _ in $(seq 200); do
    if pid=$(pgrep -x -r R,S,D,I -P "${1:-$(cat "$WORK/snapshotter.pid")}" containerd-ref) && [ "$(wc -l <<<"$pid")" = 1 ]; then
      echo "$pid"
      return 0
    fi
    sleep 0.05
  done
  return 1
}

keeper() { pgrep -f "snapshotter keep --root $WORK/snapshotter\$"; }

times_served() { grep -c msg=serving "$WORK/snapshotter.log" || true; }

# containerd's own connection broke when the server went. It tries again by and by.
connected() { for _ in $(seq 150); do ! p snapshots --snapshotter stargz prepare ready >/dev/null 2>&1 || break; sleep 0.1; done; p snapshots --snapshotter stargz rm ready; }

said() { # said TEXT: in the snapshotter's log, within two minutes: some of its work gives way to all other
  for _ in $(seq 1200); do ! grep -qF "$1" "$WORK/snapshotter.log" || return 0; sleep 0.1; done
  tail -n 5 "$WORK/snapshotter.log"
  return 1
}

indexes() { find "$WORK/snapshotter/indexes" -name '*.idx' 2>/dev/null | wc -l; }

# A collection that is under way when containerd is asked for one is taken for it: the snapshotter may be told a moment later.
forget_image() {
  p images rm --sync "$(image)" >/dev/null
  for _ in $(seq 100); do things_left >/dev/null || break; sleep 0.1; done
  ! things_left || { tail -n 20 "$WORK/snapshotter.log"; false; }
}

things_left() { # what there still is of images: snapshots, layers, mounts
  { p snapshots --snapshotter stargz ls | tail -n +2; ls "$WORK/snapshotter/layers/sha256" 2>/dev/null; findmnt -rno TARGET | grep "^$WORK/snapshotter"; } | grep .
}

@test "an image that is new is pulled as ever, and its layers get indexes" {
  p images pull --plain-http --snapshotter stargz "$(image)" >/dev/null
  local layers
  layers=$(skopeo inspect "oci:$WORK/image:demo" | jq '.Layers | length')
  echo "$layers" >"$WORK/layers"
  # They are made with what nobody else wants of the machine.
  for _ in $(seq 3000); do [ "$(indexes)" -lt "$layers" ] || break; sleep 0.1; done
  [ "$(indexes)" -eq "$layers" ]
  run --separate-stderr p run --rm --snapshotter stargz "$(image)" ordinary sha256sum /large/noise
  [ "${output%% *}" = "$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)" ]
  forget_image
}

@test "the next pull fetches the manifest and the config alone, and the container runs" {
  : >"$WORK/access.log"
  lazily
  # The config is the one blob.
  [ "$(blobs_fetched)" -eq 1 ] || { cat "$WORK/access.log"; false; }
  run --separate-stderr p run --rm --snapshotter stargz "$(image)" lazy sh -c 'sha256sum /large/noise; tail -n 1 /large/numbers; cat /data/fresh/five; ls /data; id'
  [ "$status" -eq 0 ]
  [ "${lines[0]%% *}" = "$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)" ]
  [[ "$output" == *300000* && "$output" == *five* ]]
  # Deleted by upper layers.
  [[ "$output" != *old* && "$output" != *linked-twice* ]]
}

@test "layers are completed, checked and unpacked in the background; later containers stand on directories" {
  said "complete and verified"
  for _ in $(seq 1800); do [ "$(grep -c "is in a plain directory now" "$WORK/snapshotter.log")" -lt "$(cat "$WORK/layers")" ] || break; sleep 0.1; done
  [ "$(grep -c "is in a plain directory now" "$WORK/snapshotter.log")" -ge "$(cat "$WORK/layers")" ]
  p run -d --snapshotter stargz "$(image)" later sleep 1000
  local pid
  pid=$(p tasks ls | awk '$1 == "later" {print $2}')
  # The root is an overlay of directories, none of which is a FUSE mount.
  options=$(awk '$5 == "/"' "/proc/$pid/mountinfo")
  [[ "$options" == *"/snapshots/"*"/fs"* && "$options" != *"/lazy/"* ]]
  p tasks rm -f later >/dev/null
  p containers rm later
  forget_image
  # Nothing of it is left but the indexes.
  [ -n "$(find "$WORK/snapshotter/indexes" -name '*.idx')" ]
}

@test "our own client pulls as little from Debian's containerd" {
  run "$DAEMON" pull --address "$WORK/peer-run/containerd.sock" --snapshotter stargz "$(image)"
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  [[ "$output" == *"lazy $(cat "$WORK/layers") of $(cat "$WORK/layers") layers"* ]] || { echo "$output"; false; }
  # Filling in the background may have begun: the content store tells what was pulled, manifest and config.
  [ "$(p content ls -q | wc -l)" -eq 2 ]
  run --separate-stderr p run --rm --snapshotter stargz "$(image)" ours cat /data/fresh/five
  [ "$output" = five ]
  forget_image
}

@test "a reader loses nothing when the server is killed again and again, and when it is replaced" {
  end snapshotter
  start_snapshotter --no-background
  lazily >/dev/null
  p run -d --snapshotter stargz "$(image)" reader sh -c 'while true; do for f in /large/noise /large/numbers /bin/busybox; do cat $f >/dev/null || exit 9; done; echo x >>/written; done'
  local before mount i
  mount=$(findmnt -rno TARGET | grep "^$WORK/snapshotter/lazy")
  for i in $(seq 10); do
    kill -KILL "$(worker)"
    # Past the page cache.
    timeout 20 python3 - "$mount/large/noise" "$i" <<'PYTHON'
import os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
at = int(sys.argv[2]) * 1000000
assert os.pread(f, 4096, at) == open(os.environ["WORK"] + "/large/large/noise", "rb").read()[at:at + 4096]
PYTHON
  done
  connected
  for i in $(seq 3); do
    before=$(times_served)
    kill -HUP "$(cat "$WORK/snapshotter.pid")"
    for _ in $(seq 400); do [ "$(times_served)" -eq "$before" ] || break; sleep 0.05; done
    timeout 20 cmp "$mount/large/numbers" "$WORK/large/large/numbers"
  done
  connected
  p tasks ls | grep "^reader " | grep RUNNING
  p tasks rm -f reader >/dev/null
  p containers rm reader
}

@test "who asks the server while it is replaced is answered" {
  local calling i before
  : >"$WORK/calling"
  while [ -e "$WORK/calling" ]; do
    { p snapshots --snapshotter stargz prepare call >/dev/null && p snapshots --snapshotter stargz rm call && echo well; } 2>&1 || sleep 1
  done >"$WORK/called" 3>&- &
  calling=$!
  for i in $(seq 5); do
    before=$(times_served)
    kill -HUP "$(cat "$WORK/snapshotter.pid")"
    for _ in $(seq 400); do [ "$(times_served)" -eq "$before" ] || break; sleep 0.05; done
    [ "$(times_served)" -gt "$before" ] || { tail -n 5 "$WORK/snapshotter.log"; false; }
  done
  rm "$WORK/calling"
  wait $calling
  # None has failed in 700 upgrades. Who comes in the moment in which a server that has only just begun is told to go may be told to ask again.
  [ "$(grep -c well "$WORK/called")" -ge 3 ] && [ "$(grep -cv well "$WORK/called")" -le 1 ] && ! grep -v well "$WORK/called" | grep -v ": unavailable" ||
    { sort "$WORK/called" | uniq -c; false; }
}

@test "a server that is stopped and started again serves what it left" {
  p run -d --snapshotter stargz "$(image)" stays sleep 1000
  end snapshotter
  start_snapshotter --no-background
  run timeout 20 ctr -a "$WORK/peer-run/containerd.sock" tasks exec --exec-id more stays sha256sum /large/noise
  [ "${output%% *}" = "$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)" ]
  # What somebody else has unmounted is mounted anew for the next; the one that runs keeps what it stands on, over a kill too.
  umount "$(findmnt -rno TARGET | grep "^$WORK/snapshotter/lazy")"
  p run -d --snapshotter stargz "$(image)" next sleep 1000
  # And over the keeper's end: the next keeper is given both.
  : >"$WORK/snapshotter.log"
  kill -KILL "$(keeper)"
  said "another has what it had, 2 of our mounts"
  kill -KILL "$(worker)"
  for id in stays next; do
    run timeout 20 ctr -a "$WORK/peer-run/containerd.sock" tasks exec --exec-id again $id sh -c 'tail -n 1 /large/numbers'
    [ "$output" = 300000 ] || { echo "$id: $output"; false; }
  done
  connected
  for id in stays next; do
    p tasks rm -f $id >/dev/null
    p containers rm $id
  done
  forget_image
}

@test "a keeper that is killed is followed by another, which has all mounts" {
  lazily >/dev/null
  p run -d --snapshotter stargz "$(image)" stays sleep 1000
  local before
  before=$(keeper)
  : >"$WORK/snapshotter.log"
  kill -KILL "$before"
  said "the keeper had ended: another has what it had, 1 of our mounts"
  [ "$(keeper)" != "$before" ]
  kill -KILL "$(worker)"
  run timeout 20 ctr -a "$WORK/peer-run/containerd.sock" tasks exec --exec-id again stays sh -c 'tail -n 1 /large/numbers; sha256sum /large/noise'
  [[ "$output" == 300000*"$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)"* ]] || { echo "$output"; tail -n 20 "$WORK/snapshotter.log"; false; }
  connected
  p tasks rm -f stays >/dev/null
  p containers rm stays
  forget_image
}

@test "a program that cannot serve does not take the server's place" {
  mkdir "$WORK/replaced"
  cp "$DAEMON" "$WORK/replaced/containerd-ref"
  "$WORK/replaced/containerd-ref" snapshotter serve --backend fuse --root "$WORK/replaced/root" --address "$WORK/replaced/sock" \
    --containerd "$WORK/peer-run/containerd.sock" >"$WORK/replaced/log" 2>&1 3>&- &
  local supervisor=$! before
  disown $supervisor
  for _ in $(seq 100); do ! grep -q serving "$WORK/replaced/log" || break; sleep 0.1; done
  before=$(worker $supervisor)
  # Nothing at all, what is no program, and one that ends at once.
  for content in "" "no program" "#!/bin/sh"; do
    rm -f "$WORK/replaced/containerd-ref"
    [ -z "$content" ] || { echo "$content" >"$WORK/replaced/containerd-ref"; chmod +x "$WORK/replaced/containerd-ref"; }
    : >"$WORK/replaced/log"
    kill -HUP $supervisor
    for _ in $(seq 100); do ! grep -q "is not replaced" "$WORK/replaced/log" || break; sleep 0.1; done
    grep -q "is not replaced" "$WORK/replaced/log" || { cat "$WORK/replaced/log"; false; }
    [ "$(worker $supervisor)" = "$before" ]
  done
  # One that can serve does.
  cp "$DAEMON" "$WORK/replaced/new"
  mv "$WORK/replaced/new" "$WORK/replaced/containerd-ref"
  : >"$WORK/replaced/log"
  kill -HUP $supervisor
  for _ in $(seq 100); do ! grep -q serving "$WORK/replaced/log" || break; sleep 0.1; done
  [ "$(worker $supervisor)" != "$before" ]
  kill $supervisor
  for _ in $(seq 100); do kill -0 $supervisor 2>/dev/null || break; sleep 0.1; done
  ! kill -0 $supervisor 2>/dev/null || false
}

@test "what a start needed first is there the next time before anybody reads" {
  end snapshotter
  find "$WORK/snapshotter/indexes" -name '*.access' -delete
  start_snapshotter --no-background
  lazily >/dev/null
  run --separate-stderr p run --rm --snapshotter stargz "$(image)" first tail -n 1 /large/numbers
  [ "$output" = 300000 ]
  forget_image
  # What was needed of its layers stays with their indexes.
  [ -n "$(find "$WORK/snapshotter/indexes" -name '*.access')" ]
  lazily >/dev/null
  local top
  top=$(p snapshots --snapshotter stargz ls | awk 'NR > 1 { known[$1]; if (NF == 3) below[$2] } END { for (name in known) if (!(name in below)) print name }')
  # It is mounted, and nobody looks.
  p snapshots --snapshotter stargz view looks "$top" >/dev/null
  for _ in $(seq 100); do
    "$DAEMON" lazy status --json --root "$WORK/snapshotter" >"$WORK/status.json"
    ! jq -e '[.images[].layers[].recorded | select(. != null)] | length > 0 and (map(.here) | add) == (map(.all) | add)' "$WORK/status.json" || break
    sleep 0.1
  done
  jq -e '[.images[].layers[].recorded | select(. != null)] | length > 0 and (map(.here) | add) == (map(.all) | add) and (map(.all) | add) > 0' "$WORK/status.json" ||
    { cat "$WORK/status.json"; false; }
  # And no more than that: the large file is not here.
  jq -e '[.images[].layers[].here] | add < 12000000' "$WORK/status.json" || { cat "$WORK/status.json"; false; }
  run "$DAEMON" lazy status --root "$WORK/snapshotter"
  [[ "$output" == *RECORDED*"100 %"* ]] || { echo "$output"; false; }
  # ctr's views have no lease: containerd may have collected it.
  p snapshots --snapshotter stargz rm looks || ! p snapshots --snapshotter stargz info looks
  run --separate-stderr p run --rm --snapshotter stargz "$(image)" second tail -n 1 /large/numbers
  [ "$output" = 300000 ]
  forget_image
}

@test "a registry that is away makes readers wait, and then fail with a reason; when it is back they read on" {
  end snapshotter
  start_snapshotter --no-background --no-prefetch --deadline 3
  lazily >/dev/null
  p run -d --snapshotter stargz "$(image)" waits sleep 1000
  p tasks exec --exec-id program waits cat /bin/busybox >/dev/null
  end registry KILL
  run p tasks exec --exec-id a waits sha256sum /large/noise
  [ "$status" -ne 0 ]
  said "large/noise cannot be read: image $(registry)/demo@sha256:"
  grep -F "given up after 3.0 seconds" "$WORK/snapshotter.log"
  start_embedded
  run p tasks exec --exec-id b waits sha256sum /large/noise
  [ "${output%% *}" = "$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)" ] || { echo "$output"; false; }
  p tasks rm -f waits >/dev/null
  p containers rm waits
  forget_image
}

@test "where there is no overlay, layers lie below a union in FUSE" {
  end snapshotter
  start_snapshotter --stacking union
  lazily >/dev/null
  p run -d --snapshotter stargz "$(image)" union sleep 1000
  run p tasks exec --exec-id a union sh -c 'echo more >>/large/numbers; tail -n 1 /large/numbers; rm -r /data/fresh; mkdir /data/fresh; ls /data/fresh | wc -l; chmod 700 /bin/busybox; mv /large /moved; sha256sum /moved/noise'
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  [ "${lines[0]}" = more ]
  [ "${lines[1]}" = 0 ]
  [ "${lines[2]%% *}" = "$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)" ]
  # Both servers may ask idle processors to be there at once, on machines that gain by it.
  if halts_by_host; then asks_processors "$(union_server)"; asks_processors "$(pgrep -P "$(cat "$WORK/snapshotter.pid")" -f -- --worker | head -n 1)"; fi
  # What serves the union is a process of its own: it needs the other one only for what it reads of the layers.
  end snapshotter KILL
  start_snapshotter --stacking union
  run timeout 20 ctr -a "$WORK/peer-run/containerd.sock" tasks exec --exec-id b union cat /etc/passwd
  [ "$status" -eq 0 ] || { echo "$output"; false; }
  # And nobody misses that process: a line is lost no more than one is written twice.
  p tasks exec --exec-id c union sh -c 'for i in $(seq 300); do echo $i >>/lines; cp /lines /copy; mv /copy "/copy$((i % 3))"; done' &
  local writer=$! server
  for _ in 1 2 3 4 5; do
    sleep 0.2
    # One that was killed may take a moment.
    for _ in $(seq 100); do ! server=$(union_server) || break; sleep 0.1; done
    kill -9 "$server"
  done
  wait "$writer"
  run p tasks exec --exec-id d union sh -c 'cat /lines | wc -l; uniq /copy0 | wc -l; tail -n 1 /moved/numbers'
  [ "$output" = "$(printf '300\n300\nmore')" ] || { echo "$output"; false; }
  # Layers that are complete are directories for the unions that come later.
  for _ in $(seq 1800); do [ "$(ls -d "$WORK"/snapshotter/snapshots/*/graduated 2>/dev/null | wc -l)" -lt "$(cat "$WORK/layers")" ] || break; sleep 0.1; done
  [ "$(ls -d "$WORK"/snapshotter/snapshots/*/graduated | wc -l)" -ge "$(cat "$WORK/layers")" ]
  ! ls -d "$WORK"/snapshotter/union/-* || false
  p run -d --snapshotter stargz "$(image)" union-later sleep 1000
  local plan
  plan=$(ls -td "$WORK"/snapshotter/union/*/layers.json | head -n 1)
  grep snapshots "$plan" | tr -d '\\' | grep -v /lazy/
  # Their names come from catalogs.
  [ "$(cat "/proc/$(pgrep -n -f "snapshotter union --serve .*$plan")/maps" | grep -c "$WORK/snapshotter/snapshots/.*/catalog")" = "$(ls -d "$WORK"/snapshotter/snapshots/*/graduated | wc -l)" ]
  run p tasks exec --exec-id e union-later sh -c 'sha256sum /large/noise; ls /data/fresh | wc -l'
  [ "${lines[0]%% *}" = "$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)" ]
  p tasks rm -f union-later >/dev/null
  p containers rm union-later
  p tasks rm -f union >/dev/null
  p containers rm union
  # A layer without one gets it at the next start.
  local catalogs
  catalogs=$(ls -d "$WORK"/snapshotter/snapshots/*/catalog | wc -l)
  rm "$WORK"/snapshotter/snapshots/*/catalog
  end snapshotter
  start_snapshotter --stacking union
  for _ in $(seq 100); do [ "$(find "$WORK/snapshotter/snapshots" -name catalog | wc -l)" -lt "$catalogs" ] || break; sleep 0.1; done
  [ "$(find "$WORK/snapshotter/snapshots" -name catalog | wc -l)" = "$catalogs" ]
  forget_image
}

@test "whoever has a union, or an overlay, keeps it: over a commit, and when the server makes others" {
  end snapshotter
  start_snapshotter --no-background --stacking union --no-idle-polling
  lazily >/dev/null
  p run -d --snapshotter stargz "$(image)" stays sleep 1000
  local serves
  serves=$(union_server)
  [ -n "$serves" ] && [ -d "/proc/$serves/task" ]
  ! asks_processors "$serves" || false
  local direct=(ctr -a "$WORK/snapshotter.sock" snapshots --snapshotter any) all="p snapshots --snapshotter stargz" key parent top
  read -r key parent _ <<<"$("${direct[@]}" ls | awk '$1 ~ /\/stays$/')"
  run "${direct[@]}" commit "$parent" "$key"
  [ "$status" -ne 0 ]
  run p tasks exec --exec-id a stays sh -c 'echo 1 >>/large/numbers; rm -r /data/fresh; mkdir /data/fresh; tail -n 1 /large/numbers'
  [ "$output" = 1 ] || { echo "$output"; false; }
  # Committed while it is mounted.
  mkdir -p "$WORK/mounted"
  top=$($all info stays | jq -r .Parent)
  $all prepare making "$top" >/dev/null
  $($all mounts "$WORK/mounted" making)
  local before=$(find "$WORK/snapshotter/snapshots" -name catalog | wc -l)
  $all commit made making
  # Who still has it mounted may write: nothing about it is written down.
  [ "$(find "$WORK/snapshotter/snapshots" -name catalog | wc -l)" = "$before" ]
  echo 1 >>"$WORK/mounted/large/numbers"
  rm -r "$WORK/mounted/data/fresh"
  umount "$WORK/mounted"
  $all rm made
  # Two that write into one directory would contradict each other.
  end snapshotter
  start_snapshotter --no-background --stacking overlay
  p tasks rm -f stays >/dev/null
  p tasks start -d stays
  run p tasks exec --exec-id b stays sh -c 'echo 2 >>/large/numbers; tail -n 2 /large/numbers; ls /data/fresh | wc -l'
  [ "$output" = "$(printf '1\n2\n0')" ] || { echo "$output"; false; }
  [[ "$($all mounts /m stays)" == *"$WORK/snapshotter/union/"* ]]
  # Nor is there another when somebody has unmounted it, as long as the container has it.
  umount "$(findmnt -rno TARGET | grep "^$WORK/snapshotter/union/")"
  run $all mounts /m stays
  [ "$status" -ne 0 ]
  [[ "$output" == *"still in use elsewhere"* ]] || { echo "$output"; false; }
  run p tasks exec --exec-id c stays sh -c 'mv /large/noise /large/moved; tail -n 1 /large/numbers'
  [ "$output" = 2 ] || { echo "$output"; false; }
  p tasks rm -f stays >/dev/null
  p tasks start -d stays
  run p tasks exec --exec-id d stays sh -c 'ls /large; tail -n 1 /large/numbers'
  [ "$output" = "$(printf 'moved\nnumbers\n2')" ] || { echo "$output"; false; }
  $all prepare plain "$top" >/dev/null
  $($all mounts "$WORK/mounted" plain)
  end snapshotter
  start_snapshotter --no-background --stacking union
  [[ "$($all mounts /m plain)" == *"-t overlay "* ]]
  umount "$WORK/mounted"
  # The plain snapshotter would show empty directories, and write beside the union.
  end snapshotter
  run timeout 20 "$DAEMON" snapshotter serve --backend overlay --root "$WORK/snapshotter" --address "$WORK/other.sock"
  [ "$status" -ne 0 ]
  [[ "$output" == *"it needs --backend fuse"* ]] || { echo "$output"; false; }
  start_snapshotter --no-background
  $all rm plain
  p tasks rm -f stays >/dev/null
  p containers rm stays
  forget_image
}

@test "through libfuse layers are lazy below overlays and unions; mounts end with their server, and are made anew" {
  local stacking
  for stacking in overlay union; do
    end snapshotter
    start_snapshotter --no-background --transport libfuse --stacking $stacking
    lazily >/dev/null
    p run -d --snapshotter stargz "$(image)" lib sleep 1000
    run p tasks exec --exec-id a lib sh -c 'echo more >>/data/more; cat /data/more; tail -n 1 /large/numbers; sha256sum /large/noise'
    [[ "$output" == more*300000*"$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)"* ]] || { echo "$output"; false; }
    ! pgrep -f "snapshotter keep --root $WORK/snapshotter\$" || false
    kill -KILL "$(worker)"
    connected
    # Who had it has lost what is read below.
    run timeout 20 ctr -a "$WORK/peer-run/containerd.sock" tasks exec --exec-id b lib sh -c 'tail -n 1 /large/numbers'
    [ "$status" -ne 0 ]
    p tasks rm -f lib >/dev/null
    # The same snapshot again, with what was written.
    p tasks start -d lib
    run p tasks exec --exec-id c lib sh -c 'cat /data/more; tail -n 1 /large/numbers'
    [ "$output" = "$(printf 'more\n300000')" ] || { echo "$output"; tail -n 20 "$WORK/snapshotter.log"; false; }
    p tasks rm -f lib >/dev/null
    p containers rm lib
    forget_image
  done
  said "which has ended: it will be mounted anew"
}

@test "an image whose layers have tables of contents of their own is lazy the first time" {
  local tag
  end snapshotter
  start_snapshotter
  p content fetch --plain-http "$(image)" >/dev/null
  for tag in estargz zstdchunked; do
    ctr-remote -a "$WORK/peer-run/containerd.sock" images convert --oci --$tag "$(image)" "$(registry)/demo:$tag" >/dev/null
    p images push --plain-http "$(registry)/demo:$tag" >/dev/null
    p images rm --sync "$(registry)/demo:$tag" >/dev/null
  done
  p images rm --sync "$(image)" >/dev/null
  local layers name said
  layers=$(cat "$WORK/layers")
  for tag in estargz zstdchunked; do
    name=$(registry)/demo:$tag
    run "$DAEMON" pull --address "$WORK/peer-run/containerd.sock" --snapshotter stargz "$name"
    [[ "$output" == *"lazy $layers of $layers layers"* ]] || { echo "$output"; tail -n 20 "$WORK/snapshotter.log"; false; }
    [ "$(p content ls -q | wc -l)" -eq 2 ]
    run --separate-stderr p run --rm --snapshotter stargz "$name" "$tag" sh -c 'sha256sum /large/noise; tail -n 1 /large/numbers; cat /data/fresh/five'
    [ "$status" -eq 0 ] && [ "${lines[0]%% *}" = "$(sha256sum <"$WORK/large/large/noise" | cut -d ' ' -f 1)" ] || { echo "$output"; false; }
    [[ "$output" == *300000* && "$output" == *five* ]]
    # Held against the image when all of it is here.
    said="demo@$(skopeo inspect --tls-verify=false "docker://$name" | jq -r .Digest), layer .*: complete and verified"
    for _ in $(seq 600); do [ "$(grep -c "$said" "$WORK/snapshotter.log")" -lt "$layers" ] || break; sleep 0.1; done
    [ "$(grep -c "$said" "$WORK/snapshotter.log")" -eq "$layers" ] || { tail -n 20 "$WORK/snapshotter.log"; false; }
    p images rm --sync "$name" >/dev/null
    for _ in $(seq 100); do things_left >/dev/null || break; sleep 0.1; done
    ! things_left || false
  done
}

@test "the overlay is served in the same way" {
  "$DAEMON" snapshotter serve --backend overlay --root "$WORK/overlay" --address "$WORK/overlay.sock" >>"$WORK/overlay.log" 2>&1 3>&- &
  pid=$!
  for _ in $(seq 100); do [ ! -S "$WORK/overlay.sock" ] || break; sleep 0.1; done
  # A second one would take what the first is making for leftovers.
  run timeout 20 "$DAEMON" snapshotter serve --backend overlay --root "$WORK/overlay" --address "$WORK/other.sock"
  [ "$status" -ne 0 ]
  [[ "$output" == *"is served by another process"* ]] || { echo "$output"; false; }
  kill "$pid"
  wait "$pid"
  run "$DAEMON" snapshotter serve --backend overlay --address relative.sock
  [ "$status" -ne 0 ]
  [[ "$output" == *"must be an absolute path"* ]]
}
