#!/usr/bin/env bats
# Our own command line drives our daemon. Debian's ctr is only asked whether it sees the same. Needs root: it mounts and runs containers.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  suite_up
  export CONTAINERD_ADDRESS=$WORK/run/containerd.sock
}
teardown_file() { [ -z "$WORK" ] || suite_down; }

r() { "$DAEMON" "$@"; }
# Nothing of a container may be left: container, task, snapshot, lease, FIFOs, bundle.
# Fails and names what is still there of a container.
nothing_left_of() {
  local left
  left=$(
    r ps --all | grep -w "$1"
    c snapshots ls | grep -w "$1"
    c leases ls -q
    ls "$WORK/run/fifo" 2>/dev/null
    ls -d "$WORK/run/io.containerd.runtime.v2.task/default/$1" 2>/dev/null
  ) || true
  [ -z "$left" ] || { echo "left of $1: $left"; return 1; }
}
# The line of ps about a container shows the text within ten seconds.
shows() {
  for _ in $(seq 100); do
    r ps --all | grep -w "$1" | grep -qw "$2" && return 0
    sleep 0.1
  done
  r ps --all
  return 1
}
terminal() { # terminal COLUMNS COMMAND: in a pseudo-terminal of that width, keystrokes by tmux
  tmux -L "ref-$$" new-session -d -x "$1" -y 24 "export CONTAINERD_ADDRESS=$CONTAINERD_ADDRESS; $2; echo status \$?; sleep 1000" 3>&-
}
screen() { tmux -L "ref-$$" capture-pane -p | grep -v '^$'; }
screen_shows() {
  for _ in $(seq 100); do screen | grep -q -- "$1" && return 0; sleep 0.1; done
  screen
  return 1
}
teardown() {
  tmux -L "ref-$$" kill-server 2>/dev/null || true
  # A test that gave the daemon another configuration gives it back, also when it failed.
  if [ -e "$WORK/config.kept" ]; then
    stop_daemon TERM
    mv "$WORK/config.kept" "$WORK/config.toml"
    start_daemon
  fi
}

@test "every command has help, and says what is wrong in one sentence with status 1" {
  for command in "" serve config registry pull images "images ls" "images rm" run exec ps kill rm events; do
    # shellcheck disable=SC2086 # words
    run r $command --help
    [ "$status" -eq 0 ]
    [[ "$output" == *USAGE:* ]]
  done
  run r run --nonsense image id
  [ "$status" -eq 1 ]
  [[ "$output" == "containerd-ref: Unknown option '--nonsense'"* ]]
  run r nonsense
  [ "$status" -eq 1 ]
}

@test "without a daemon the message says so, and how to get one" {
  for command in ps images "kill x" "rm x" "pull 127.0.0.1:1/x" "run x y"; do
    # shellcheck disable=SC2086 # words
    run r $command --address "$WORK/nobody.sock"
    [ "$status" -eq 1 ] || { echo "$output"; false; }
    [[ "$output" == "containerd-ref: no daemon at $WORK/nobody.sock: there is no such socket. Start one with"* ]] || [[ "$command" == run* ]]
  done
  run r run --address "$WORK/nobody.sock" x y
  [[ "$output" == "containerd-ref: no daemon at"* ]]
}

@test "an image that is not here comes with the way to get it" {
  run r run --rm "$(image)" cli-none true
  [ "$status" -eq 1 ]
  [ "$output" = "containerd-ref: image $(image) is not here. Pull it first: containerd-ref pull $(image)" ]
  nothing_left_of cli-none
}

@test "pull writes a line per blob where there is no terminal; images shows name, digest and size" {
  run r pull "$(image)"
  echo "$output"
  [ "$status" -eq 0 ]
  [ "$(grep -c '^layer .* done$' <<<"$output")" -eq 5 ]
  [[ "$output" == *"unpacked 5 layers"* ]]
  [[ "$output" != *$'\e'* ]]
  run r images
  [[ "${lines[0]}" == NAME*DIGEST*SIZE ]]
  [[ "${lines[1]}" == "$(image)"*sha256:*MiB ]]
  [ "$(r images --json | jq -r '.[0].name')" = "$(image)" ]
  [ "$(r images --json | jq -r '.[0].digest')" = "$(c images ls | awk 'NR == 2 {print $3}')" ]
}

