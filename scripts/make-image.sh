#!/usr/bin/env bash
# Makes a small OCI image from this machine's own packages: make-image.sh LAYOUT [TAG]
# Three layers: BusyBox with its links, users; files that are then changed; deletions, an opaque directory and hard links.
# Needs busybox-static, umoci and root.
set -euo pipefail
layout=$1
tag=${2:-latest}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -e "$layout/index.json" ] || umoci init --layout "$layout" >/dev/null
umoci new --image "$layout:$tag" >/dev/null

layer() { # layer COMMANDS: unpack, change, pack
  umoci unpack --image "$layout:$tag" "$work/bundle" >/dev/null 2>&1
  (cd "$work/bundle/rootfs" && eval "$1")
  umoci repack --image "$layout:$tag" "$work/bundle" >/dev/null 2>&1
  rm -rf "$work/bundle"
}

layer '
  mkdir -p bin etc tmp root dev proc sys usr/bin var/log home/user
  chmod 1777 tmp; chmod 700 root
  cp /bin/busybox bin/busybox
  for name in $(/bin/busybox --list); do [ "$name" = busybox ] || ln -s busybox "bin/$name"; done
  printf "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nuser:x:1000:1000:user:/home/user:/bin/sh\n" >etc/passwd
  printf "root:x:0:\ndaemon:x:1:\nusers:x:100:user\nuser:x:1000:\n" >etc/group
  chown 1000:1000 home/user
'
layer '
  mkdir -p data/old data/opaque/deep; for i in 1 2 3; do echo "$i" >data/old/$i; echo "$i" >data/opaque/deep/$i; done
  echo first >data/linked; ln data/linked data/linked-twice; ln -s ../etc/passwd data/passwd-link
  echo setuid >data/setuid; chmod 4755 data/setuid; mkfifo data/fifo; mknod data/null c 1 3
'
layer '
  rm data/old/2; rm -r data/opaque; mkdir data/opaque; echo new >data/opaque/new
  ln data/old/1 data/one-more; touch -d "2001-02-03 04:05:06.789" data/dated
'
layer 'rm -r data/old; mkdir data/fresh; echo four >data/fresh/four; rm data/setuid'
layer 'echo five >data/fresh/five; ln data/fresh/four data/fresh/four-again; rm data/linked-twice'
umoci config --image "$layout:$tag" --config.env PATH=/bin:/usr/bin --config.cmd /bin/sh --config.workingdir / >/dev/null
