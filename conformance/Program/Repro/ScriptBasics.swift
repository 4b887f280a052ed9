/// What the scripts of `repro` have beside their steps: functions of bash, each for one kind of call.
enum ScriptBasics {
  /// Steps, verdicts, and the end of all that was made.
  static let start = #"""
    # ---- What a script needs beside its steps.
    number=0 compared=0 verdict= answer= mounted=() digits= MARK=
    export LC_ALL=C

    not_tried() {
      verdict=2
      echo "NOT TRIED: $*"
      exit 2
    }

    finish() {
      local status=$?
      trap - EXIT
      set +e
      for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount -l "${mounted[i]}"; done
      tidy_up >"$WORK/tidy" 2>&1
      rm -rf --one-file-system "$WORK"
      if [ -z "$verdict" ]; then
        echo "NOT TRIED: the script itself failed in step $number (status $status)"
        exit 2
      fi
      exit "$verdict"
    }
    tidy_up() { :; }

    need() { for tool in "$@"; do command -v "$tool" >/dev/null || not_tried "this needs $tool"; done; }

    # step WHAT EXPECTED COMMAND…: does it, and compares what came with what a good one answers; nothing expected is nothing compared.
    step() {
      local what=$1 expected=$2 words=() word
      shift 2
      number=$((number + 1))
      answer=
      for word in "$@"; do
        word=${word//@WORK@/"$WORK"}
        words+=("${word//@MARK@/"$MARK"}")
      done
      "${words[@]}" || :
      answer=${answer//"$WORK"/@WORK@}
      [ -z "$MARK" ] || answer=${answer//"$MARK"/@MARK@}
      if [ -z "$expected" ]; then
        echo "$number. $what: $answer (not compared)"
      elif same "$expected" "$answer"; then
        compared=$((compared + 1))
        echo "$number. $what: ${answer//$'\n'/, }"
      else
        expected=${expected//$'\n'/, } answer=${answer//$'\n'/, }
        echo "$number. $what"
        echo "   expected: $expected"
        echo "   came:     $answer"
        [ ! -s "$WORK/err" ] || sed 's/^/   it said:  /' "$WORK/err" | head -5
        verdict=1
        echo "BROKEN: $PROMISE: step $number, $what: expected $expected, came $answer"
        exit 1
      fi
    }
    kept() {
      [ "$compared" -gt 0 ] || not_tried "no answer could be compared"
      verdict=0
      echo "KEPT: $PROMISE: $compared answers are those of a good one"
      exit 0
    }

    # Of amounts only the order of magnitude counts: directories and roots differ between file systems.
    same() {
      [ "$1" != "$2" ] || return 0
      case $1 in
        # Every value that good ones agree on; more may come.
        "status "*)
          local line
          while IFS= read -r line; do grep -qxF -e "$line" <<<"$2" || return 1; done <<<"$1"
          return 0
          ;;
        refused) case $2 in "not found" | "already exists" | "failed precondition" | "invalid argument" | "not implemented" | unavailable | "out of range" | "another error" | refused) return 0 ;; esac ;;
        "usage "*)
          [[ $2 =~ ^usage\ (-?[0-9]+)\ (-?[0-9]+)\ ([0-9]+)$ ]] || return 1
          local inodes=${BASH_REMATCH[1]} size=${BASH_REMATCH[2]} order=${BASH_REMATCH[3]}
          [[ $1 =~ ^usage\ (-?[0-9]+)\ (-?[0-9]+)\ ([0-9]+)$ ]] || return 1
          ((order == BASH_REMATCH[3] && inodes - BASH_REMATCH[1] <= 1 && BASH_REMATCH[1] - inodes <= 1)) || return 1
          ((size >= 0 && size - BASH_REMATCH[2] < 65536 && BASH_REMATCH[2] - size < 65536)) && return 0
          ;;
      esac
      return 1
    }

    bytes() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1" | tr -d '\n')"; }

    WORK=$(mktemp -d "${TMPDIR:-/tmp}/repro.XXXXXX")
    trap finish EXIT
    trap 'exit 130' INT TERM
    """#
}