@test "on a terminal every blob has its bar, at 80 and at 40 columns" {
  for columns in 80 40; do
    r images rm "$(image)"
    terminal $columns "$DAEMON pull $(image)"
    screen_shows "^status 0"
    screen
    [ "$(screen | grep -c '^layer [0-9a-f]* *\[#*\]')" -eq 5 ]
    screen | grep -q '^total  *\[#*\]'
    screen | grep -q '^unpack  *\[#*\]'
    [ "$(screen | wc -L)" -le $columns ]
    tmux -L "ref-$$" kill-server
  done
}

@test "run gives the program's output, errors, input and exit status, and leaves nothing" {
  run --separate-stderr r run --rm "$(image)" cli-run sh -c 'echo out; echo err >&2; exit 7'
  [ "$status" -eq 7 ]
  [ "$output" = out ]
  # shellcheck disable=SC2154 # bats sets it
  [ "$stderr" = err ]
  [ "$(printf 'one\ntwo\n' | r run --rm "$(image)" cli-run cat)" = "$(printf 'one\ntwo')" ]
  head -c 3000000 /dev/urandom >"$WORK/bytes"
  r run --rm "$(image)" cli-run cat <"$WORK/bytes" | cmp - "$WORK/bytes"
  nothing_left_of cli-run
}

@test "run --pull fetches what is not here" {
  r images rm "$(image)"
  [ "$(r run --rm --pull "$(image)" cli-pull echo pulled 2>/dev/null)" = pulled ]
}

@test "options reach the program" {
  [ "$(r run --rm --env A=1 --env PATH=/bin "$(image)" cli-env sh -c 'echo $A $PATH')" = "1 /bin" ]
  [ "$(r run --rm --cwd /data "$(image)" cli-cwd pwd)" = /data ]
  [ "$(r run --rm --user user "$(image)" cli-user id)" = "uid=1000(user) gid=1000(user) groups=100(users),1000(user)" ]
  [ "$(r run --rm --user 5:daemon "$(image)" cli-user id)" = "uid=5 gid=1(daemon) groups=1(daemon)" ]
  run r run --rm --user nobody "$(image)" cli-user id
  [ "$status" -eq 1 ]
  [[ "$output" == *"/etc/passwd has no user \"nobody\""* ]]
  run r run --rm --read-only "$(image)" cli-ro touch /x
  [ "$status" -ne 0 ]
  mkdir -p "$WORK/shared"
  r run --rm --mount "type=bind,src=$WORK/shared,dst=/mnt,options=rbind:rw" "$(image)" cli-mount sh -c 'mkdir -p /mnt && echo seen >/mnt/file'
  [ "$(cat "$WORK/shared/file")" = seen ]
  [ "$(r run --rm --net-host "$(image)" cli-net readlink /proc/self/ns/net)" = "$(readlink /proc/self/ns/net)" ]
  [ "$(r run --rm --cap-drop CAP_CHOWN "$(image)" cli-cap sh -c 'touch /x; chown 1 /x 2>&1')" != "" ]
  r run --rm --privileged "$(image)" cli-priv sh -c 'mount -t tmpfs x /mnt 2>/dev/null || { mkdir -p /mnt && mount -t tmpfs x /mnt; }'
  r run --rm --memory-limit 67108864 "$(image)" cli-mem sh -c 'cat /proc/self/cgroup >/dev/null'
  for id in cli-env cli-cwd cli-user cli-ro cli-mount cli-net cli-cap cli-priv cli-mem; do nothing_left_of $id; done
}

