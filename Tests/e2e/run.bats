#!/usr/bin/env bats
# What `ctr run`, `tasks exec` and their like can ask of our runtime and shim.

load lib

setup_file() {
  [ "$(id -u)" = 0 ] || skip "needs root: it mounts and runs containers"
  suite_up
  chmod 711 "$WORK" # containers of user namespaces enter their root file systems through it
  pull >/dev/null
  c run -d "$(image)" base sleep 1000
  # A log program as clients write them: it says ready, then copies its two streams to a file.
  cat >"$WORK/logger" <<'LOGGER'
#!/bin/bash
echo "id=$CONTAINER_ID namespace=$CONTAINER_NAMESPACE arguments=$2:$3" >>"$1"
exec 5>&-
sed 's/^/out /' <&3 >>"$1" &
sed 's/^/err /' <&4 >>"$1"
wait
echo end >>"$1"
LOGGER
  chmod +x "$WORK/logger"
}
teardown_file() { [ -z "$WORK" ] || suite_down; }

setup() { ID=t$BATS_TEST_NUMBER; }
teardown() {
  c tasks rm -f "$ID" >/dev/null 2>&1 || true
  c containers rm "$ID" >/dev/null 2>&1 || true
}

r() { # r FLAGS… -- COMMAND…: runs to the end, the output in $output
  local flags=()
  while [ "$1" != -- ]; do flags+=("$1"); shift; done
  shift
  run c run --rm "${flags[@]}" "$(image)" "$ID" "$@"
  echo "$output"
}
x() { # x FLAGS… -- COMMAND…: a further process of the container `base`
  local flags=()
  while [ "$1" != -- ]; do flags+=("$1"); shift; done
  shift
  run c tasks exec --exec-id "$ID" "${flags[@]}" base "$@"
  echo "$output"
}
cgroup() { cat "/sys/fs/cgroup/$1/default/$ID/$2"; }

@test "variables: --env and --env-file" {
  echo FROM=file >"$WORK/env"
  r --env A=1 --env-file "$WORK/env" -- env
  [ "$status" -eq 0 ]
  [ "$(sort <<<"$output" | tr '\n' ' ')" = "A=1 FROM=file HOME=/root PATH=/bin:/usr/bin " ]
}

@test "--mount bind: read-only, and written through" {
  mkdir -p "$WORK/bound"; echo inside >"$WORK/bound/file"
  r --mount "type=bind,src=$WORK/bound,dst=/host,options=rbind:ro" -- sh -c 'cat /host/file; touch /host/no'
  [ "$status" -eq 1 ]
  # Beside the error, in either order.
  grep -qx inside <<<"$output"
  [[ "$output" == *"Read-only file system"* ]]
  r --mount "type=bind,src=$WORK/bound,dst=/host,options=rbind:rw" -- touch /host/yes
  [ -e "$WORK/bound/yes" ]
}

@test "--mount tmpfs with options" {
  r --mount type=tmpfs,src=tmpfs,dst=/mnt/t,options=size=1m:mode=700 -- sh -c 'grep /mnt/t /proc/mounts; stat -c %a /mnt/t'
  [[ "${lines[0]}" == *size=1024k,mode=700* ]]
  [ "${lines[1]}" = 700 ]
}

@test "mounts that cannot be made name source or destination" {
  r --mount type=bind,src=/no/such,dst=/host,options=rbind -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *"OCI runtime create failed"*"/no/such"*"No such file or directory"* ]]
  r --mount type=nosuchfs,src=x,dst=/host -- true
  [[ "$output" == *"nosuchfs"*"/host"* ]]
  r --mount type=bind,src=/tmp,dst=/proc,options=rbind -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *"/proc"* ]]
}

@test "--net-host shows the host's interfaces, and without it only loopback is there, up" {
  r --net-host -- ls /sys/class/net
  [ "$output" = "$(ls /sys/class/net)" ]
  r -- ip -4 -o addr
  [ "${#lines[@]}" -eq 1 ]
  [[ "$output" == *"lo"*127.0.0.1* ]]
}

