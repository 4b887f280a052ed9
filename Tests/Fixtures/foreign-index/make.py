#!/usr/bin/env python3
"""Writes layers and indexes in the formats of others, from their descriptions, out of a tar archive.

    make.py soci ARCHIVE BLOB OUT [SPAN] [--v1]       a ztoc for BLOB, the archive packed by gzip, or the archive itself
    make.py estargz ARCHIVE OUT [CHUNK] [options]     --landmark=COUNT  --legacy  --inner=BYTES
    make.py zstd-chunked ARCHIVE OUT [CHUNK]          --old for the footer of 40 bytes
    make.py zstd ARCHIVE OUT FRAME                    plain zstd, a frame for each FRAME bytes

The last two formats print what belongs into the manifest's annotations, one `key value` a line. Only Python's own modules, and zlib and libzstd by ctypes.
"""
import ctypes
import datetime
import hashlib
import json
import struct
import sys
import tarfile
import zlib
import base64

TYPES = {tarfile.REGTYPE: "reg", tarfile.AREGTYPE: "reg", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink",
         tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo"}


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def rfc3339(member):
    text = str(member.pax_headers.get("mtime", int(member.mtime)))
    whole, _, fraction = text.partition(".")
    seconds, nanoseconds = int(whole), int((fraction + "0" * 9)[:9])
    if whole.startswith("-") and nanoseconds:
        seconds, nanoseconds = seconds - 1, 10**9 - nanoseconds
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    tail = (".%09d" % nanoseconds).rstrip("0") if nanoseconds else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + tail + "Z"


def members(path):
    with tarfile.open(path, errors="surrogateescape") as archive:
        found = archive.getmembers()
    for member in found:
        if member.isdir() and not member.name.endswith("/"):
            member.name += "/"
    return found


# SOCI

class ZStream(ctypes.Structure):
    _fields_ = [("next_in", ctypes.c_void_p), ("avail_in", ctypes.c_uint), ("total_in", ctypes.c_ulong),
                ("next_out", ctypes.c_void_p), ("avail_out", ctypes.c_uint), ("total_out", ctypes.c_ulong),
                ("msg", ctypes.c_char_p), ("state", ctypes.c_void_p), ("zalloc", ctypes.c_void_p), ("zfree", ctypes.c_void_p),
                ("opaque", ctypes.c_void_p), ("data_type", ctypes.c_int), ("adler", ctypes.c_ulong), ("reserved", ctypes.c_ulong)]


def checkpoints(blob, archive, span):
    """Places where a block of deflate begins: (in, out, bits, window)."""
    z = ctypes.CDLL("libz.so.1")
    stream = ZStream()
    assert z.inflateInit2_(ctypes.byref(stream), 47, b"1.2.11", ctypes.sizeof(stream)) == 0
    source = ctypes.create_string_buffer(blob, len(blob))
    room = ctypes.create_string_buffer(1 << 16)
    start = ctypes.addressof(source)
    stream.next_in, stream.avail_in = start, len(blob)
    points, out, last = [], 0, 0
    while True:
        stream.next_out, stream.avail_out = ctypes.addressof(room), len(room)
        status = z.inflate(ctypes.byref(stream), 5)
        out += len(room) - stream.avail_out
        if status == 1:
            if stream.avail_in == 0:
                return points
            assert z.inflateReset2(ctypes.byref(stream), 47) == 0
            continue
        assert status in (0, -5), status
        if stream.data_type & 128 and not stream.data_type & 64 and (out == 0 or out - last > span):
            window = archive[max(0, out - 32768):out].rjust(32768, b"\0")
            points.append((len(blob) - stream.avail_in, out, stream.data_type & 7, window))
            last = out


class Flat:
    """A FlatBuffer, from its end to its beginning; places count from the end."""

    def __init__(self):
        self.data = b""

    def vector(self, raw, count, align=4):
        pad = -(len(self.data) + len(raw)) % max(4, align)
        self.data = struct.pack("<I", count) + raw + b"\0" * pad + self.data
        return len(self.data)

    def string(self, text):
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        return self.vector(raw + b"\0", len(raw))

    def offsets(self, places):
        raw, end = b"", len(self.data) + 4 * len(places)
        for number, place in enumerate(places):
            raw += struct.pack("<I", end - 4 * number - place)
        return self.vector(raw, len(places))

    def table(self, fields):
        """fields: by number, (form, value); form "o" for the place of something else."""
        placed, size = {}, 4
        for number, (form, value) in sorted(fields.items(), key=lambda f: -struct.calcsize("<" + f[1][0].replace("o", "I"))):
            width = struct.calcsize("<" + form.replace("o", "I"))
            size += -size % width
            placed[number] = size
            size += width
        size += -size % 8
        # The table begins where everything of 8 bytes is aligned as seen from the end.
        pad = -(len(self.data) + size) % 8
        top = len(self.data) + pad + size
        body = bytearray(size)
        for number, (form, value) in fields.items():
            at = placed[number]
            if form == "o":
                struct.pack_into("<I", body, at, top - at - value)
            else:
                struct.pack_into("<" + form, body, at, value)
        count = max(fields) + 1 if fields else 0
        vtable = struct.pack("<HH", 4 + 2 * count, size) + b"".join(struct.pack("<H", placed.get(n, 0)) for n in range(count))
        struct.pack_into("<i", body, 0, len(vtable) + (-len(vtable) % 4))
        self.data = vtable + b"\0" * (-len(vtable) % 4) + bytes(body) + b"\0" * pad + self.data
        return top

    def finish(self, root):
        pad = -(len(self.data) + 4) % 8
        return struct.pack("<I", len(self.data) + 4 + pad - root) + b"\0" * pad + self.data


def soci(archive_path, blob_path, out, span=4 << 20, v1=False):
    archive, blob = open(archive_path, "rb").read(), open(blob_path, "rb").read()
    flat = Flat()
    entries, end = [], 0
    for member in members(archive_path):
        end = member.offset_data + (member.size + 511) // 512 * 512 if member.isreg() else member.offset_data
        records = []
        for key, value in sorted(member.pax_headers.items()):
            records.append(flat.table({0: ("o", flat.string(key)), 1: ("o", flat.string(str(value)))}))
        fields = {0: ("o", flat.string(member.name)), 1: ("o", flat.string(TYPES[member.type])), 2: ("q", member.offset_data), 3: ("q", member.size),
                  4: ("o", flat.string(member.linkname)), 5: ("q", member.mode), 6: ("I", member.uid), 7: ("I", member.gid),
                  8: ("o", flat.string(member.uname)), 9: ("o", flat.string(member.gname)), 10: ("o", flat.string(rfc3339(member))),
                  11: ("q", member.devmajor), 12: ("q", member.devminor), 13: ("o", flat.offsets(records))}
        # What is as it usually is stands nowhere.
        entries.append(flat.table({n: f for n, f in fields.items() if f[1] != 0}))
    toc = flat.table({0: ("o", flat.offsets(entries))})
    if blob[:2] == b"\x1f\x8b":
        points = checkpoints(blob, archive, span)
        starts = [p[0] - (1 if p[2] else 0) for p in points]
        ends = [p[0] for p in points[1:]] + [len(blob)]
        raw = struct.pack("<Iq", len(points), span)
        for place, made, bits, window in points[1 if v1 else 0:]:
            raw += struct.pack("<qqB", place, made, bits) + window
        algorithm, size = 1, end + 1024
    else:
        starts = list(range(0, len(blob), span))
        ends = starts[1:] + [len(blob)]
        inner = Flat()
        raw = inner.finish(inner.table({0: ("i", 2), 1: ("q", span), 2: ("q", len(blob))}))
        algorithm, size = 2, end + 1024
    digests = [flat.string(sha(blob[a:b])) for a, b in zip(starts, ends)]
    information = {1: ("i", len(starts) - 1), 2: ("o", flat.offsets(digests)), 3: ("o", flat.vector(raw, len(raw)))}
    # Gzip is what stands where nothing is said.
    if algorithm != 1:
        information[0] = ("b", algorithm)
    root = flat.table({0: ("o", flat.string("0.9")), 1: ("o", flat.string("a test")), 2: ("q", len(blob)), 3: ("q", size), 4: ("o", toc),
                       5: ("o", flat.table(information))})
    open(out, "wb").write(flat.finish(root))


# Tables of contents

def row(member):
    entry = {"name": member.name, "type": TYPES[member.type], "modtime": rfc3339(member), "mode": member.mode, "uid": member.uid, "gid": member.gid}
    if member.issym() or member.islnk():
        entry["linkName"] = member.linkname
    if member.ischr() or member.isblk():
        entry["devMajor"], entry["devMinor"] = member.devmajor, member.devminor
    xattrs = {k[len("SCHILY.xattr."):]: base64.b64encode(v.encode("utf-8", "surrogateescape")).decode()
              for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr.")}
    if xattrs:
        entry["xattrs"] = xattrs
    return {k: v for k, v in entry.items() if v != 0}


def landmark(name):
    header = tarfile.TarInfo(name)
    header.size = 1
    return header.tobuf(tarfile.USTAR_FORMAT) + b"\x0f" + b"\0" * 511


def gz(data, level=6):
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def estargz(archive_path, out, chunk=4 << 20, mark=None, legacy=False, inner=0):
    archive = open(archive_path, "rb").read()
    blob, whole, entries = bytearray(), bytearray(), []
    pending = bytearray()   # of the member that is not packed yet
    opened = [0]

    def close():
        nonlocal pending
        if pending:
            blob.extend(gz(bytes(pending)))
            pending = bytearray()
        opened[0] = len(blob)

    def text(data):
        pending.extend(data)
        whole.extend(data)

    def payload(data, entry):
        """With `inner`, several chunks share a member until it has that many bytes."""
        if len(pending) >= inner or not inner:
            close()
        entry["offset"] = opened[0]
        if pending:
            entry["innerOffset"] = len(pending)
        text(data)

    end = 0
    for number, member in enumerate(members(archive_path)):
        if number == (mark or 0):
            name = ".prefetch.landmark" if mark else ".no.prefetch.landmark"
            body = landmark(name)
            text(body[:512])
            mine = {"name": name, "type": "reg", "size": 1}
            payload(body[512:513], mine)
            if not inner:
                close()
            text(body[513:])
            entries.append(dict(mine, digest=sha(b"\x0f"), chunkDigest=sha(b"\x0f")))
        text(archive[end:member.offset_data])
        end = member.offset_data
        entry = row(member)
        entries.append(entry)
        if not member.isreg():
            continue
        data = archive[end:end + member.size]
        entry["digest"] = sha(data)
        if member.size:
            entry["size"] = member.size
        for start in range(0, len(data), chunk):
            part = data[start:start + chunk]
            if start:
                entry = {"name": member.name, "type": "chunk", "chunkOffset": start}
                entries.append(entry)
            if len(data) - start >= chunk:
                entry["chunkSize"] = chunk
            payload(part, entry)
            entry["chunkDigest"] = sha(part)
        if not inner:
            close()
        rest = -member.size % 512
        text(archive[end + member.size:end + member.size + rest])
        end += member.size + rest
    close()
    place = len(blob)
    table = json.dumps({"version": 1, "entries": entries}, indent="\t").encode("utf-8", "surrogateescape")
    header = tarfile.TarInfo("stargz.index.json")
    header.size = len(table)
    last = header.tobuf(tarfile.USTAR_FORMAT) + table + b"\0" * (-len(table) % 512) + b"\0" * 1024
    blob += gz(last)
    whole += last
    extra = b"%016xSTARGZ" % place
    if not legacy:
        extra = b"SG" + struct.pack("<H", len(extra)) + extra
    blob += bytes([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255]) + struct.pack("<H", len(extra)) + extra + bytes([1, 0, 0, 255, 255]) + b"\0" * 8
    open(out, "wb").write(blob)
    print("containerd.io/snapshot/stargz/toc.digest", sha(table))
    print("diffID", sha(bytes(whole)))


def zstd(data, level=3):
    z = ctypes.CDLL("libzstd.so.1")
    z.ZSTD_compressBound.restype = z.ZSTD_compress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(z.ZSTD_compressBound(ctypes.c_size_t(len(data))))
    count = z.ZSTD_compress(room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)), level)
    return room.raw[:count]