@test "names of users are looked up inside the image, whatever its links say" {
  # An image whose /etc/passwd is a link out of it: the link counts from the image's root, where there is nothing.
  umoci unpack --image "$WORK/image:demo" "$WORK/linked" >/dev/null 2>&1
  rm "$WORK/linked/rootfs/etc/passwd"
  printf 'secret:x:4242:4242::/:/bin/sh\n' >"$WORK/passwd-outside"
  ln -s "../../../../../../../../..$WORK/passwd-outside" "$WORK/linked/rootfs/etc/passwd"
  umoci repack --image "$WORK/image:linked" "$WORK/linked" >/dev/null 2>&1
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:linked" "docker://127.0.0.1:$(cat "$WORK/port")/linked:latest"
  run r run --pull --rm --user secret "127.0.0.1:$(cat "$WORK/port")/linked:latest" cli-linked id
  echo "$output"
  [ "$status" -eq 1 ]
  [[ "$output" == *"has no user \"secret\""* ]]
  # A FIFO in its place must not hold us up.
  rm -rf "$WORK/linked"
  umoci unpack --image "$WORK/image:demo" "$WORK/linked" >/dev/null 2>&1
  rm "$WORK/linked/rootfs/etc/passwd"
  mkfifo "$WORK/linked/rootfs/etc/passwd"
  umoci repack --image "$WORK/image:fifo" "$WORK/linked" >/dev/null 2>&1
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:fifo" "docker://127.0.0.1:$(cat "$WORK/port")/fifo:latest"
  run timeout 20 "$DAEMON" run --pull --rm "127.0.0.1:$(cat "$WORK/port")/fifo:latest" cli-fifo id
  [ "$status" -eq 1 ]
  [[ "$output" == *"/etc/passwd is not a regular file"* ]]
  r images rm "127.0.0.1:$(cat "$WORK/port")/linked:latest" "127.0.0.1:$(cat "$WORK/port")/fifo:latest"
  nothing_left_of cli-fifo
}

@test "the spec is the one that ctr makes of the same options" {
  same() { # same OPTIONS…: compares the container that each client makes
    c run -d "$@" "$(image)" cli-same sleep 100
    c containers info cli-same | jq -S '{Spec, Labels, Image, Runtime, Snapshotter}' >"$WORK/theirs"
    c tasks rm -f cli-same >/dev/null 2>&1 || true
    c containers rm cli-same
    r run -d "$@" "$(image)" cli-same sleep 100
    c containers info cli-same | jq -S '{Spec, Labels, Image, Runtime, Snapshotter}' >"$WORK/ours"
    r rm --force cli-same
    diff "$WORK/theirs" "$WORK/ours"
  }
  same
  same --env A=1 --cwd /data --read-only --label a=b --mount type=bind,src=/tmp,dst=/host,options=rbind:ro
  same --memory-limit 67108864 --cpus 0.5 --cap-add CAP_SYS_ADMIN --cap-drop CAP_MKNOD
  same --net-host
  same --with-ns network:/proc/$$/ns/net --annotation x=y --allow-new-privs --cpu-shares 77
}

@test "a terminal: size, change of size, ^C, exit status" {
  terminal 80 "$DAEMON run --rm -t $(image) cli-tty sh"
  screen_shows '#'
  tmux -L "ref-$$" send-keys 'stty size; tty' Enter
  screen_shows '^24 80'
  screen_shows '^/dev/pts/0'
  tmux -L "ref-$$" resize-window -x 100 -y 30
  for _ in $(seq 20); do tmux -L "ref-$$" send-keys 'clear; stty size' Enter; sleep 0.5; ! screen | grep -q '^30 100' || break; done
  screen_shows '^30 100'
  # The shell has given the terminal back when this is to be seen.
  tmux -L "ref-$$" send-keys 'echo be"gun"; sleep 1000' Enter
  screen_shows '^begun'
  tmux -L "ref-$$" send-keys C-c
  tmux -L "ref-$$" send-keys 'exit 9' Enter
  screen_shows '^status 9'
  # The terminal is as it was.
  tmux -L "ref-$$" kill-server
  nothing_left_of cli-tty
  run r run --rm -t "$(image)" cli-tty true </dev/null
  [ "$status" -eq 1 ]
  [[ "$output" == *"--tty needs a terminal"* ]]
}

@test "run -d, ps, exec, kill, rm" {
  run r run -d --label team=blue "$(image)" cli-d sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'
  [ "$output" = cli-d ]
  run r ps
  echo "$output"
  [[ "${lines[0]}" == ID*IMAGE*PID*STATUS*EXIT*CREATED ]]
  [[ "$output" == *cli-d*"$(image)"*running* ]]
  [ "$(r ps --json | jq -r '.[] | select(.id == "cli-d") | .labels.team')" = blue ]
  run r exec cli-d sh -c 'echo in exec; exit 4'
  [ "$status" -eq 4 ]
  [ "$output" = "in exec" ]
  [ "$(echo typed | r exec cli-d cat)" = typed ]
  [ "$(r exec --user user --cwd /data --env B=2 cli-d sh -c 'echo $(id -u) $(pwd) $B')" = "1000 /data 2" ]
  run r exec cli-d no-such-program
  [ "$status" -eq 1 ]
  [[ "$output" == *no-such-program* ]]
  run r run "$(image)" cli-d true
  [ "$status" -eq 1 ]
  [[ "$output" == *"there is a container cli-d already"* ]]
  run r rm cli-d
  [ "$status" -eq 1 ]
  [[ "$output" == *"cli-d is running"*--force* ]]
  run r kill --signal NOSUCH cli-d
  [ "$status" -eq 1 ]
  r kill cli-d
  shows cli-d stopped
  [ "$(r ps --json | jq -r '.[] | select(.id == "cli-d") | .exitStatus')" = 3 ]
  run r kill cli-d
  [ "$status" -eq 1 ]
  run r exec cli-d true
  [ "$status" -eq 1 ]
  [ "$(r rm cli-d)" = cli-d ]
  nothing_left_of cli-d
  run r rm cli-d also-not-there
  [ "$status" -eq 1 ]
  [ "${#lines[@]}" -eq 2 ]
}