@test "--privileged: all capabilities, devices and no read-only mounts" {
  r --privileged -- sh -c 'grep CapEff /proc/self/status; ls /dev | wc -l; mount | grep -c "(ro,"; echo x >/proc/sys/kernel/domainname && echo written'
  [ "$((16#$(awk '/CapEff/ {print $2}' <<<"${lines[0]}") & (1 << 21)))" -ne 0 ]
  [ "${lines[1]}" -gt 30 ]
  [ "${lines[2]}" -eq 0 ]
  [ "${lines[3]}" = written ]
}

@test "--read-only, --no-pivot and --rootfs" {
  r --read-only -- touch /x
  [ "$status" -eq 1 ]
  [[ "$output" == *"Read-only"* ]]
  r --no-pivot -- ls -d /etc
  [ "$output" = /etc ]
  mkdir -p "$WORK/plain"; cp /bin/busybox "$WORK/plain/sh"
  run c run --rm --rootfs "$WORK/plain" "$ID" /sh -c 'echo plain root'
  [ "$output" = "plain root" ]
}

@test "limits reach the cgroup: --cpus, --cpu-shares, --memory-limit" {
  c run -d --cpus 0.5 --cpu-shares 512 --memory-limit 67108864 "$(image)" "$ID" sleep 100
  [ -d /sys/fs/cgroup/cpu ] || skip "the host has no v1 cpu hierarchy to read the limits from"
  [ "$(cgroup cpu cpu.cfs_quota_us)" -eq 50000 ]
  [ "$(cgroup cpu cpu.cfs_period_us)" -eq 100000 ]
  [ "$(cgroup cpu cpu.shares)" -eq 512 ]
  [ "$(cgroup memory memory.limit_in_bytes)" -eq 67108864 ]
  run c tasks metrics "$ID"
  [[ "$output" == *memory.limit_in_bytes*67108864* ]]
}

@test "--cpu-quota with --cpu-period" {
  c run -d --cpu-quota 20000 --cpu-period 50000 "$(image)" "$ID" sleep 100
  [ -d /sys/fs/cgroup/cpu ] || skip "the host has no v1 cpu hierarchy to read the limits from"
  [ "$(cgroup cpu cpu.cfs_quota_us) $(cgroup cpu cpu.cfs_period_us)" = "20000 50000" ]
}

@test "a memory limit that ends the program: 137 and /tasks/oom before /tasks/exit" {
  ctr -a "$WORK/run/containerd.sock" events >"$WORK/oom" 2>&1 3>&- &
  events=$!
  listening c "$WORK/oom"
  r --memory-limit 8388608 -- tail /dev/zero
  [ "$status" -eq 137 ]
  heard "$WORK/oom" /tasks/exit
  kill $events
  grep -oE "/tasks/(oom|exit)" "$WORK/oom" | uniq | tr '\n' ' ' | grep -q "/tasks/oom /tasks/exit "
}

@test "a memory limit in which nothing can start says so" {
  r --memory-limit 4096 -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *"memory limit is too low"* ]]
}

@test "--device: the node is there and may be opened" {
  r --device /dev/fuse -- sh -c 'stat -c %F /dev/fuse; head -c 0 /dev/fuse && echo opened'
  [ "${lines[0]}" = "character special file" ]
  [ "${lines[1]}" = opened ]
  r -- sh -c 'mknod /tmp/fuse c 10 229 && cat /tmp/fuse'
  [ "$status" -ne 0 ]
}

@test "--cap-add, --cap-drop, and one that does not exist is a warning" {
  r --cap-add CAP_SYS_ADMIN --cap-drop CAP_CHOWN -- grep -E 'CapEff|CapInh' /proc/self/status
  [[ "$output" == *"CapInh:"*0000000000000000* ]]
  [[ "$output" == *"CapEff:"*00000000a82425fa* ]]
  r --cap-add CAP_NOPE -- echo ran
  [ "$output" = ran ]
}