def skippable(data):
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def zstd_chunked(archive_path, out, chunk=4 << 20, old=False):
    archive = open(archive_path, "rb").read()
    blob, entries, end = bytearray(), [], 0
    for member in members(archive_path):
        entry = row(member)
        entries.append(entry)
        if not member.isreg() or not member.size:
            continue
        blob += zstd(archive[end:member.offset_data])
        end = member.offset_data + member.size
        data = archive[member.offset_data:end]
        entry["size"], entry["digest"], entry["offset"] = len(data), sha(data), len(blob)
        first = entry
        for start in range(0, len(data), chunk):
            part = data[start:start + chunk]
            if start:
                entry = {"name": member.name, "type": "chunk", "chunkOffset": start}
                entries.append(entry)
            if len(data) > chunk:
                entry.update(offset=len(blob), chunkSize=len(part), chunkDigest=sha(part))
                if not part.strip(b"\0"):
                    entry["chunkType"] = "zeros"
            blob += zstd(part)
        first["endOffset"] = len(blob)
    blob += zstd(archive[end:])
    table = json.dumps({"version": 1, "entries": entries}).encode("utf-8", "surrogateescape")
    packed = zstd(table)
    place = len(blob) + 8
    blob += skippable(packed)
    footer = struct.pack("<QQQQ", place, len(packed), len(table), 1)
    if old:
        blob += skippable(footer + b"GnUlInUx")
    else:
        split = zstd(b"{}\n")
        where = len(blob) + 8
        blob += skippable(split)
        blob += skippable(footer + struct.pack("<QQQ", where, len(split), 3) + b"GNUlInUx")
    open(out, "wb").write(blob)
    prefix = "io.containers.zstd-chunked." if old else "io.github.containers.zstd-chunked."
    print(prefix + "manifest-checksum", sha(packed))
    print(prefix + "manifest-position", "%d:%d:%d:1" % (place, len(packed), len(table)))


def main():
    options = dict((o[2:].split("=") + [""])[:2] for o in sys.argv[2:] if o.startswith("--"))
    words = [w for w in sys.argv[2:] if not w.startswith("--")]
    if sys.argv[1] == "soci":
        soci(*words[:3], *map(int, words[3:]), v1="v1" in options)
    elif sys.argv[1] == "estargz":
        estargz(*words[:2], *map(int, words[2:]), mark=int(options.get("landmark", 0)), legacy="legacy" in options, inner=int(options.get("inner", 0)))
    elif sys.argv[1] == "zstd-chunked":
        zstd_chunked(*words[:2], *map(int, words[2:]), old="old" in options)
    elif sys.argv[1] == "zstd":
        data, size = open(words[0], "rb").read(), int(words[2])
        open(words[1], "wb").write(b"".join(zstd(data[n:n + size]) for n in range(0, len(data), size)))
    else:
        sys.exit(__doc__)


main()
