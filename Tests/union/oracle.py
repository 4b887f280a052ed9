#!/usr/bin/env python3
# The same random operations on a union and on the kernel's overlayfs with the same lower directories: they must answer the same, show the same, and leave the
# same upper directory; and each must show the other's upper directory as the other did. Prints TAP. A failing seed is told, and repeats.
import ctypes
import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile

from checks import Mount

libc = ctypes.CDLL(None, use_errno=True)
NAMES = "abcde"
OPAQUE = "user.overlay.opaque" if "-u" in sys.argv else "trusted.overlay.opaque"


def build_lower(path, chance, deeper):
    os.makedirs(path, exist_ok=True)
    todo, files = [("", 0, deeper)], []
    while todo:
        here, depth, below = todo.pop()
        for name in NAMES:
            full, kind = f"{path}{here}/{name}", chance.random()
            if kind < 0.3:
                with open(full, "w") as file:
                    file.write(f"{path[-2:]}{here}{name}" * chance.choice((1, 1, 2000)))
                os.chmod(full, chance.choice((0o644, 0o600, 0o755, 0o4755)))
                os.chown(full, chance.choice((0, 1000)), 0)
                if chance.random() < 0.3:
                    os.setxattr(full, "user.lower", b"1")
                files.append(full)
            elif kind < 0.36 and files:
                os.link(chance.choice(files), full)
            elif kind < 0.65 and depth < 3:
                os.mkdir(full)
                os.chmod(full, chance.choice((0o755, 0o700, 0o1777)))
                opaque = chance.random() < 0.2 and shows(below, f"{here}/{name}")
                if opaque:
                    os.setxattr(full, OPAQUE, b"y")
                todo.append((f"{here}/{name}", depth + 1, [] if opaque else below))
            elif kind < 0.72:
                os.symlink(chance.choice(("a", "../b", "/c")), full)
            elif kind < 0.76:
                os.mkfifo(full)
            elif kind < 0.85 and shows(below, f"{here}/{name}"):
                os.mknod(full, stat.S_IFCHR, 0)
            if os.path.lexists(full) and not os.path.isdir(full):
                os.utime(full, ns=(10**18, 10**18 + depth), follow_symlinks=False)


KINDS = ["write", "append", "truncate", "cut", "mmap", "unlink", "unlink", "rmdir", "rename", "rename", "rename", "rename", "noreplace", "exchange", "exchange"]
KINDS += ["open", "chmod", "chown", "utime", "setxattr", "removexattr", "clear", "remove", "link", "link"]
MAKERS = ["mkdir", "mkdir", "mkdir", "mkfifo", "create", "create", "create", "create", "symlink"]


def operations(chance, count, root, moves):
    """Operations as values, so that both sides get the same: mostly on what is there. `moves`: what overlayfs cannot move is copied there; that is the same
    only without links and set-group-id. Otherwise such moves are left out on both sides."""
    # Without passthrough a file is copied up when it is first written to, not when it is opened for that.
    kinds = [kind for kind in KINDS if not (moves and kind == "link") and not (kind == "open" and "-p" not in sys.argv)]
    for step in range(count):
        if step % 8 == 0:
            there, directories = [], [""]
            for here in directories:
                for name in sorted(os.listdir(root + here)):
                    there.append(f"{here}/{name}")
                    if stat.S_ISDIR(os.lstat(f"{root}{here}/{name}").st_mode):
                        directories.append(f"{here}/{name}")
        kind = chance.choice(MAKERS if chance.random() < 0.4 else kinds)
        new = [f"{chance.choice(directories)}/{chance.choice(NAMES)}" for _ in range(2)]
        old = [chance.choice(there or ["/a"]) for _ in range(2)]
        one = new[0] if kind in MAKERS or chance.random() < 0.05 else old[0]
        two = old[1] if kind == "exchange" or (kind == "rename" and chance.random() < 0.5) else new[1]
        yield kind, one, two, chance.randrange(1 << 30) & ~(0o2000 if moves else 0)


def clear(path):
    for name in os.listdir(path):
        full = f"{path}/{name}"
        if stat.S_ISDIR(os.lstat(full).st_mode):
            clear(full)
            os.rmdir(full)
        else:
            os.unlink(full)


def rename(root, one, two, flags, moves):
    if libc.renameat2(-100, os.fsencode(root + one), -100, os.fsencode(root + two), flags) == 0:
        return
    error = ctypes.get_errno()
    if error == errno.EXDEV and moves:
        # overlayfs does not rename directories that are not all its own: as mv does it then.
        if os.path.lexists(root + two):
            os.rmdir(root + two)
        subprocess.run(["cp", "-a", root + one, root + two], check=True)
        clear(root + one)
        os.rmdir(root + one)
        return
    raise OSError(error, os.strerror(error))