@test "--seccomp and --seccomp-profile" {
  r --seccomp -- sh -c 'grep Seccomp: /proc/self/status; unshare -m true'
  [ "$status" -eq 1 ]
  grep -q '^Seccomp:.*2$' <<<"$output"
  echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":17}]}' >"$WORK/profile"
  r --seccomp --seccomp-profile "$WORK/profile" -- mkdir /tmp/q
  [[ "$output" == *"File exists"* ]]
  echo '{"defaultAction":"SCMP_ACT_NOPE"}' >"$WORK/profile"
  r --seccomp --seccomp-profile "$WORK/profile" -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *SCMP_ACT_NOPE* ]]
}

@test "--allow-new-privs, and without it none" {
  r -- grep NoNewPrivs /proc/self/status
  [[ "$output" == *1 ]]
  r --allow-new-privs -- grep NoNewPrivs /proc/self/status
  [[ "$output" == *0 ]]
}

@test "--apparmor-profile is an error where there is no AppArmor" {
  [ ! -d /sys/kernel/security/apparmor ] || skip "this host has AppArmor"
  r --apparmor-profile none-such -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *AppArmor* ]]
}

@test "--cgroup, --hostname of the machine, --label, --annotation, --snapshotter-label, --fifo-dir" {
  r --cgroup "/ref-e2e-run/$ID" -- sort /proc/self/cgroup
  [ "$(cut -d: -f3 <<<"$output" | sort -u)" = "/ref-e2e-run/$ID" ]
  r --label a=b --annotation c=d --snapshotter-label e=f --fifo-dir "$WORK/fifos" -- hostname
  [ "$output" = "$(hostname)" ]
}

@test "--cwd: made if absent; a file is an error, a relative one too" {
  r --cwd /data -- pwd
  [ "$output" = /data ]
  r --cwd /not/there -- pwd
  [ "$output" = /not/there ]
  r --cwd /etc/passwd -- pwd
  [ "$status" -eq 1 ]
  [[ "$output" == *"/etc/passwd"*"Not a directory"* ]]
  r --cwd relative -- pwd
  [[ "$output" == *"absolute path"* ]]
}

@test "programs that cannot run: the reason at creation, no task left" {
  for case in 'nosuch|executable file not found in $PATH' '/no/such|no such file or directory' '/etc/passwd|permission denied' '/etc|permission denied'; do
    run c run "$(image)" "$ID" "${case%%|*}"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"OCI runtime create failed: exec: \"${case%%|*}\": ${case#*|}"* ]]
    [[ "$(c tasks ls -q)" != *"$ID"* ]]
    c containers rm "$ID"
  done
}

@test "--with-ns joins namespaces; one of another kind is an error" {
  ip netns add "ref-run-$$"
  ip -n "ref-run-$$" link add name marker type veth peer name other
  r --with-ns "network:/run/netns/ref-run-$$" -- ip link show marker
  joined=$status
  r --with-ns "ipc:/run/netns/ref-run-$$" -- true
  wrong=$status
  ip netns del "ref-run-$$"
  [ "$joined" -eq 0 ]
  [ "$wrong" -eq 1 ]
  pid=$(c tasks ls | awk '$1 == "base" {print $2}')
  for kind in pid ipc uts; do
    r --with-ns "$kind:/proc/$pid/ns/$kind" -- readlink "/proc/self/ns/$kind"
    [ "$output" = "$(readlink "/proc/$pid/ns/$kind")" ]
  done
  r --with-ns "network:/no/such" -- true
  [[ "$output" == *"/no/such"*"No such file"* ]]
}

@test "--uidmap and --gidmap make a user namespace" {
  r --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- sh -c 'id -u; cat /proc/self/uid_map; echo a >/dev/null && echo device'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = 0 ]
  [[ "${lines[1]}" == *0*100000*65536 ]]
  [ "${lines[2]}" = device ]
}

@test "--rootfs-propagation" {
  r --rootfs-propagation shared -- grep ' / / ' /proc/self/mountinfo
  [[ "$output" == *shared:* ]]
  r --rootfs-propagation nonsense -- true
  [ "$status" -eq 1 ]
}

