#!/usr/bin/env python3
"""Compares two trees entry by entry, all metadata: compare-trees.py A B. Prints differences; exit status 1 if there are any.

Type, mode, owner, device, size, times to the nanosecond, extended attributes, link targets, contents, and which names share an inode.
"""
import hashlib
import os
import stat
import sys


def describe(root):
    entries, inodes = {}, {}
    for directory, names, files in os.walk(root):
        for path in [directory] + [os.path.join(directory, n) for n in names + files]:
            name = os.path.relpath(path, root)
            if name in entries:
                continue
            s = os.lstat(path)
            entry = {
                "type": stat.S_IFMT(s.st_mode), "mode": oct(stat.S_IMODE(s.st_mode)), "owner": (s.st_uid, s.st_gid),
                "mtime": s.st_mtime_ns,
                "xattrs": {k: os.getxattr(path, k, follow_symlinks=False) for k in os.listxattr(path, follow_symlinks=False)
                           if not k.startswith(("trusted.overlay.", "user.rootlesscontainers"))},
            }
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as f:
                    entry["content"] = hashlib.sha256(f.read()).hexdigest()
            if stat.S_ISLNK(s.st_mode):
                entry["target"] = os.readlink(path)
            if stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):
                entry["device"] = s.st_rdev
            if not stat.S_ISDIR(s.st_mode) and s.st_nlink > 1:
                inodes.setdefault(s.st_ino, []).append(name)
            entries[name] = entry
    for names in inodes.values():
        for name in names:
            entries[name]["links"] = sorted(names)
    return entries


def main():
    a, b = describe(sys.argv[1]), describe(sys.argv[2])
    differences = 0
    for name in sorted(set(a) | set(b)):
        if name not in a or name not in b:
            print(f"{name}: only in {sys.argv[1] if name in a else sys.argv[2]}")
            differences += 1
            continue
        for field in sorted(set(a[name]) | set(b[name])):
            if a[name].get(field) != b[name].get(field):
                print(f"{name}: {field}: {a[name].get(field)} | {b[name].get(field)}")
                differences += 1
    print(f"{len(a)} and {len(b)} entries, {differences} differences")
    sys.exit(1 if differences else 0)


main()
