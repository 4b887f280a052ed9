#!/usr/bin/env python3
"""Compares two trees entry by entry, all metadata: compare-trees.py A B. Prints differences; exit status 1 if there are any.

Type, mode, owner, device, size, times to the nanosecond, extended attributes, link targets, contents, and which names share an inode.
`--self-test` changes a tree in every one of these ways and sees each change found.
"""
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile

# Written by an overlay and by umoci for themselves, not by an image.
OURS = (b"trusted.overlay.", b"user.overlay.", b"user.rootlesscontainers")


def describe(root):
    """Every entry by name, names as bytes."""
    entries, inodes = {}, {}
    for directory, names, files in os.walk(os.fsencode(root), onerror=fail):
        for path in [directory] + [os.path.join(directory, n) for n in names + files]:
            name = os.path.relpath(path, os.fsencode(root))
            if name in entries:
                continue
            s = os.lstat(path)
            keys = [os.fsencode(k) for k in os.listxattr(path, follow_symlinks=False)]
            entry = {
                "type": oct(stat.S_IFMT(s.st_mode)), "mode": oct(stat.S_IMODE(s.st_mode)), "owner": (s.st_uid, s.st_gid),
                "mtime": s.st_mtime_ns,
                "xattrs": {k: os.getxattr(path, k, follow_symlinks=False) for k in keys if not k.startswith(OURS)},
            }
            if stat.S_ISREG(s.st_mode):
                entry["size"] = s.st_size
                with open(path, "rb") as f:
                    entry["content"] = hashlib.file_digest(f, "sha256").hexdigest()
            if stat.S_ISLNK(s.st_mode):
                entry["target"] = os.readlink(path)
            if stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):
                entry["device"] = (os.major(s.st_rdev), os.minor(s.st_rdev))
            if not stat.S_ISDIR(s.st_mode) and s.st_nlink > 1:
                inodes.setdefault((s.st_dev, s.st_ino), []).append(name)
            entries[name] = entry
    for names in inodes.values():
        for name in names:
            entries[name]["links"] = sorted(names)
    return entries


def fail(error):
    raise error


def compare(one, other, out=print):
    a, b = describe(one), describe(other)
    differences = 0
    for name in sorted(set(a) | set(b)):
        if name not in a or name not in b:
            out(f"{name}: only in {one if name in a else other}")
            differences += 1
            continue
        for field in sorted(set(a[name]) | set(b[name])):
            if a[name].get(field) != b[name].get(field):
                out(f"{name}: {field}: {a[name].get(field)} | {b[name].get(field)}")
                differences += 1
    out(f"{len(a)} and {len(b)} entries, {differences} differences")
    return differences


CHANGES = {  # what is changed, by which command, and the fields that must be reported
    "mode": ("chmod 4755 file", {"mode"}),
    "owner": ("chown 5:6 file", {"owner"}),
    "owner of a link": ("chown -h 5:6 link", {"owner"}),
    "content": ("printf 2 | dd of=file conv=notrunc status=none; touch -d @1 file", {"content"}),
    "size": ("truncate -s 9 file; touch -d @1 file", {"size", "content"}),
    "a nanosecond": ("touch -d @1.000000001 file", {"mtime"}),
    "time of a directory": ("touch -d @2 dir", {"mtime"}),
    "target": ("ln -sfn elsewhere link; touch -h -d @1 link .", {"target"}),
    "type": ("rm file; mkdir file; chmod 644 file; touch -d @1 file .", {"type", "content", "size", "xattrs"}),
    "attribute": ("setfattr -n user.x -v 2 file", {"xattrs"}),
    "capability": ("setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 file", {"xattrs"}),
    "device": ("rm dev; mknod -m 644 dev c 1 5; touch -d @1 dev .", {"device"}),
    "kind of device": ("rm dev; mknod -m 644 dev b 1 3; touch -d @1 dev .", {"type"}),
    "hard links": ("rm two; cp -p one two; touch -d @1 .", {"links"}),
    "missing": ("rm -r dir; touch -d @1 .", {None}),
    "a name's spelling": ("mv \"$(printf 'b\\351')\" \"$(printf 'b\\352')\"; touch -d @1 .", {None}),
}


def self_test():
    work = tempfile.mkdtemp()
    try:
        base = os.path.join(work, "base")
        run = lambda script, where: subprocess.run(["sh", "-ec", script], cwd=where, check=True)
        os.mkdir(base)
        run("printf 1 >file; mkdir dir; ln -s file link; mknod -m 644 dev c 1 3; printf 1 >one; ln one two; setfattr -n user.x -v 1 file;"
            "printf 1 >\"$(printf 'b\\351')\"; touch -h -d @1 * .", base)
        copy = os.path.join(work, "copy")
        for title, (script, fields) in {"nothing": ("true", set()), **CHANGES}.items():
            shutil.rmtree(copy, ignore_errors=True)
            subprocess.run(["cp", "-a", base, copy], check=True)
            run(script, copy)
            lines = []
            compare(base, copy, lines.append)
            found = {None if ": only in " in line else line.split(": ")[1] for line in lines[:-1]}
            if found != fields:
                sys.exit(f"self-test: {title}: reported {found}, expected {fields}\n" + "\n".join(lines))
        print(f"self-test: {len(CHANGES)} changes found, none where there is none")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        sys.exit(1 if compare(sys.argv[1], sys.argv[2]) else 0)