@test "--pid-file, --null-io" {
  r --pid-file "$WORK/pidfile" -- echo shown
  [ "$output" = shown ]
  [ "$(cat "$WORK/pidfile")" -gt 1 ]
  r --null-io -- echo hidden
  [ "$output" = "" ]
}

@test "--log-uri file:// and a scheme that does not exist" {
  r --log-uri "file://$WORK/new/dir/log" -- sh -c 'echo one; echo two >&2'
  [ "$(cat "$WORK/new/dir/log")" = $'one\ntwo' ]
  r --log-uri "gopher://x" -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *"unknown STDIO scheme gopher"* ]]
}

@test "--log-uri binary:// hands both streams to a program, for run and exec" {
  r --log-uri "binary://$WORK/logger?$WORK/logged=key" -- sh -c 'echo one; echo two >&2'
  [ "$status" -eq 0 ]
  for _ in $(seq 50); do grep -q end "$WORK/logged" && break; sleep 0.1; done
  cat "$WORK/logged"
  grep -qx "id=$ID namespace=default arguments=key:" "$WORK/logged"
  grep -qx "out one" "$WORK/logged"
  grep -qx "err two" "$WORK/logged"
  x --log-uri "binary://$WORK/logger?$WORK/logged-exec" -- echo three
  for _ in $(seq 50); do grep -q end "$WORK/logged-exec" && break; sleep 0.1; done
  grep -qx "id=$ID namespace=default arguments=:" "$WORK/logged-exec"
  grep -qx "out three" "$WORK/logged-exec"
  r --log-uri "binary:///no/such/logger" -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *"/no/such/logger"* ]]
}

@test "a log program that dies ends neither shim nor container" {
  printf '#!/bin/sh\nexec 5>&-\n' >"$WORK/dead-logger"; chmod +x "$WORK/dead-logger"
  c run -d --log-uri "binary://$WORK/dead-logger" "$(image)" "$ID" sh -c 'trap "" PIPE; while :; do echo x 2>/dev/null; sleep 0.1; done'
  sleep 0.5
  run c tasks ls
  [[ "$output" == *"$ID"*RUNNING* ]]
}

@test "--runc-root holds the state, --runc-binary is accepted, systemd cgroups are refused" {
  c run -d --runc-root "$WORK/runc-root" --runc-binary /usr/sbin/runc "$(image)" "$ID" sleep 100
  [ -e "$WORK/runc-root/default/$ID/state.json" ]
  c tasks rm -f "$ID"
  [ ! -e "$WORK/runc-root/default/$ID" ]
  c containers rm "$ID"
  r --runc-systemd-cgroup --cgroup machine.slice:ref:x -- true
  [ "$status" -eq 1 ]
  [[ "$output" == *systemd* ]]
}