def do(root, operation, moves):
    kind, one, two, number = operation
    path = root + one
    try:
        # Opening a fifo would wait; nobody is on the other side.
        regular = os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode)
        if kind in ("write", "append", "cut", "create", "mmap") and os.path.lexists(path) and not regular:
            return "no file"
        if kind in ("write", "append", "cut", "create", "mmap"):
            more = {"append": os.O_APPEND, "cut": os.O_TRUNC, "create": os.O_CREAT}.get(kind, 0)
            fd = os.open(path, more | os.O_RDWR | os.O_NOFOLLOW, 0o640)
            try:
                os.pwrite(fd, b"%d" % number, number % 50)
                if kind == "mmap":
                    import mmap
                    window = mmap.mmap(fd, 0)
                    window[0:1] = b"M"
                    window.close()
            finally:
                os.close(fd)
        elif kind == "open":
            if not regular:
                return "no file"
            os.close(os.open(path, os.O_RDWR))
            return f"links: {os.stat(path).st_nlink}"
        elif kind == "truncate":
            if not regular:
                return "no file"
            os.truncate(path, number % 5000)
        elif kind == "unlink":
            os.unlink(path)
        elif kind == "rmdir":
            os.rmdir(path)
        elif kind == "mkdir":
            os.mkdir(path, 0o751)
        elif kind == "rename":
            rename(root, one, two, 0, moves)
        elif kind == "noreplace":
            rename(root, one, two, 1, False)
        elif kind == "exchange":
            rename(root, one, two, 2, False)
        elif kind == "link":
            if os.path.islink(path):
                return "a link"
            os.link(path, root + two)
        elif kind == "symlink":
            os.symlink(two, path)
        elif kind == "mkfifo":
            os.mkfifo(path, 0o604)
        elif kind == "chmod":
            if os.path.islink(path):
                return "a link"
            os.chmod(path, number & 0o7777)
        elif kind == "chown":
            os.chown(path, number % 3 * 1000, number % 5 * 1000, follow_symlinks=False)
        elif kind == "utime":
            os.utime(path, ns=(number * 10**9 + 5, number * 10**9 + number % 10**9), follow_symlinks=False)
        elif kind == "setxattr":
            os.setxattr(path, f"trusted.x{number % 3}", b"%d" % number, follow_symlinks=False)
        elif kind == "removexattr":
            os.removexattr(path, f"trusted.x{number % 3}", follow_symlinks=False)
        elif kind in ("clear", "remove"):
            if os.path.islink(path) or number % 3:
                return "skipped"
            clear(path)
            if kind == "remove":
                os.rmdir(path)
        return 0
    except OSError as error:
        return errno.errorcode[error.errno]


EXACT = object()


def whiteout(s):
    return stat.S_ISCHR(s.st_mode) and s.st_rdev == 0


def attributes(path):
    names = [n for n in os.listxattr(path, follow_symlinks=False) if not n.startswith(("trusted.overlay.", "user.overlay."))]
    return sorted((n, os.getxattr(path, n, follow_symlinks=False)) for n in names)


def describe(path, times=False):
    s = os.lstat(path)
    content = ""
    if stat.S_ISREG(s.st_mode):
        with open(path, "rb") as file:
            content = file.read()
    elif stat.S_ISLNK(s.st_mode):
        content = os.readlink(path)
    size = s.st_size if stat.S_ISREG(s.st_mode) else 0
    when = s.st_mtime_ns if s.st_mtime_ns < 1.7 * 10**18 or times is EXACT else "now"
    links = 0 if stat.S_ISDIR(s.st_mode) else s.st_nlink
    return (oct(s.st_mode), s.st_uid, s.st_gid, size, s.st_rdev, links, when if times else 0, content[:200], len(content), attributes(path))


def tree(root, directories=False):
    """What is under a directory; `directories`: with the times of directories, which overlayfs and the union need not have in common."""
    out = {}
    todo = [""]
    while todo:
        here = todo.pop()
        for name in sorted(os.listdir(root + here)):
            path = f"{here}/{name}"
            if len(root + path) > 3500:
                continue
            s = os.lstat(root + path)
            out[path] = describe(root + path, EXACT if directories else not stat.S_ISDIR(s.st_mode))
            if stat.S_ISDIR(s.st_mode):
                todo.append(path)
    return out


def shows(layers, path):
    """What lower layers show at a path: None or its mode."""
    parts = path.strip("/").split("/")
    visible = list(layers)
    for depth in range(1, len(parts) + 1):
        here, found, mode = "/".join(parts[:depth]), [], None
        for layer in visible:
            full = f"{layer}/{here}"
            if not os.path.lexists(full):
                continue
            s = os.lstat(full)
            if whiteout(s) or (mode is not None and not stat.S_ISDIR(s.st_mode)):
                break
            mode = s.st_mode if mode is None else mode
            if not stat.S_ISDIR(mode):
                break
            found.append(layer)
            if OPAQUE in os.listxattr(full, follow_symlinks=False):
                break
        if mode is None or (depth < len(parts) and not stat.S_ISDIR(mode)):
            return None
        visible = found
    return mode


