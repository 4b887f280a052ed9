/// Calls of a snapshotter, and what is done in its trees.
enum ScriptSnapshots {
  /// A function for every call and every deed.
  static let calls = #"""
    # ---- Snapshots.
    claimed=
    API=containerd.services.snapshots.v1.Snapshots
    snapshots() { tool snapshots --snapshotter "$SNAPSHOTTER" "$@"; }

    snapshot_info() { # KEY [MESSAGE]
      if [ -n "${2:-}" ]; then rpc $API/Stat "$2" && reads snapshot; else snapshots info "$1" && reads snapshot-json; fi
    }
    snapshot_usage() { # KEY [MESSAGE]
      if [ -n "${2:-}" ]; then rpc $API/Usage "$2" && reads usage; else snapshots usage -b "$1" && reads usage-table; fi
    }
    snapshot_make() { # SLOT prepare|view KEY PARENT [MESSAGE]
      if [ -n "${5:-}" ]; then
        rpc $API/"${2^}" "$5" && reads mounts "$1"
      else
        snapshots "$2" --mounts "$3" ${4:+"$4"} && reads mounts-json "$1"
      fi
    }
    snapshot_mounts() { rpc $API/Mounts "$2" && reads mounts "$1"; } # SLOT MESSAGE; `ctr snapshots mounts` prints them as commands
    snapshot_update() { rpc $API/Update "$1" && reads snapshot; }
    snapshot_walk() { rpc $API/List "$1" && reads snapshots; }
    snapshot_cleanup() { rpc $API/Cleanup "$1"; }
    snapshot_commit() { # NAME KEY [MESSAGE]
      if [ -n "${3:-}" ]; then rpc $API/Commit "$3"; else snapshots commit "$1" "$2"; fi && { reads forget "snapshot $2"; answer=ok; }
    }
    snapshot_remove() { # KEY [MESSAGE]
      if [ -n "${2:-}" ]; then rpc $API/Remove "$2"; else snapshots rm "$1"; fi && { reads forget "snapshot $1"; answer=ok; }
    }

    all_snapshots() {
      left=()
      rpc $API/List "$LIST" || return 1
      cp "$WORK/out" "$WORK/list"
      while IFS= read -r -d '' key; do left+=("$key"); done < <(python3 "$WORK/read.py" "$WORK" names)
    }
    tidy_up() {
      [ -n "$claimed" ] || return 0 # what was there before is not ours
      for _ in $(seq 300); do
        all_snapshots || break
        [ "${#left[@]}" -gt 0 ] || break
        local before=${#left[@]}
        for key in "${left[@]}"; do snapshots rm "$key" || :; done # those that others stand on go in a later round
        all_snapshots || break
        [ "${#left[@]}" -lt "$before" ] || break
      done
      [ -z "${LEASE:-}" ] || ctr --address "$SOCKET" -n "$NAMESPACE" leases rm --sync "$LEASE"
      [ -z "${LEASE:-}" ] || ctr --address "$SOCKET" namespaces rm "$NAMESPACE"
    }

    # ---- Trees: mounted in a mount namespace of this script's own, at a place of its own, from what the backend answered.
    TREE=$WORK/tree
    mkdir "$TREE"
    enter() { # SLOT
      local kind source target options rest
      [ -s "$WORK/mounts.$1" ] || { answer="no mounts"; return 1; }
      while IFS=$'\x1f' read -r kind source target options rest; do
        case $kind in bind) kind=() ;; *) kind=(-t "$kind") ;; esac
        if ! mount "${kind[@]}" ${options:+-o "$options"} -- "$source" "$TREE/$target" 2>"$WORK/err"; then
          answer=refused
          return 1
        fi
        mounted+=("$TREE/$target")
      done <"$WORK/mounts.$1"
      answer=ok
    }
    leave() {
      local i
      for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}" 2>"$WORK/err" || umount -l "${mounted[i]}"; done
      mounted=()
      answer=ok
    }
    # The place of a path below the tree; nothing outside of it is ever touched, and nothing where no tree is mounted.
    place() {
      [ "${#mounted[@]}" -gt 0 ] || { answer=refused; return 1; }
      local up
      up=$(realpath -m -- "$TREE/$(dirname -- "$1")")
      case $up/ in "$TREE"/*) at=$TREE/$1 ;; *) not_tried "$1 leads out of the tree" ;; esac
    }
    follow() { place "$1" && case $(realpath -m -- "$at")/ in "$TREE"/*) ;; *) not_tried "$1 leads out of the tree" ;; esac; }
    outcome() { if "$@" 2>"$WORK/err" </dev/null; then answer=ok; else answer=refused; fi; }
    tree() { place "$2" && outcome "$1" "${@:3}" -- "$at"; }                                # COMMAND PATH OPTION…
    tree_two() { local old; place "$2" && old=$at && place "$3" && outcome "$1" "$4" -- "$old" "$at"; } # COMMAND OLD NEW OPTION
    tree_symlink() { place "$2" && outcome ln -s -- "$1" "$at"; }
    tree_owner() { follow "$1" && outcome chown "$2" -- "$at" && outcome chmod "$3" -- "$at"; }
    tree_write() { # PATH hex DIGITS | PATH fill OCTAL COUNT | PATH noise COUNT
      follow "$1" || return 1
      case $2 in
        hex) digits=${3:-}; put() { bytes "$digits"; } ;;
        fill) fill=$3 count=$4; put() { head -c "$count" /dev/zero | tr '\0' "\\$fill"; } ;;
        noise) count=$3; put() { head -c "$count" /dev/urandom; } ;;
      esac
      if { put >"$at"; } 2>"$WORK/err" && sync -- "$at"; then answer=ok; else answer=refused; fi
    }
    tree_read() {
      follow "$1" || return 1
      if [ ! -e "$at" ]; then answer="no file"; elif [ -d "$at" ]; then answer=refused
      else answer="bytes $(stat -Lc %s -- "$at") $(sha256sum <"$at" | cut -c 1-16)"; fi
    }
    tree_mode() { place "$1" && if answer=$(stat -c 'mode %a %u:%g' -- "$at" 2>"$WORK/err"); then :; else answer=refused; fi; }
    tree_names() {
      follow "$1" || return 1
      [ -d "$at" ] || { answer=refused; return 1; }
      answer="names $(find "$at" -mindepth 1 -maxdepth 1 -printf '%f\0' | sort -z | tr '\0' /)"
    }
    """#

  /// The store is made ready, or left alone.
  static let begin = #"""
    if [ -n "$WHOLE" ]; then
      # In a namespace of its own, under a lease: a containerd collects what nobody holds.
      ctr --address "$SOCKET" -n "$NAMESPACE" leases create --id repro >/dev/null || not_tried "no lease can be made: is a containerd behind $SOCKET?"
      LEASE=repro
    else
      all_snapshots || not_tried "$SOCKET does not list its snapshots: $(head -1 "$WORK/err")"
      [ "${#left[@]}" -eq 0 ] || not_tried "$SOCKET holds ${#left[@]} snapshots, and this script would remove them: give it an empty store"
    fi
    claimed=yes
    rm -f "$WORK/seen"
    """#
}