@test "exec: users by name and number, working directory, status, signals" {
  x --user user -- id -u
  [ "$output" = 1000 ]
  x --user 1:1 -- id -g
  [ "$output" = 1 ]
  x --user 7777 -- id -u
  [ "$output" = 7777 ]
  x --user nosuch -- id
  [ "$status" -eq 1 ]
  x --user 4294967296 -- id -u
  [ "$status" -eq 1 ]
  x --cwd /data -- pwd
  [ "$output" = /data ]
  x --cwd /no/such -- pwd
  [ "$status" -eq 1 ]
  [[ "$output" == *"OCI runtime exec failed"*"/no/such"* ]]
  x -- sh -c 'exit 3'
  [ "$status" -eq 3 ]
  x -- sh -c 'kill -9 $$'
  [ "$status" -eq 137 ]
  x -- nosuch
  [ "$status" -eq 1 ]
  [[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
}

@test "exec has the container's limits: cgroup, capabilities, no_new_privs, nothing inherited" {
  x -- sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u; grep -E "CapEff|NoNew" /proc/self/status; ls /proc/self/fd | wc -l'
  [ "${lines[0]}" = /default/base ]
  [[ "${lines[1]}" == *00000000a80425fb ]]
  [[ "${lines[2]}" == *1 ]]
  [ "${lines[3]}" -le 4 ]
}

@test "exec -t gives a terminal" {
  run script -qec "ctr -a $WORK/run/containerd.sock tasks exec -t --exec-id $ID base sh -c 'tty; stty size'" /dev/null
  echo "$output"
  [[ "$output" == *"/dev/pts/"* ]]
}

@test "exec -d and exec after a restart of the daemon" {
  # In a container of its own: ctr's `--user` mounts a container's overlay a second time, after which the kernel lets the first make no
  # more files (the same with every daemon).
  c run -d "$(image)" "$ID" sleep 100
  c tasks exec --exec-id detached -d "$ID" touch /tmp/detached
  pid=$(c tasks ls | awk -v id="$ID" '$1 == id {print $2}')
  for _ in $(seq 100); do [ ! -e "/proc/$pid/root/tmp/detached" ] || break; sleep 0.1; done
  stop_daemon KILL
  start_daemon
  run c tasks exec --exec-id after "$ID" ls /tmp/detached
  [ "$output" = /tmp/detached ]
}

@test "pause, resume, kill and delete say what does not fit" {
  c run -d "$(image)" "$ID" sleep 100
  run c tasks rm "$ID"
  [ "$status" -eq 1 ]
  [[ "$output" == *"must be stopped"* ]]
  c tasks pause "$ID"
  run c tasks exec --exec-id paused "$ID" true
  [ "$status" -eq 1 ]
  [[ "$output" == *paused* ]]
  run c tasks pause "$ID"
  [ "$status" -eq 1 ]
  c tasks resume "$ID"
  run c tasks resume "$ID"
  [ "$status" -eq 1 ]
  run c tasks kill --exec-id nosuch "$ID"
  [[ "$output" == *"not found"* ]]
  run c tasks start "$ID"
  [ "$status" -eq 1 ]
  c tasks pause "$ID"
  c tasks kill -s KILL "$ID"
  for _ in $(seq 50); do c tasks ls | grep "$ID" | grep -q STOPPED && break; sleep 0.1; done
  run c tasks kill "$ID"
  [[ "$output" == *"already finished: not found"* ]]
  run c tasks exec --exec-id late "$ID" true
  [ "$status" -eq 1 ]
  run c tasks checkpoint "$ID"
  [ "$status" -eq 1 ]
}

@test "containers create, then tasks start" {
  c containers create "$(image)" "$ID" ls /data/fresh/four
  run c tasks ls -q
  [[ "$output" != *"$ID"* ]]
  run c tasks start "$ID"
  [ "$output" = /data/fresh/four ]
}

# Attaches to the task, with its output in FILE, until COMMAND holds.
attached() { # FILE COMMAND...
  local file=$1 client
  shift
  ctr -a "$WORK/run/containerd.sock" tasks attach "$ID" >"$file" 2>&1 3>&- </dev/null &
  client=$!
  for _ in $(seq 600); do "$@" && break || sleep 0.1; done
  kill -KILL "$client"
  wait "$client" || true
  "$@"
}

@test "attach: detach, attach again, the output goes on" {
  mkdir -p "$WORK/attach"
  c run -d --fifo-dir "$WORK/attach" "$(image)" "$ID" sh -c 'i=0; while [ $i -lt 2000 ]; do echo tick $i; i=$((i+1)); sleep 0.05; done'
  for round in 1 2; do
    attached "$WORK/attached$round" grep -q tick "$WORK/attached$round"
  done
  run c tasks ls
  [[ "$output" == *"$ID"*RUNNING* ]]
}

@test "much output without a reader: the program waits, the shim does not grow, and everything comes" {
  mkdir -p "$WORK/flood"
  c run -d --fifo-dir "$WORK/flood" "$(image)" "$ID" sh -c 'sleep 2; head -c 20000000 /dev/zero | tr "\0" x; echo; exec sleep 100'
  # Nobody reads any more when it begins.
  sleep 3
  pid=$(c tasks ls | awk -v id="$ID" '$1 == id {print $2}')
  shim=$(awk '/PPid/ {print $2}' "/proc/$pid/status")
  [ "$(awk '/VmRSS/ {print $2}' "/proc/$shim/status")" -lt 20000 ]
  run c tasks ls
  [[ "$output" == *"$ID"*RUNNING* ]]
  attached "$WORK/flooded" sh -c '[ "$(stat -c %s "$1")" -ge 20000000 ]' - "$WORK/flooded"
  [ "$(tr -cd x <"$WORK/flooded" | wc -c)" -eq 20000000 ]
}

@test "kill -9 of the shim: the daemon reports 137 and cleans up" {
  c run -d "$(image)" "$ID" sleep 1000
  pid=$(c tasks ls | awk -v id="$ID" '$1 == id {print $2}')
  ctr -a "$WORK/run/containerd.sock" events >"$WORK/died" 2>&1 3>&- &
  events=$!
  listening c "$WORK/died"
  kill -KILL "$(awk '/PPid/ {print $2}' "/proc/$pid/status")"
  for _ in $(seq 300); do [ -e "/proc/$pid" ] || break; sleep 0.1; done
  [ ! -e "/proc/$pid" ]
  heard "$WORK/died" /tasks/exit
  # The daemon tells of the exit first, and cleans up after it.
  for _ in $(seq 100); do [ -e "$WORK/run/io.containerd.runtime.v2.task/default/$ID" ] || break; sleep 0.1; done
  kill $events
  cat "$WORK/died"
  grep /tasks/exit "$WORK/died" | grep -q '"exit_status":137'
  [ ! -e "$WORK/run/io.containerd.runtime.v2.task/default/$ID" ]
  [ ! -e "/sys/fs/cgroup/pids/default/$ID" ]
  c containers rm "$ID"
}

@test "two daemons may use one namespace and id: each has its own container" {
  other=$WORK/other
  mkdir -p "$other" "$other/plain" && cp /bin/busybox "$other/plain/sh"
  printf 'version = 2\nroot = "%s"\nstate = "%s"\n' "$other/root" "$other/run" >"$other/config.toml"
  "$DAEMON" serve --config "$other/config.toml" >"$other/log" 2>&1 3>&- &
  daemon=$!
  o() { ctr -a "$other/run/containerd.sock" "$@"; }
  for _ in $(seq 100); do o version >/dev/null 2>&1 && break; sleep 0.1; done
  c run -d --rootfs "$other/plain" "$ID" /sh -c 'while :; do :; done'
  # Only the cgroup is the machine's, and named by who makes the container.
  o run -d --cgroup "/other/$ID" --rootfs "$other/plain" "$ID" /sh -c 'while :; do :; done'
  [ "$(c tasks ls | awk -v id="$ID" '$1 == id {print $3}')" = RUNNING ]
  o tasks rm -f "$ID"
  [ "$(c tasks ls | awk -v id="$ID" '$1 == id {print $3}')" = RUNNING ]
  # Killed, and known again.
  stop_daemon KILL
  start_daemon
  [ "$(c tasks ls | awk -v id="$ID" '$1 == id {print $3}')" = RUNNING ]
  c tasks rm -f "$ID"
  kill "$daemon"
  wait "$daemon" || true
  rmdir /sys/fs/cgroup/*/other /sys/fs/cgroup/other 2>/dev/null || true
}

@test "the shim speaks: -v, -info, nothing on standard error" {
  shim=$BUILD_DIR/containerd-shim-ref-v2
  [[ "$("$shim" -v)" == *"Version: "* ]]
  "$shim" -info </dev/null 2>"$WORK/shim-errors" | grep -qa io.containerd.ref.v2
  run bash -c "'$shim' -namespace n -id i nonsense 2>>'$WORK/shim-errors'"
  [ "$status" -eq 1 ]
  [[ "$output" == *"no such command"* ]]
  [ ! -s "$WORK/shim-errors" ]
}
