#!/usr/bin/env python3
# What only shows over time: data under random reads and writes, names under many processes at once, and what a killed server leaves. Prints TAP.
import ctypes
import errno
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from checks import Mount
from oracle import compare, do, operations, tree

libc = ctypes.CDLL(None, use_errno=True)
SIZE = 256 << 10


def random_data(path, seed, steps):
    """One file, read and written in every way, against a copy in memory. What differs, or None."""
    chance = random.Random(seed)
    with open(path, "rb") as file:
        model = bytearray(file.read())
    fds = [os.open(path, os.O_RDONLY)]

    def write_to(at, piece):
        if at > len(model):
            model.extend(bytes(at - len(model)))
        model[at:at + len(piece)] = piece
    kinds = ("read", "read", "write", "write", "truncate", "map read", "map write", "punch", "copy", "append", "reopen", "zero", "stat", "sync")
    for step in range(steps):
        kind = chance.choice(kinds)
        at, length = chance.randrange(SIZE), chance.randrange(1, 1 << chance.randrange(1, 16))
        fd = chance.choice(fds)
        writable = next((f for f in fds if os.get_blocking(f) and libc.fcntl(f, 3) & 3 == os.O_RDWR), None)
        if kind in ("write", "truncate", "map write", "punch", "copy", "append", "zero") and writable is None:
            writable = os.open(path, os.O_RDWR)
            fds.append(writable)
        if kind == "read":
            if os.pread(fd, length, at) != bytes(model[at:at + length]):
                return f"step {step}: read of {length} at {at}"
        elif kind == "write":
            piece = chance.randbytes(length)
            os.pwrite(writable, piece, at)
            write_to(at, piece)
        elif kind == "append":
            extra = os.open(path, os.O_WRONLY | os.O_APPEND)
            piece = chance.randbytes(length % 5000 + 1)
            os.write(extra, piece)
            os.close(extra)
            write_to(len(model), piece)
            if len(model) > 2 * SIZE:
                os.truncate(path, SIZE)
                del model[SIZE:]
        elif kind == "truncate":
            os.ftruncate(writable, at) if step % 2 else os.truncate(path, at)
            del model[at:]
            model.extend(bytes(at - len(model)))
        elif kind in ("map read", "map write") and model:
            at %= len(model)
            length = min(length, len(model) - at)
            with mmap.mmap(writable if "write" in kind else fd, 0, prot=mmap.PROT_READ | (mmap.PROT_WRITE if "write" in kind else 0)) as window:
                if window[at:at + length] != bytes(model[at:at + length]):
                    return f"step {step}: map of {length} at {at}"
                if "write" in kind:
                    piece = chance.randbytes(length)
                    window[at:at + length] = piece
                    write_to(at, piece)
        elif kind in ("punch", "zero") and at < len(model):
            length = min(length, len(model) - at)
            if libc.fallocate(writable, 3 if kind == "punch" else 0x11, ctypes.c_long(at), ctypes.c_long(length)) == 0:
                write_to(at, bytes(length))
        elif kind == "copy" and len(model) > 2 * length:
            target = len(model) // 2 + length
            at %= len(model) // 2 - length or 1
            count = os.copy_file_range(fd, writable, length, at, target)
            write_to(target, bytes(model[at:at + count]))
        elif kind == "reopen":
            fds.append(os.open(path, chance.choice((os.O_RDONLY, os.O_RDWR))))
            if len(fds) > 4:
                os.close(fds.pop(chance.randrange(4)))
            fd = fds[-1]
        elif kind == "sync":
            os.fsync(fd)
        if os.fstat(fd).st_size != len(model):
            return f"step {step}: after {kind} at {at}, {length}: size {os.fstat(fd).st_size}, should be {len(model)}"
    with open(path, "rb") as file:
        same = file.read() == bytes(model)
    for fd in fds:
        os.close(fd)
    return None if same else f"at the end (seed {seed})"


def data(program, options, base):
    for part in ("lower",):
        os.makedirs(f"{base}/{part}")
    for number in range(8):
        with open(f"{base}/lower/{number}", "wb") as file:
            file.write(random.Random(number).randbytes(number * 20000))
    mount = Mount(program, base, options)
    problem = None
    for number in range(8):
        problem = problem or random_data(f"{mount.target}/{number}", number, 400)
    return mount.end() or problem


