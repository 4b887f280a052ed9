#!/usr/bin/env bats
# Networking is never in the core: between create and start anybody may enter the network namespace, and a container may join one that exists.

load lib

REFRUN=$BUILD_DIR/refrun

setup() {
  [ "$(id -u)" = 0 ] || skip "needs root: it makes network namespaces"
  NET=$(mktemp -d /tmp/ref-net-XXXXXX)
  mkdir -p "$NET/bundle/rootfs/bin" "$NET/bundle/rootfs/proc" "$NET/bundle/rootfs/sys" "$NET/bundle/rootfs/dev" "$NET/root" "$NET/ipam"
  cp /bin/busybox "$NET/bundle/rootfs/bin/"
  for name in sh ip sleep ls; do ln -s busybox "$NET/bundle/rootfs/bin/$name"; done
}

teardown() {
  [ -n "${NET:-}" ] || return 0
  "$REFRUN" --root "$NET/root" delete --force net >/dev/null 2>&1 || true
  ip netns del "ref-e2e-$$" 2>/dev/null || true
  ip link del ref-e2e0 2>/dev/null || true
  rm -rf "$NET"
}

spec() { # spec NETWORK-NAMESPACE-JSON ARGS…
  local network=$1
  shift
  (cd "$NET/bundle" && rm -f config.json && "$REFRUN" spec)
  jq --argjson network "$network" --argjson args "$(printf '%s\n' "$@" | jq -R . | jq -s .)" '
    .process.terminal = false | .process.args = $args
    | .linux.namespaces |= map(if .type == "network" then $network else . end)' \
    <"$NET/bundle/config.json" >"$NET/config.json"
  mv "$NET/config.json" "$NET/bundle/config.json"
}

cni() { # cni ADD|DEL PID
  printf '{"cniVersion":"0.4.0","name":"ref-e2e","type":"bridge","bridge":"ref-e2e0","isGateway":true,"ipam":{"type":"host-local","subnet":"10.201.7.0/24","dataDir":"%s"}}' "$NET/ipam" |
    CNI_COMMAND=$1 CNI_CONTAINERID=net CNI_NETNS=/proc/$2/ns/net CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge
}

@test "a CNI plugin adds an interface between create and start, and the program sees it" {
  spec '{"type":"network"}' /bin/ip -4 -o addr show dev eth0
  "$REFRUN" --root "$NET/root" create --bundle "$NET/bundle" --pid-file "$NET/pid" net >"$NET/out" 2>&1 </dev/null
  pid=$(cat "$NET/pid")
  [ "$("$REFRUN" --root "$NET/root" state net | jq -r .status)" = created ]
  [ ! -s "$NET/out" ]
  cni ADD "$pid" | jq -e '.ips[0].address'
  "$REFRUN" --root "$NET/root" start net
  for _ in $(seq 50); do [ -s "$NET/out" ] && break; sleep 0.1; done
  cat "$NET/out"
  grep -q 'inet 10\.201\.7\.' "$NET/out"
}

@test "a container joins a network namespace that exists" {
  ip netns add "ref-e2e-$$"
  ip -n "ref-e2e-$$" link add name marker type veth peer name other
  spec "{\"type\":\"network\",\"path\":\"/run/netns/ref-e2e-$$\"}" /bin/ip link show marker
  run "$REFRUN" --root "$NET/root" run --bundle "$NET/bundle" net
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *marker* ]]
}
