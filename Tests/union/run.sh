#!/bin/sh
# Tests of Sources/CUnion, by the raw device and by libfuse: as root, in three minutes. Prints TAP; fails if a test does. SANITIZE=thread (or address,undefined) builds the server with it.
[ -e /dev/fuse ] || { echo "1..0 # SKIP there is no /dev/fuse"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP mounting needs root"; exit 0; }
here=$(dirname "$(readlink -f "$0")")
sources=$here/../../Sources
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export PYTHONDONTWRITEBYTECODE=1
gcc -std=gnu11 -Wall -Wextra -Werror -O2 -g ${SANITIZE:+-fsanitize=$SANITIZE} $(printf -- "-I%s/include " "$sources/CIdle" "$sources/CUnion" "$sources/CFuse" "$sources/CLibFuse") \
  $(pkg-config --cflags fuse3) "$here/mount-union.c" "$sources"/CIdle/*.c "$sources"/CUnion/*.c "$sources"/CFuse/*.c "$sources"/CLibFuse/*.c -o "$scratch/mount-union" \
  -lfuse3 -lpthread || exit 1
{
  for options in -p "" -u "-p -c" "-u -c" "-l -p" -l; do
    [ "${options#-u}" != "$options" ] || python3 "$here/checks.py" "$scratch/mount-union" $options || echo "failed: checks.py $options"
    [ "$options" = -l ] || python3 "$here/oracle.py" "$scratch/mount-union" $options seeds=8 first="${SEED:-1}" || echo "failed: oracle.py $options"
  done
  for options in -p "" "-p -c"; do
    python3 "$here/stress.py" "$scratch/mount-union" $options || echo "failed: stress.py $options"
    python3 "$here/kills.py" "$scratch/mount-union" $options || echo "failed: kills.py $options"
  done
  python3 "$here/stress.py" "$scratch/mount-union" -l -p || echo "failed: stress.py -l -p"
} | awk '
  /^(not )?ok [0-9]+ /  { number++; sub(/ok [0-9]+/, "ok " number); if (/^not/) failures++; print; fflush(); next }
  /^1\.\.[0-9]+$/       { next }
  /^failed: /           { failures++; print "# " $0; next }
                        { print }
  END                   { print "1.." number; exit failures > 0 || number < 860 }'