@test "without --rm the container stays, without a task, for ps --all and rm" {
  r run "$(image)" cli-stay true
  ! r ps | grep -q cli-stay || false
  r ps --all | grep cli-stay | grep -q 'no task'
  r rm cli-stay
  nothing_left_of cli-stay
}

@test "rm --force ends what runs, also what is paused" {
  r run -d "$(image)" cli-force sleep 1000
  c tasks pause cli-force
  shows cli-force paused
  r rm --force cli-force
  nothing_left_of cli-force
}

# Until a client gives its signals to its program. USR1 is nothing to it before.
hands_on() { # hands_on PID FILE
  for _ in $(seq 100); do grep -q ready "$2" && break; sleep 0.1; done
  for _ in $(seq 100); do kill -USR1 "$1"; ! grep -q usr "$2" || return 0; sleep 0.1; done
  return 1
}

@test "signals are the program's; one that ignores them is killed at the third" {
  { exec "$DAEMON" run --rm "$(image)" cli-signal sh -c 'trap "echo told; exit 3" TERM; trap "echo usr" USR1; echo ready; while :; do sleep 0.1; done' >"$WORK/signal" 3>&-; } &
  pid=$!
  hands_on $pid "$WORK/signal"
  kill -TERM $pid
  status=0
  wait $pid || status=$?
  [ "$status" -eq 3 ]
  [ "$(tail -n 1 "$WORK/signal")" = told ]
  { exec "$DAEMON" run --rm "$(image)" cli-deaf sh -c 'trap "" TERM; trap "echo usr" USR1; echo ready; while :; do sleep 0.1; done' >"$WORK/deaf" 3>&-; } &
  pid=$!
  hands_on $pid "$WORK/deaf"
  for _ in $(seq 30); do kill -TERM $pid 2>/dev/null || break; sleep 0.3; done
  status=0
  wait $pid || status=$?
  [ "$status" -eq 137 ]
  nothing_left_of cli-signal
  nothing_left_of cli-deaf
}

@test "interrupted at any moment, run leaves nothing" {
  for delay in 0.03 0.06 0.09 0.12 0.15 0.2 0.25; do
    { exec "$DAEMON" run --rm "$(image)" cli-int sleep 0.5 >/dev/null 2>&1 3>&-; } &
    pid=$!
    sleep $delay
    kill -TERM $pid 2>/dev/null || true
    wait $pid || true
    # What the daemon had under way when its client hung up it takes back by itself, a moment later.
    for _ in $(seq 50); do nothing_left_of cli-int >/dev/null 2>&1 && break; sleep 0.1; done
    nothing_left_of cli-int || { echo "after $delay"; false; }
  done
}

@test "a program that cannot be started leaves nothing" {
  run r run "$(image)" cli-nosuch no-such-program
  [ "$status" -eq 1 ]
  [[ "$output" == *no-such-program* ]]
  nothing_left_of cli-nosuch
}