def names(program, options, base):
    """Many processes; then what the kernel and the server remember must be what a server sees that starts anew."""
    from oracle import build_lower
    chance = random.Random(7)
    build_lower(f"{base}/L1", chance, [])
    build_lower(f"{base}/L0", chance, [f"{base}/L1"])
    mount = Mount(program, base, options, ("L0", "L1"))
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            own = random.Random(number)
            end, todo = time.time() + 2, iter(())

            # A name that was a file a moment ago may be a fifo when it is opened, with nobody at its other end.
            def wake(*_):
                raise InterruptedError(errno.EINTR, "too long")
            signal.signal(signal.SIGALRM, wake)
            while time.time() < end:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 3)
                    for operation in operations(own, 50, mount.target, False):
                        do(mount.target, operation, False)
                        if own.random() < 0.1:
                            tree(mount.target)
                except OSError:
                    pass
            os._exit(0)
        children.append(child)
    broken = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(broken):
        mount.end()
        return f"a process ended with {broken}"
    before = tree(mount.target)
    problem = mount.end()
    if problem:
        return problem
    mount = Mount(program, base, options, ("L0", "L1"))
    problem = compare(tree(mount.target), before)
    return mount.end() or (problem and f"seen anew and remembered: {problem}")


def copies_whole(program, options, base):
    """The server is killed while files are copied up and moved: each file is seen whole, by one of its names."""
    chance = random.Random(3)
    content = {}
    for number in range(24):
        os.makedirs(f"{base}/lower/d{number % 4}", exist_ok=True)
        content[number] = chance.randbytes(1 << 20)
        with open(f"{base}/lower/d{number % 4}/{number}", "wb") as file:
            file.write(content[number])
        os.chmod(f"{base}/lower/d{number % 4}/{number}", 0o4711)
    for attempt in range(6):
        mount = Mount(program, base, options)
        child = os.fork()
        if child == 0:
            own = random.Random(attempt)
            try:
                while True:
                    for number in own.sample(range(24), 24):
                        for d in range(4):
                            for where in (f"d{d}", f"moved{d}"):
                                path = f"{mount.target}/{where}/{number}"
                                if os.path.exists(path):
                                    os.utime(path) if own.random() < 0.7 else os.rename(path, f"{mount.target}/{where}/{number}")
                    d = own.randrange(4)
                    if os.path.exists(f"{mount.target}/d{d}"):
                        os.rename(f"{mount.target}/d{d}", f"{mount.target}/moved{d}")
            except OSError:
                os._exit(0)
        time.sleep(0.01 + 0.02 * attempt)
        mount.kill()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        mount = Mount(program, base, options)
        left = os.listdir(os.path.join(base, "work", "work"))
        problem = f"left in the work directory: {left}" if left else None
        for number in range(24):
            places = [p for d in range(4) for p in (f"{mount.target}/d{d}/{number}", f"{mount.target}/moved{d}/{number}") if os.path.exists(p)]
            if len(places) != 1:
                problem = f"file {number} is at {places}"
                continue
            with open(places[0], "rb") as file:
                if file.read() != content[number] or os.stat(places[0]).st_mode & 0o7777 != 0o4711:
                    problem = f"{places[0]} is not whole"
        problem = mount.end() or problem
        if problem:
            return f"attempt {attempt}: {problem}"
    return None


def main():
    program, options = sys.argv[1], [o for o in sys.argv[2:] if o.startswith("-")]
    failures = 0
    tests = (("data stays what was written", data), ("names are remembered exactly", names), ("a killed server leaves whole files", copies_whole))
    for number, (what, test) in enumerate(tests, 1):
        base = tempfile.mkdtemp(prefix="union-stress-")
        problem = test(program, options, base)
        shutil.rmtree(base, ignore_errors=True)
        failures += bool(problem)
        print(f"{'not ok' if problem else 'ok'} {number} - {what} ({' '.join(options)})", flush=True)
        if problem:
            print("\n".join("# " + line for line in str(problem).splitlines()))
    print(f"1..{len(tests)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
