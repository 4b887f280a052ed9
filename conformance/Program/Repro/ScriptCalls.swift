/// gRPC calls as they stand on the wire, and what is answered, compared value by value.
enum ScriptCalls {
  /// The call itself, and the values of an answer: as `WireForm` writes them.
  static let calls = #"""
    # ---- Calls as they stand on the wire. An answer is its status and, line by line, every value in its messages with the numbers of the fields around it.
    need curl python3
    [ -S "$SOCKET" ] || not_tried "there is no socket $SOCKET"
    : >"$WORK/err"
    declare -A spaces=()

    cat >"$WORK/values.py" <<'END'
    import sys, time

    def leaves(data, path):
        at, lines, counts = 0, [], {}
        def number():
            nonlocal at
            value = 0
            for shift in range(0, 70, 7):
                byte = data[at]; at += 1
                value |= (byte & 127) << shift
                if byte < 128: return value & (1 << 64) - 1
            raise IndexError
        def piece(count):
            nonlocal at
            if count > len(data) - at: raise IndexError
            at += count
            return data[at - count:at]
        while at < len(data):
            key = number()
            if key >> 3 == 0: raise IndexError
            place = path + ("." if path else "") + str(key >> 3)
            if key & 7 == 0:
                value = number()
                lines.append("%s=%s" % (place, "a time of today" if abs(value - time.time()) < 172800 else value))
            elif key & 7 in (1, 5): lines.append("%s=x%s" % (place, piece(8 if key & 7 == 1 else 4).hex()))
            elif key & 7 == 2:
                value = piece(number())
                counts[key >> 3] = counts.get(key >> 3, 0) + 1
                text = words(value)
                if text is not None: lines.append('%s="%s"' % (place, text)); continue
                try: lines += leaves(value, place)
                except IndexError: lines.append("%s=%d bytes %s" % (place, len(value), value[:32].hex()))
            else: raise IndexError
        return lines + [path + ("." if path else "") + "%d occurs %d" % pair for pair in counts.items()]
    def words(value):
        try: text = value.decode()
        except UnicodeDecodeError: return None
        if any(ord(c) == 127 or (ord(c) < 32 and c not in "\n\t") for c in text): return None
        return text.replace("\\", "\\\\").replace("\n", "\\n")

    raw, at = open(sys.argv[1], "rb").read(), 0
    while at + 5 <= len(raw):
        size = int.from_bytes(raw[at + 1:at + 5], "big")
        try: found = leaves(raw[at + 5:at + 5 + size], "")
        except IndexError: found = ["unreadable"]
        at += 5 + size
        for line in found: print(line)
    END

    # call METHOD MESSAGES NAMESPACE LEASE: the messages in hexadecimal digits, each with its five bytes of frame; - is the script's own, none is no header.
    call() {
      local more=() space=$3 lease=$4 status
      [ "$space" != - ] || space=$NAMESPACE
      [ "$lease" != - ] || lease=${LEASE:-none}
      [ "$space" = none ] || { more+=(-H "containerd-namespace: $space"); spaces[$space]=yes; }
      [ "$lease" = none ] || more+=(-H "containerd-lease: $lease")
      bytes "$2" >"$WORK/request"
      : >"$WORK/out"
      : >"$WORK/head"
      curl -sS --max-time 60 --http2-prior-knowledge --unix-socket "$SOCKET" -H 'content-type: application/grpc' -H 'te: trailers' "${more[@]}" \
        --data-binary "@$WORK/request" -D "$WORK/head" -o "$WORK/out" "http://localhost/$1" 2>"$WORK/err" || :
      tr -d '\r' <"$WORK/head" | sed -n 's/^grpc-message: *//p' >>"$WORK/err"
      status=$(tr -d '\r' <"$WORK/head" | sed -n 's/^grpc-status: *//p' | tail -n 1)
      local names=(ok cancelled unknown "invalid argument" "deadline exceeded" "not found" "already exists" "permission denied" "resource exhausted" \
        "failed precondition" aborted "out of range" unimplemented "internal error" unavailable "data loss" unauthenticated)
      if [ -z "$status" ]; then answer="no answer"; return 1; fi
      answer="status ${names[status]:-$status}"
      answer="$answer"$'\n'"$(python3 "$WORK/values.py" "$WORK/out")"
      answer=${answer%$'\n'}
      [ "$status" = 0 ]
    }
    """#

  /// Namespaces that the calls name, and which are the case's own: nothing else of the daemon is touched.
  static let daemon = #"""
    # ---- A whole daemon: the namespaces of the case are made by its calls, and taken away with all that is in them.
    need ctr
    list_spaces() { ctr --address "$SOCKET" namespaces ls -q | grep -E "^$PREFIX(-|\$)" || :; }
    tidy_up() {
      local space kind
      for space in $(list_spaces); do
        in_space() { ctr --address "$SOCKET" -n "$space" "$@"; }
        in_space containers ls -q | xargs -r ctr --address "$SOCKET" -n "$space" containers rm
        in_space images ls -q | xargs -r ctr --address "$SOCKET" -n "$space" images rm --sync
        in_space leases ls -q | xargs -r -n 1 ctr --address "$SOCKET" -n "$space" leases rm --sync
        for _ in 1 2 3 4 5 6 7 8; do
          in_space snapshots --snapshotter "$SNAPSHOTTER" ls | awk 'NR > 1 { print $1 }' | tac |
            xargs -r -n 1 ctr --address "$SOCKET" -n "$space" snapshots --snapshotter "$SNAPSHOTTER" rm || :
        done
        in_space content ls -q | xargs -r ctr --address "$SOCKET" -n "$space" content rm
        ctr --address "$SOCKET" namespaces rm "$space"
      done
    }
    [ -z "$(list_spaces)" ] || not_tried "$SOCKET has a namespace $PREFIX already"
    """#
}