@test "kill -9 of the daemon: a detached container goes on and its status is delivered" {
  r run -d --log-uri "$WORK/log" "$(image)" cli-outlive sh -c 'trap "echo end; exit 5" TERM; echo begin; while :; do sleep 0.1; done'
  for _ in $(seq 100); do grep -q begin "$WORK/log" && break; sleep 0.1; done
  pid=$(r ps --json | jq -r '.[] | select(.id == "cli-outlive") | .pid')
  stop_daemon KILL
  kill -0 "$pid"
  run r ps
  [ "$status" -eq 1 ]
  [[ "$output" == *"nobody listens"* ]]
  start_daemon
  [ "$(r ps --json | jq -r '.[] | select(.id == "cli-outlive") | .pid')" = "$pid" ]
  r kill cli-outlive
  shows cli-outlive stopped
  [ "$(r ps --json | jq -r '.[] | select(.id == "cli-outlive") | .exitStatus')" = 5 ]
  [ "$(tr '\n' ' ' <"$WORK/log")" = "begin end " ]
  r rm cli-outlive
  nothing_left_of cli-outlive
}

@test "kill -9 of the daemon: run in the foreground stays, and ends with the program's status" {
  { exec "$DAEMON" run --rm "$(image)" cli-fore sh -c 'echo begin; sleep 4; echo end; exit 6' >"$WORK/fore" 2>"$WORK/fore.err" 3>&-; } &
  pid=$!
  for _ in $(seq 100); do grep -q begin "$WORK/fore" && break; sleep 0.1; done
  stop_daemon KILL
  sleep 0.5
  start_daemon
  status=0
  wait $pid || status=$?
  cat "$WORK/fore.err"
  [ "$status" -eq 6 ]
  [ "$(tr '\n' ' ' <"$WORK/fore")" = "begin end " ]
  grep -q "the daemon is gone" "$WORK/fore.err"
  nothing_left_of cli-fore
}

@test "config prints what serve reads again" {
  r config --config "$WORK/config.toml" >"$WORK/printed.toml"
  grep -q "root = \"$WORK/root\"" "$WORK/printed.toml"
  r config --config "$WORK/printed.toml" | diff "$WORK/printed.toml" -
  stop_daemon TERM
  cp "$WORK/config.toml" "$WORK/config.kept"
  printf '[metrics]\n  address = ""\n' >>"$WORK/printed.toml"
  sed -e 's/format = "text"/format = "json"/' "$WORK/printed.toml" >"$WORK/config.toml"
  lines=$(wc -l <"$WORK/daemon.log")
  start_daemon
  r ps
  tail -n "+$((lines + 1))" "$WORK/daemon.log" | jq -es 'any(.msg == "configuration: metrics changes nothing here" and .level == "warning")'
  echo 'rooot = "/x"' >"$WORK/wrong.toml"
  run r serve --config "$WORK/wrong.toml"
  [ "$status" -eq 1 ]
  [ "$output" = "containerd-ref: configuration $WORK/wrong.toml: unknown field rooot" ]
}

@test "the socket belongs to whom the configuration says" {
  stop_daemon TERM
  cp "$WORK/config.toml" "$WORK/config.kept"
  printf '[grpc]\nuid = 1234\ngid = 4321\n' >>"$WORK/config.toml"
  start_daemon
  [ "$(stat -c '%u %g %a' "$WORK/run/containerd.sock")" = "1234 4321 660" ]
}

@test "events shows what happens" {
  { exec "$DAEMON" events 'topic~=^/tasks/' >"$WORK/events" 3>&-; } &
  pid=$!
  sleep 2 # nothing tells that it listens: what it would hear is counted below
  r run --rm "$(image)" cli-events true
  heard "$WORK/events" /tasks/delete
  kill -INT $pid
  wait $pid
  [ "$(awk '{print $3}' "$WORK/events" | tr '\n' ' ')" = "/tasks/create /tasks/start /tasks/exit /tasks/delete " ]
}

@test "the demo runs with either registry, twice in a row, and leaves nothing" {
  before=$(find /tmp -maxdepth 1 -name 'containerd-ref-demo-*' | wc -l)
  for kind in embedded docker-registry embedded; do
    run env -u CONTAINERD_ADDRESS REF_REGISTRY=$kind BUILD_DIR="$BUILD_DIR" "$ROOT_DIR/scripts/demo.sh"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"kill -9 of the daemon: same pid"* ]]
  done
  [ "$(find /tmp -maxdepth 1 -name 'containerd-ref-demo-*' | wc -l)" -eq "$before" ]
}

@test "images rm frees content and snapshots" {
  r images rm "$(image)"
  for _ in $(seq 50); do [ -z "$(c content ls -q)" ] && break; sleep 0.1; done
  [ -z "$(c content ls -q)" ]
  [ "$(c snapshots ls | wc -l)" -eq 1 ]
}
