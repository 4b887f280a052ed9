#!/usr/bin/env bash
# Makes an OCI image of a Debian root file system with debootstrap: make-debian-image.sh LAYOUT TAG [CACHE]
# Two layers: the distribution as debootstrap leaves it (setuid programs, hard links, device nodes, thousands of entries), then what few
# images have all of: a file capability, attributes, nanosecond times, a device, a sparse file, names that are no UTF-8, a socket.
# CACHE, a tar file, is used if it is there and written if not. Needs debootstrap, umoci, libcap2-bin, attr and root; gets packages from
# the mirror in DEBIAN_MIRROR (Debian's own as the default).
set -euo pipefail
layout=$1
tag=$2
cache=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/bundle/rootfs
[ -e "$layout/index.json" ] || umoci init --layout "$layout" >/dev/null
umoci new --image "$layout:$tag" >/dev/null
umoci unpack --image "$layout:$tag" "$work/bundle" >/dev/null 2>&1
if [ -n "$cache" ] && [ -e "$cache" ]; then
  tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner -xf "$cache"
else
  # A mirror may fail once.
  for left in 1 0; do
    debootstrap --variant=minbase bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/log" 2>&1 && break
    tail -20 "$work/log" >&2
    [ $left = 1 ] || exit 1
    find "$root" -xdev -mindepth 1 -delete
  done
  rm -rf "$root"/var/cache/apt/archives/*.deb
  [ -z "$cache" ] || tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner -cf "$cache" .
fi
umoci repack --image "$layout:$tag" "$work/bundle" >/dev/null 2>&1
rm -rf "$work/bundle"
umoci unpack --image "$layout:$tag" "$work/bundle" >/dev/null 2>&1
cd "$root"
cp -p usr/bin/id usr/bin/id-caps && setcap cap_net_raw,cap_net_bind_service+ep usr/bin/id-caps
mkdir -p opt/odd/empty && setfattr -n user.note -v "on a directory" opt/odd
echo x >opt/odd/noted && setfattr -n user.note -v "on a file" opt/odd/noted && chown 70000:3000000 opt/odd/noted && chmod 6751 opt/odd/noted
ln usr/bin/id opt/odd/id-again && ln usr/bin/id usr/bin/id-third
mknod opt/odd/device b 7 200 && mkfifo -m 620 opt/odd/pipe
truncate -s 3M opt/odd/sparse && printf end >>opt/odd/sparse
echo y >"opt/odd/$(printf 'latin-\351')" && ln -s "$(printf 'latin-\351')" opt/odd/latin-link
rm -r usr/share/doc && mkdir usr/share/doc && echo new >usr/share/doc/README
touch -h -d "1999-12-31 23:59:59.123456789" opt/odd/latin-link opt/odd/noted opt/odd
umoci repack --image "$layout:$tag" "$work/bundle" >/dev/null 2>&1
umoci config --image "$layout:$tag" --config.env PATH=/usr/sbin:/usr/bin:/sbin:/bin --config.cmd /bin/bash >/dev/null
