/// Command lines of OCI runtimes.
enum ScriptRuntimes {
  /// The process to which containers fall when the command that made them ends.
  static let parent = #"""
    if [ -z "${REPRO_CODES:-}" ]; then
      # Containers outlive the runtime's commands: their parent is then this program, which writes down how each process ended.
      REPRO_CODES=$(mktemp -d)
      export REPRO_CODES
      exec python3 -c '
    import ctypes, os, shutil, sys
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    script = os.fork()
    if script == 0: os.execvp(sys.argv[1], sys.argv[1:])
    while True:
        pid, status = os.wait()
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        if pid == script:
            shutil.rmtree(os.environ["REPRO_CODES"], True)
            sys.exit(code)
        path = os.environ["REPRO_CODES"] + "/%d" % pid
        with open(path + ".new", "w") as out: out.write("%d\n" % code)
        os.rename(path + ".new", path)
    ' bash "$0"
    fi
    """#

  /// Bundles, verbs, and what can be seen of a container.
  static let calls = #"""
    # ---- Containers: the runtime's command line, bundles with busybox, and what can be seen of them.
    need python3 timeout
    BUSYBOX=/bin/busybox
    [ -x "$BUSYBOX" ] || not_tried "this needs $BUSYBOX"
    command -v "${RUNTIME[0]}" >/dev/null || not_tried "there is no program ${RUNTIME[0]}"
    ROOT=$WORK/ring/outer/state
    MARK=repro-$$-$RANDOM
    : >"$WORK/err"
    mkdir -p "$WORK/case" "$ROOT"
    chmod 700 "$ROOT"
    chmod 755 "$WORK"

    bundle() { # PATH APPLET…
      local at=$1 name
      shift
      for name in bin dev etc proc sys tmp data; do mkdir -p "$at/rootfs/$name"; done
      cp "$BUSYBOX" "$at/rootfs/bin/busybox"
      for name in "$@"; do ln -s busybox "$at/rootfs/bin/$name"; done
      answer=done
    }
    config() { printf '%s' "$2" >"$1/config.json" && answer=done; } # BUNDLE TEXT
    directory() { mkdir -p "$1" && answer=done; }
    file() { printf '%s' "$2" >"$1" && answer=done; }

    runtime() { # IN OUT ERR DIRECTORY VERB WORD…
      local in=$1 out=$2 err=$3 at=$4 code=0 printed said
      shift 4
      printed=$(stat -c %s "$out" 2>/dev/null || echo 0)
      said=$(stat -c %s "$err" 2>/dev/null || echo 0)
      (cd "$at" && exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C \
        timeout 60 "${RUNTIME[@]}" --root "$ROOT" "$@" <"$in" >>"$out" 2>>"$err") || code=$?
      tail -c +$((said + 1)) "$err" >"$WORK/err"
      if [ "$code" -ne 0 ]; then answer=refused; return 1; fi
      answer=done
      [ "$1" != state ] || state "$(tail -c +$((printed + 1)) "$out")"
    }
    state() {
      answer=$(printf '%s' "$1" | python3 -c '
    import json, sys
    try: found = json.load(sys.stdin)
    except ValueError: print("no state"); sys.exit()
    status = found.get("status", "none")
    pid = (" pid set" if found.get("pid", 0) > 0 else " pid none") if status in ("created", "running") else ""
    notes = "".join(" %s=%s" % pair for pair in sorted((found.get("annotations") or {}).items()))
    print("state %s %s %s%s%s" % (found.get("id", "none"), status, found.get("bundle", "none"), pid, notes))')
    }
    ended() { # BUNDLE: the exit code, as the parent of all here got it
      local pid i
      pid=$(cat "$1/pid" 2>/dev/null) || { answer="no pid"; return 1; }
      for i in $(seq 400); do
        if [ -s "$REPRO_CODES/$pid" ]; then answer="ended $(cat "$REPRO_CODES/$pid")"; return; fi
        sleep 0.05
      done
      answer="did not end"
    }
    printed() { answer="printed $(tr '\n' / <"$1/out")"; }
    awaits() { # FILE LINE
      local i
      for i in $(seq 200); do
        if grep -qxF -- "$2" "$1" 2>/dev/null; then answer=seen; return; fi
        sleep 0.05
      done
      answer="not seen"
    }
    noted() { answer="noted $(cat "$1" 2>/dev/null | tr '\n' /)"; }
    noted_state() { state "$(cat "$1" 2>/dev/null)"; }
    namespace() { # BUNDLE NAME
      local pid theirs
      pid=$(cat "$1/pid" 2>/dev/null) && theirs=$(readlink "/proc/$pid/ns/$2") || { answer="no process"; return 1; }
      if [ "$theirs" = "$(readlink "/proc/self/ns/$2")" ]; then answer="the host's"; else answer="its own"; fi
    }

    tidy_up() {
      local id group pid
      for id in $(ls -A "$ROOT" 2>/dev/null); do "${RUNTIME[@]}" --root "$ROOT" delete --force "$id"; done
      for pid in $(cat "/proc/$PPID/task/$PPID/children"); do [ "$pid" = $$ ] || kill -KILL "$pid"; done
      for group in /sys/fs/cgroup "/sys/fs/cgroup"/*; do
        [ ! -d "$group/$MARK" ] || for _ in 1 2 3 4 5; do find "$group/$MARK" -depth -type d -exec rmdir {} + && break; sleep 0.2; done
      done
    }
    """#
}