def upper(root, lowers):
    """An upper directory without what means nothing: opaque marks and whiteouts with nothing below."""
    out, useless = {}, []
    todo = [("", list(lowers))]
    while todo:
        here, below = todo.pop()
        for name in sorted(os.listdir(root + here)):
            path = f"{here}/{name}"
            s = os.lstat(root + path)
            under = shows(below, path) if below else None
            if whiteout(s):
                if under is None:
                    useless.append(path)
                else:
                    out[path] = "whiteout"
                continue
            opaque = OPAQUE in os.listxattr(root + path, follow_symlinks=False) and os.getxattr(root + path, OPAQUE) == b"y"
            out[path] = describe(root + path, not stat.S_ISDIR(s.st_mode)) + (("opaque",) if opaque and under is not None and stat.S_ISDIR(under) else ())
            if stat.S_ISDIR(s.st_mode):
                todo.append((path, [] if opaque or under is None or not stat.S_ISDIR(under) else below))
    return out, useless


def compare(one, two, first="overlay:", second="union:  "):
    for path in sorted(set(one) | set(two)):
        if one.get(path) != two.get(path):
            return f"{path}\n{first} {str(one.get(path))[:400]}\n{second} {str(two.get(path))[:400]}"
    return None


class Overlay:
    def __init__(self, base, lowers, upper_directory="upper"):
        self.target = f"{base}/mount"
        for name in (upper_directory, "work", "mount"):
            os.makedirs(f"{base}/{name}", exist_ok=True)
        parts = f"lowerdir={':'.join(lowers)},upperdir={base}/{upper_directory},workdir={base}/work" + (",userxattr" if "-u" in sys.argv else "")
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", parts, self.target], check=True)

    def end(self):
        subprocess.run(["umount", self.target], check=True)


def one_seed(program, options, seed, count):
    base = tempfile.mkdtemp(prefix="union-oracle-")
    chance = random.Random(seed)
    mounts = []
    try:
        lowers = [f"{base}/union/L{i}" for i in range(chance.choice((1, 2, 3)))]
        for i in reversed(range(len(lowers))):
            build_lower(lowers[i], chance, lowers[i + 1:])
        overlay = Overlay(f"{base}/overlay", lowers)
        mounts.append(overlay)
        union = Mount(program, f"{base}/union", options, [os.path.basename(lower) for lower in lowers])
        mounts.append(union)
        problem = compare(tree(overlay.target), tree(union.target))
        if problem:
            return f"before any operation: {problem}"
        done, moves = 0, seed % 2
        for step, operation in enumerate(operations(chance, count, overlay.target, moves)):
            right = do(overlay.target, operation, moves)
            if right == "EXDEV":
                continue
            told = do(union.target, operation, moves)
            done += right == 0
            if os.environ.get("VERBOSE"):
                print(step, operation, right, told)
            if right != told:
                return f"step {step}, {operation}: overlay says {right}, union {told}"
        if done < count // 3:
            return f"only {done} of {count} operations did anything"
        overlay_tree, union_tree = tree(overlay.target), tree(union.target)
        problem = compare(overlay_tree, union_tree)
        if problem:
            return f"merged: {problem}"
        while mounts:
            told = mounts.pop().end()
            if told:
                return told
        if os.listdir(f"{base}/union/work/work"):
            return f"left in the work directory: {os.listdir(f'{base}/union/work/work')}"
        (right, _), (told, useless) = upper(f"{base}/overlay/upper", lowers), upper(f"{base}/union/upper", lowers)
        problem = compare(right, told)
        if problem:
            return f"upper: {problem}"
        if useless:
            return f"whiteouts of nothing in upper: {useless[:5]}"
        # Each with the other's upper directory.
        for where in ("upper", "union-upper"):
            os.makedirs(f"{base}/x/{where}", exist_ok=True)
        overlay = Overlay(f"{base}/union", lowers)
        mounts.append(overlay)
        problem = compare(tree(overlay.target), union_tree)
        if problem:
            return f"overlay shows the union's upper directory otherwise: {problem}"
        mounts.pop().end()
        os.rename(f"{base}/overlay/upper", f"{base}/union/other")
        os.rename(f"{base}/union/upper", f"{base}/union/own")
        os.rename(f"{base}/union/other", f"{base}/union/upper")
        shutil.rmtree(f"{base}/union/work")
        union = Mount(program, f"{base}/union", options, [os.path.basename(lower) for lower in lowers])
        mounts.append(union)
        problem = compare(overlay_tree, tree(union.target))
        return f"the union shows overlay's upper directory otherwise: {problem}" if problem else None
    finally:
        for mount in mounts:
            mount.end()
        shutil.rmtree(base, ignore_errors=True)


def main():
    program, options = sys.argv[1], [o for o in sys.argv[2:] if o.startswith("-")]
    settings = dict(o.split("=") for o in sys.argv[2:] if not o.startswith("-"))
    first, seeds, count = int(settings.get("first", 1)), int(settings.get("seeds", 8)), int(settings.get("count", 400))
    failures = 0
    for number, seed in enumerate(range(first, first + seeds), 1):
        problem = one_seed(program, options, seed, count)
        failures += bool(problem)
        print(f"{'not ok' if problem else 'ok'} {number} - {count} random operations as overlayfs does them (first={seed} {' '.join(options)})", flush=True)
        if problem:
            print("\n".join("# " + line for line in problem.splitlines()))
    print(f"1..{seeds}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
