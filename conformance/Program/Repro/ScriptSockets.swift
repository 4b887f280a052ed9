/// Calls of a server behind a socket.
enum ScriptSockets {
  /// By ctr and by curl, and what their answers are called.
  static let calls = #"""
    # ---- Calls: by ctr where it can make the very call, else by curl, which sends the gRPC message that stands in the step.
    need ctr curl python3
    [ -S "$SOCKET" ] || not_tried "there is no socket $SOCKET"
    : >"$WORK/err"

    tool() {
      if timeout 60 ctr --address "$SOCKET" --namespace "$NAMESPACE" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null; then
        answer=ok
        return 0
      fi
      local last
      last=$(tail -n 1 "$WORK/err")
      for answer in "not found" "already exists" "failed precondition" "invalid argument" "not implemented" unavailable; do
        [ "${last%": $answer"}" = "$last" ] || return 1
      done
      answer="another error"
      return 1
    }

    # rpc METHOD MESSAGES: the messages in hexadecimal digits, each with its five bytes of frame.
    rpc() {
      local more=()
      [ -z "${LEASE:-}" ] || more=(-H "containerd-lease: $LEASE")
      bytes "$2" >"$WORK/request"
      : >"$WORK/out"
      if ! curl -sS --max-time 60 --http2-prior-knowledge --unix-socket "$SOCKET" -H 'content-type: application/grpc' -H 'te: trailers' \
        -H "containerd-namespace: $NAMESPACE" "${more[@]}" --data-binary "@$WORK/request" -D "$WORK/head" -o "$WORK/out" "http://localhost/$1" 2>"$WORK/err"; then
        # A server may close the stream before it has read all; what it answered counts.
        grep -qi '^grpc-status:' "$WORK/head" || { answer="no answer"; return 1; }
      fi
      tr -d '\r' <"$WORK/head" | sed -n 's/^grpc-message: *//p' >>"$WORK/err"
      case $(tr -d '\r' <"$WORK/head" | sed -n 's/^grpc-status: *//p' | tail -n 1) in
        0) answer=ok; return 0 ;;
        3) answer="invalid argument" ;;
        5) answer="not found" ;;
        6) answer="already exists" ;;
        9) answer="failed precondition" ;;
        11) answer="out of range" ;;
        12) answer="not implemented" ;;
        14) answer=unavailable ;;
        *) answer="another error" ;;
      esac
      return 1
    }

    # Puts what was answered, in $WORK/out, into the words that the steps expect.
    cat >"$WORK/read.py" <<'END'
    import datetime, hashlib, json, sys

    work, form, words = sys.argv[1], sys.argv[2], sys.argv[3:]
    raw = open(work + "/out", "rb").read()
    try: seen = json.load(open(work + "/seen"))
    except FileNotFoundError: seen = {"mounts": [], "usages": [], "times": {}}

    def fields(data):
        at = 0
        def number():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]; at += 1
                value |= (byte & 127) << shift; shift += 7
                if byte < 128: return value - (1 << 64) if value >> 63 else value
        while at < len(data):
            key = number()
            if key & 7 == 0: yield key >> 3, number()
            elif key & 7 == 2:
                size = number(); yield key >> 3, data[at:at + size]; at += size
            elif key & 7 == 1: yield key >> 3, data[at:at + 8]; at += 8
            else: yield key >> 3, data[at:at + 4]; at += 4

    def messages():
        at = 0
        while at + 5 <= len(raw):
            size = int.from_bytes(raw[at + 1:at + 5], "big"); yield raw[at + 5:at + 5 + size]; at += 5 + size

    def one(data, field, default): return ([value for key, value in fields(data) if key == field] or [default])[-1]
    def text(data, field): return one(data, field, b"").decode("utf-8", "replace")
    def many(data, field): return [value for key, value in fields(data) if key == field]
    def inner(field): return [value for message in messages() for value in many(message, field)]
    def stamp(data): return [one(data, 1, 0), one(data, 2, 0)]
    def labels(data, field): return {text(entry, 1): text(entry, 2) for entry in many(data, field)}
    def shown(labels):
        words = sorted(k + "=" + v for k, v in labels.items() if k != "containerd.io/gc.root")
        return " with " + " ".join(words) if words else ""
    def listed(facts): return "; ".join(sorted(facts)) or "nothing"
    def order(kind, value):
        if value not in seen[kind]: seen[kind].append(value)
        return seen[kind].index(value) + 1
    def times(name, created, updated):
        before = seen["times"].get(name); seen["times"][name] = [created, updated]
        if before is None: return "times set" if created[0] > 0 and updated >= created else "times unset"
        return "created %s, updated %s" % ("kept" if created == before[0] else "changed",
            "kept" if updated == before[1] else "later" if updated > before[1] else "earlier")

    def snapshot(data):
        kind = ["unknown", "view", "active", "committed"][one(data, 3, 0) & 3]
        return '%s "%s" on "%s"%s' % (kind, text(data, 1), text(data, 2), shown(labels(data, 6)))
    def blob(data): return "%s %d%s" % (text(data, 1), one(data, 2, 0), shown(labels(data, 5)))
    def ingest(data): return "%s at %d of %d" % (text(data, 3), one(data, 4, 0), one(data, 5, 0))
    def mounts(found):
        number = order("mounts", found)
        with open(work + "/mounts." + words[0], "w") as out:
            for kind, source, target, options in found: out.write("\x1f".join([kind, source, target, ",".join(options), "."]) + "\n")
        if not found or any(not kind or not source or "" in options for kind, source, target, options in found): return "mounts %d malformed" % number
        kind, source, target, options = found[-1]
        read_only = "ro" in options or (kind == "overlay" and not any(o.startswith("upperdir=") for o in options))
        return "mounts %d %s" % (number, "ro" if read_only else "rw")

    if form == "snapshot-json":
        found = json.loads(raw)
        name = found["Name"]
        def when(t):
            date, _, rest = t.rstrip("Z").partition(".")
            return [0, ""] if date < "1970-01-01T00:00:01" else [1, date + "." + rest.ljust(9, "0")]
        print('%s "%s" on "%s"%s, %s' % (found["Kind"].lower(), name, found.get("Parent", ""), shown(found.get("Labels") or {}),
            times("snapshot " + name, when(found["Created"]), when(found["Updated"]))))
    elif form == "snapshot":
        def when(t):
            if t[0] <= 0: return [0, ""]
            return [1, datetime.datetime.fromtimestamp(t[0], datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + ".%09d" % t[1]]
        data = inner(1)[0]
        print("%s, %s" % (snapshot(data), times("snapshot " + text(data, 1), when(stamp(one(data, 4, b""))), when(stamp(one(data, 5, b""))))))
    elif form == "snapshots": print(listed(snapshot(data) for data in inner(1)))
    elif form == "names":
        for data in inner(1): sys.stdout.write(text(data, 1) + "\0")
    elif form == "mounts-json":
        lower = [{k.lower(): v for k, v in mount.items()} for mount in json.loads(raw)]
        print(mounts([[m["type"], m["source"], m.get("target", ""), m.get("options") or []] for m in lower]))
    elif form == "mounts":
        print(mounts([[text(m, 1), text(m, 2), text(m, 3), [o.decode() for o in many(m, 4)]] for m in inner(1)]))
    elif form == "usage-table":
        size, inodes = (int(word) for word in raw.decode().splitlines()[-1].split()[-2:])
        print("usage %d %d %d" % (inodes, size, order("usages", [inodes, size])))
    elif form == "usage":
        data = b"".join(messages()); size, inodes = one(data, 1, 0), one(data, 2, 0)
        print("usage %d %d %d" % (inodes, size, order("usages", [inodes, size])))
    elif form == "blob":
        data = inner(1)[0]
        print("%s, %s" % (blob(data), times("blob " + text(data, 1), stamp(one(data, 3, b"")), stamp(one(data, 4, b"")))))
    elif form == "size": print("size %d" % one(inner(1)[0], 2, 0))
    elif form == "blobs": print(listed(blob(data) for data in inner(1)))
    elif form == "blob-names":
        for data in inner(1): sys.stdout.write(text(data, 1) + "\0")
    elif form == "ingest": print(ingest(inner(1)[0]))
    elif form == "ingests": print(listed(ingest(data) for data in inner(1)))
    elif form == "written":
        last = list(messages())[-1]
        print("committed " + text(last, 6) if one(last, 1, 0) == 2 else "at %d" % one(last, 4, 0))
    elif form == "read":
        data = b"".join(inner(2)); print("bytes %d %s" % (len(data), hashlib.sha256(data).hexdigest()[:16]))
    elif form == "forget": seen["times"].pop(words[0], None)
    json.dump(seen, open(work + "/seen", "w"))
    END
    reads() { answer=$(python3 "$WORK/read.py" "$WORK" "$@" 2>>"$WORK/err") || { answer="an answer that cannot be read"; return 1; }; }
    """#

  /// The content service of a containerd.
  static let content = #"""
    # ---- Content.
    claimed=
    API=containerd.services.content.v1.Content
    content_info() { rpc $API/Info "$1" && reads blob; }
    content_size() { rpc $API/Info "$1" && reads size; }
    content_update() { rpc $API/Update "$1" && reads blob; }
    content_walk() { rpc $API/List "$1" && reads blobs; }
    content_delete() { tool content rm "$1" && { reads forget "blob $1"; answer=ok; }; }
    content_status() { rpc $API/Status "$1" && reads ingest; }
    content_statuses() { rpc $API/ListStatuses "$1" && reads ingests; }
    content_abort() { rpc $API/Abort "$1"; }
    content_write() { rpc $API/Write "$1" && reads written; }
    content_read() { rpc $API/Read "$1" && reads read; }
    content_get() { tool content get "$1" && answer="bytes $(stat -c %s "$WORK/out") $(sha256sum <"$WORK/out" | cut -c 1-16)"; }

    tidy_up() {
      [ -n "$claimed" ] || return 0
      rpc $API/List 0000000000 && python3 "$WORK/read.py" "$WORK" blob-names | xargs -0r ctr --address "$SOCKET" -n "$NAMESPACE" content rm
      ctr --address "$SOCKET" -n "$NAMESPACE" leases rm --sync "$LEASE"
      ctr --address "$SOCKET" namespaces rm "$NAMESPACE"
    }
    LEASE=repro
    ctr --address "$SOCKET" -n "$NAMESPACE" leases create --id repro >/dev/null || not_tried "no lease can be made: is a containerd behind $SOCKET?"
    claimed=yes
    """#
}
