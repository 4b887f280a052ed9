#!/usr/bin/env python3
# The server is killed while files are made, read, written, moved, linked and removed: nobody may notice more than a pause, and every byte must be where it
# belongs. Twenty times at any moment, and then as often as can be, just before or just after it asks the system for something. Prints TAP.
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
from oracle import compare, tree

libc = ctypes.CDLL(None, use_errno=True)
KILLS = 20
SECONDS = 5


def server(mount):
    """The process that serves, which the one that was started has started."""
    with open(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children") as file:
        return [int(pid) for pid in file.read().split()]


class Load:
    """One process's files, and what must be in them."""

    def __init__(self, directory, seed):
        self.d, self.chance, self.count = directory, random.Random(seed), 0
        self.files, self.directories, self.held = {}, [], []
        for name in sorted(os.listdir(directory)):
            path = f"{directory}/{name}"
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    self.files[name] = bytearray(file.read())

    def name(self):
        self.count += 1
        return f"n{self.count}"

    def check(self, what, good):
        if not good:
            raise AssertionError(what)

    def read(self, name):
        with open(f"{self.d}/{name}", "rb") as file:
            return file.read()

    def create(self):
        name = self.name()
        fd = os.open(f"{self.d}/{name}", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
        data = self.chance.randbytes(self.chance.choice((0, 10, 5000, 200000)))
        self.check("short write", os.write(fd, data) == len(data))
        os.close(fd)
        self.files[name] = bytearray(data)

    def write(self):
        if not self.files:
            return
        name = self.chance.choice(sorted(self.files))
        model = self.files[name]
        at, piece = self.chance.randrange(len(model) + 1), self.chance.randbytes(self.chance.randrange(1, 9000))
        fd = os.open(f"{self.d}/{name}", os.O_RDWR | (os.O_APPEND if at == len(model) else 0))
        os.write(fd, piece) if at == len(model) else os.pwrite(fd, piece, at)
        model[at:at + len(piece)] = piece
        self.check(f"size of {name}", os.fstat(fd).st_size == len(model))
        os.close(fd)

    def reread(self):
        if self.files:
            name = self.chance.choice(sorted(self.files))
            self.check(f"content of {name}", self.read(name) == bytes(self.files[name]))

    def remap(self):
        names = [name for name in sorted(self.files) if self.files[name]]
        if not names:
            return
        name = self.chance.choice(names)
        fd = os.open(f"{self.d}/{name}", os.O_RDWR)
        with mmap.mmap(fd, 0) as window:
            self.check(f"map of {name}", window[:] == bytes(self.files[name]))
            at = self.chance.randrange(len(window))
            window[at:at + 1] = self.files[name][at:at + 1] = self.chance.randbytes(1)
        os.close(fd)

    def rename(self):
        if not self.files:
            return
        old = self.chance.choice(sorted(self.files))
        new = self.chance.choice(sorted(self.files) + [self.name(), self.name()])
        if new == old:
            return
        if self.chance.random() < 0.3 and new in self.files:
            self.check("exchange", libc.renameat2(-100, f"{self.d}/{old}".encode(), -100, f"{self.d}/{new}".encode(), 2) == 0)
            self.files[old], self.files[new] = self.files[new], self.files[old]
            return
        if new in self.files and self.chance.random() < 0.5 and len(self.held) < 6:
            self.held.append((os.open(f"{self.d}/{new}", self.chance.choice((os.O_RDONLY, os.O_RDWR))), self.files[new]))
        os.rename(f"{self.d}/{old}", f"{self.d}/{new}")
        self.files[new] = self.files.pop(old)

    def unlink(self):
        if not self.files:
            return
        name = self.chance.choice(sorted(self.files))
        if self.chance.random() < 0.4 and len(self.held) < 6:
            self.held.append((os.open(f"{self.d}/{name}", self.chance.choice((os.O_RDONLY, os.O_RDWR))), self.files[name]))
        os.unlink(f"{self.d}/{name}")
        del self.files[name]

    def temporary(self):
        if len(self.held) < 6:
            fd = os.open(self.d, os.O_TMPFILE | os.O_RDWR, 0o600)
            data = self.chance.randbytes(3000)
            os.write(fd, data)
            self.held.append((fd, bytearray(data)))

    def use_held(self):
        if not self.held:
            return
        fd, model = self.chance.choice(self.held)
        self.check("an open file without a name", os.pread(fd, len(model) + 1, 0) == bytes(model))
        self.check("its links", os.fstat(fd).st_nlink == 0)
        if libc.fcntl(fd, 3) & 3 == os.O_RDWR:
            piece = self.chance.randbytes(100)
            os.pwrite(fd, piece, 0)
            model[0:100] = piece
        if self.chance.random() < 0.2:
            self.held.remove((fd, model))
            os.close(fd)

    def link(self):
        if not self.files:
            return
        old, new = self.chance.choice(sorted(self.files)), self.name()
        os.link(f"{self.d}/{old}", f"{self.d}/{new}")
        # Once of lower files: whose name was copied up is one file with the new name only.
        self.check("two names", os.path.samefile(f"{self.d}/{old}", f"{self.d}/{new}"))
        os.unlink(f"{self.d}/{old}")
        self.files[new] = self.files.pop(old)

    def directory(self):
        if self.directories and self.chance.random() < 0.5:
            name = self.directories.pop()
            if self.chance.random() < 0.5:
                moved = self.name()
                os.rename(f"{self.d}/{name}", f"{self.d}/{moved}")
                name = moved
            self.check("what is in a directory", os.listdir(f"{self.d}/{name}") == ["x"])
            os.unlink(f"{self.d}/{name}/x")
            os.rmdir(f"{self.d}/{name}")
        else:
            name = self.name()
            os.mkdir(f"{self.d}/{name}")
            os.symlink("to", f"{self.d}/{name}/x")
            self.directories.append(name)

    def attribute(self):
        if not self.files:
            return
        path = f"{self.d}/{self.chance.choice(sorted(self.files))}"
        os.setxattr(path, "user.k", b"v", os.XATTR_CREATE)
        try:
            os.setxattr(path, "user.k", b"v", os.XATTR_CREATE)
            raise AssertionError("an attribute was made twice")
        except FileExistsError:
            pass
        self.check("an attribute", os.getxattr(path, "user.k") == b"v")
        os.removexattr(path, "user.k")

    def again(self):
        """What was there keeps others from being made, however often it is tried."""
        if not self.files:
            return
        try:
            os.mkdir(f"{self.d}/{self.chance.choice(sorted(self.files))}")
            raise AssertionError("a directory over a file")
        except FileExistsError:
            pass

    def names(self):
        self.check("names", sorted(os.listdir(self.d)) == sorted([*self.files, *self.directories]))

    def run(self, until):
        steps = [self.create, self.create, self.write, self.write, self.reread, self.remap, self.rename, self.rename, self.unlink, self.temporary,
                 self.use_held, self.use_held, self.link, self.directory, self.attribute, self.again, self.names]
        done = 0
        while not os.path.exists(until):
            self.chance.choice(steps)()
            done += 1
        for name in self.files:
            self.check(f"{name} at the end", self.read(name) == bytes(self.files[name]))
        self.names()
        while self.held:
            self.use_held()
        return done


def at_any_moment(mount):
    chance, killed = random.Random(11), 0
    for _ in range(KILLS):
        time.sleep(0.02 + chance.random() * 0.15)
        for pid in server(mount):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    time.sleep(0.2)
    return killed


def between_calls(mount):
    # The process that was started kills it.
    time.sleep(SECONDS)
    mount.process.send_signal(signal.SIGUSR1)
    time.sleep(0.2)


def kills(program, options, base, kill):
    for part in range(4):
        os.makedirs(f"{base}/lower/{part}")
        for number in range(12):
            with open(f"{base}/lower/{part}/{number}", "wb") as file:
                file.write(random.Random(number).randbytes(number * 9000))
    mount = Mount(program, base, [*(["-k"] if kill == at_any_moment else ["-s", "5"]), *options])
    children = []
    for part in range(4):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                told = f"done {Load(f'{mount.target}/{part}', part).run(base + '/enough')}"
            except BaseException as problem:
                import traceback
                told = "".join(traceback.format_exception(problem))
            os.write(write, told.encode())
            os._exit(0)
        os.close(write)
        children.append((child, read))
    killed = kill(mount)
    open(f"{base}/enough", "w").close()
    problems, steps = [], 0
    for child, read in children:
        with os.fdopen(read) as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        steps += int(told[5:]) if told.startswith("done ") else 0
        if not told.startswith("done "):
            problems.append(told)
    before = None if problems else tree(mount.target)
    left = os.listdir(f"{base}/work/work")
    if not problems and any(name != "whiteout" for name in left):
        problems.append(f"left in the work directory: {left[:5]} and others, {len(left)} in all")
    problem = mount.end()
    if problem:
        problems.append(problem)
    if kill == between_calls:
        told = mount.process.stdout.read()
        killed = int(told.split()[1]) if told.startswith("killed ") else 0
    print(f"# {killed} kills, {steps} steps", flush=True)
    if killed < KILLS:
        problems.append(f"only {killed} servers were killed")
    mount = Mount(program, base, options)
    if before is not None:
        problem = compare(before, tree(mount.target))
        if problem:
            problems.append(f"seen anew and remembered: {problem}")
    problem = mount.end()
    return "\n".join(problems + ([problem] if problem else [])) or None


def ended(mount, answers, wrong):
    """What is to be complained of when a server was killed after so many answers."""
    problem = mount.end()
    if wrong or problem:
        return problem or f"after answer {answers}: {', '.join(wrong[:3])}, {len(wrong)} in all"
    return None if mount.process.stdout.read() == "killed 1\n" else f"after answer {answers}: nobody was killed"


def listed_again(program, options, base):
    """Killed when it has just listed a directory, and its successor has no catalog: names are told in another order then, and must lead to the same files."""
    for name in ("one", "other"):
        os.makedirs(f"{base}/lower/{name}")
        for number in range(600):
            with open(f"{base}/lower/{name}/{number}", "w") as file:
                file.write(f"{name}/{number}")
    for answers in range(4, 12):
        mount = Mount(program, base, ["-w", str(answers), *options])
        # The first server has read it then.
        os.listdir(mount.target)
        if os.path.exists(f"{base}/work.catalog-0"):
            os.remove(f"{base}/work.catalog-0")
        wrong = []
        for name in ("one", "other"):
            for number in sorted(os.listdir(f"{mount.target}/{name}")):
                with open(f"{mount.target}/{name}/{number}") as file:
                    if file.read() != f"{name}/{number}":
                        wrong.append(f"{name}/{number} is another")
        problem = ended(mount, answers, wrong)
        if problem:
            return problem
    return None


def known_again(program, options, base):
    """Killed when it has just listed a directory: what somebody has open is the same afterwards, also when the kernel compares the next listing with it."""
    os.makedirs(f"{base}/lower/d")
    for number in range(20):
        with open(f"{base}/lower/d/{number}", "w") as file:
            file.write(str(number) * 3000)
    for answers in range(3, 9):
        mount = Mount(program, base, ["-w", str(answers), *options])
        os.listdir(mount.target)
        os.listdir(f"{mount.target}/d")
        fds = [os.open(f"{mount.target}/d/{number}", os.O_RDONLY) for number in range(20)]
        directory = os.open(f"{mount.target}/d", os.O_RDONLY)
        # A change: what the kernel remembers of the listing is no more.
        for path in (f"{mount.target}/new{answers}", f"{mount.target}/d/new{answers}"):
            with open(path, "w"):
                pass
        wrong = []
        try:
            os.listdir(mount.target)
            os.listdir(f"{mount.target}/d")
            os.listdir(directory)
        except OSError as error:
            wrong.append(f"a listing: {error}")
        for number, fd in enumerate(fds):
            try:
                if os.pread(fd, 1, 0) != str(number)[:1].encode() or os.fstat(fd).st_size != 3000 * len(str(number)):
                    wrong.append(f"{number} is another")
            except OSError as error:
                wrong.append(f"{number}: {error}")
        for fd in [*fds, directory]:
            try:
                os.close(fd)
            except OSError as error:
                wrong.append(f"close: {error}")
        problem = ended(mount, answers, wrong)
        if problem:
            return problem
    return None


def main():
    program, options = sys.argv[1], [o for o in sys.argv[2:] if o.startswith("-")]
    tests = [
        ("at any moment", lambda base: kills(program, options, base, at_any_moment)),
        ("between system calls", lambda base: kills(program, options, base, between_calls)),
    ]
    if "-p" in options:
        tests.append(("when it has just listed what is open", lambda base: known_again(program, options, base)))
    if "-c" in options:
        tests.append(("when it has just answered", lambda base: listed_again(program, options, base)))
    failures = 0
    for number, (when, test) in enumerate(tests, 1):
        base = tempfile.mkdtemp(prefix="union-kills-")
        problem = test(base)
        shutil.rmtree(base, ignore_errors=True)
        failures += bool(problem)
        print(f"{'not ok' if problem else 'ok'} {number} - a server that is killed {when} is not missed ({' '.join(options)})", flush=True)
        if problem:
            print("\n".join("# " + line for line in problem.splitlines()))
    print(f"1..{len(tests)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
