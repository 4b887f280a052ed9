#!/usr/bin/env python3
# Does everything in clauses.py on a plain directory and on a union, and compares what was seen. Prints TAP.
import atexit
import errno
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

import clauses

# What libfuse 3.14 has no callback for: the kernel is told so, and refuses it by itself.
BEYOND_LIBFUSE = {"nameless_files": "O_TMPFILE"}
USERS = {"root": (0, 0, [0]), "user": (1000, 1000, [1000, 2000])}


class Mount:
    live = []

    def __init__(self, program, base, options, lowers=("lower",)):
        self.base, self.target = base, f"{base}/mount"
        for name in (*lowers, "upper", "work", "mount"):
            os.makedirs(f"{base}/{name}", exist_ok=True)
        command = [program, *options, ":".join(f"{base}/{name}" for name in lowers), f"{base}/upper", f"{base}/work", self.target]
        self.log = open(f"{base}/log", "a+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        if self.process.stdout.readline() != "mounted\n":
            raise RuntimeError(f"no mount at {self.target}: " + open(f"{base}/log").read())
        Mount.live.append(self)

    def end(self):
        Mount.live.remove(self)
        subprocess.run(["umount", self.target], check=False) .returncode and subprocess.run(["umount", "-l", self.target], check=False)
        code = self.process.wait(timeout=20)
        text = open(f"{self.base}/log").read()
        return None if code == 0 and not text else f"server ended with {code}: {text[-3000:]}"

    def kill(self):
        Mount.live.remove(self)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        subprocess.run(["umount", "-l", self.target], check=True)


@atexit.register
def end_all():
    for mount in list(Mount.live):
        mount.end()


def tell(function, directory, user):
    """What a function sees, in a process of its own with that user's rights."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        uid, gid, groups = USERS[user]
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.umask(0o022)
        signal.alarm(60)
        try:
            out = repr(function(directory))
        except BaseException:
            out = "failed: " + traceback.format_exc()
        with os.fdopen(write, "w") as pipe:
            pipe.write(out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text.replace(directory, "DIR") or "killed"


def difference(expected, actual):
    at = next((i for i, (a, b) in enumerate(zip(expected, actual)) if a != b), min(len(expected), len(actual)))
    start = max(0, at - 150)
    return f"plain: ...{expected[start:at + 200]}\nunion: ...{actual[start:at + 200]}"


def remembered(mount, program, options, base):
    """A server that starts anew shows what the kernel and the first one had come to, and knows names of one file for such."""
    from oracle import compare, tree
    pair = [f"{mount.target}/pair/{name}" for name in ("one", "other")]
    for path in pair:
        os.makedirs(path)
    clauses.put(f"{pair[0]}/file", "before")
    os.link(f"{pair[0]}/file", f"{pair[1]}/file")
    before = tree(mount.target, True)
    problem = mount.end()
    mount = Mount(program, base, options)
    problem = problem or compare(before, tree(mount.target, True), "before:", "after: ")
    one, other = (f"{path}/file" for path in pair)
    with open(one, "rb") as file:
        text = file.read()
        clauses.put_at(other, 0, b"behind")
        told = (text, os.pread(file.fileno(), 10, 0), os.stat(one).st_nlink, os.unlink(other), os.stat(one).st_nlink)
    if told != (b"before", b"behind", 2, None, 1):
        problem = problem or f"two names of a file: {told}"
    return mount.end() or problem


def full(program, options, base):
    """What cannot be removed for want of room is as it was: a change made later goes to the upper layer."""
    place = f"{base}/full"
    os.makedirs(place, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=300", "tmpfs", place], check=True)
    try:
        os.makedirs(f"{place}/lower/directory")
        os.makedirs(f"{place}/fill")
        os.chmod(f"{place}/lower/directory", 0o755)
        clauses.put(f"{place}/lower/file", "below")
        mount = Mount(program, place, options)
        file, directory = f"{mount.target}/file", f"{mount.target}/directory"
        told = [clauses.get(file), oct(os.stat(directory).st_mode)]
        try:
            for number in range(1000):
                os.mkdir(f"{place}/fill/{number}")
        except OSError as error:
            told.append(error.errno)
        for remove, path in ((os.unlink, file), (os.rmdir, directory)):
            try:
                remove(path)
                told.append("removed")
            except OSError as error:
                told.append(error.errno)
        shutil.rmtree(f"{place}/fill")
        with open(file, "a") as open_file:
            open_file.write(", above")
        os.chmod(directory, 0o700)
        told += [clauses.get(file), oct(os.stat(directory).st_mode)]
        told += [clauses.get(f"{place}/{layer}/file") for layer in ("lower", "upper")]
        told += [oct(os.stat(f"{place}/{layer}/directory").st_mode) for layer in ("lower", "upper")]
        below, both, old, new = b"below", b"below, above", "0o40755", "0o40700"
        expected = [below, old, errno.ENOSPC, errno.ENOSPC, errno.ENOSPC, both, new, below, both, old, new]
        return mount.end() or (None if told == expected else f"{told}\nexpected: {expected}")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def untouched(program, options, base):
    """Who has a lower directory open that is removed, or replaced, does not come to the layer by it."""
    place = f"{base}/untouched"
    for name in ("removed", "replaced"):
        os.makedirs(f"{place}/lower/{name}")

    def told():
        return [(name, oct(s.st_mode), s.st_uid, s.st_mtime_ns, os.listxattr(f"{place}/lower/{name}"))
                for name in ("removed", "replaced") for s in [os.stat(f"{place}/lower/{name}")]]
    before = told()
    mount = Mount(program, place, options)
    open_ones = [os.open(f"{mount.target}/{name}", os.O_RDONLY | os.O_DIRECTORY) for name in ("removed", "replaced")]
    os.rmdir(f"{mount.target}/removed")
    os.mkdir(f"{mount.target}/other")
    os.rename(f"{mount.target}/other", f"{mount.target}/replaced")
    for fd in open_ones:
        for change in (lambda: os.fchmod(fd, 0o700), lambda: os.fchown(fd, 1234, 1234), lambda: os.utime(fd, (1, 1)), lambda: os.setxattr(fd, "user.x", b"1")):
            clauses.attempt(change)
        os.close(fd)
    problem = mount.end()
    return problem or (None if told() == before else f"{told()}\nbefore: {before}")


def inherited(program, options, base):
    """A directory whose files inherit an access list: what was removed there and made again hides what is below, also from the next server."""
    place = f"{base}/inherited"
    os.makedirs(f"{place}/lower/d/directory")
    clauses.put(f"{place}/lower/d/directory/below")
    clauses.put(f"{place}/lower/d/file", "below")
    mount = Mount(program, place, options)
    # u::rwx, u:1000:rwx, g::r-x, m::rwx, o::r-x (linux/posix_acl_xattr.h).
    entries = ((1, 7, -1), (2, 7, 1000), (4, 5, -1), (16, 7, -1), (32, 5, -1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(f"{mount.target}/d", "system.posix_acl_default", acl)
    shutil.rmtree(f"{mount.target}/d/directory")
    os.unlink(f"{mount.target}/d/file")
    os.mkdir(f"{mount.target}/d/directory")
    clauses.put(f"{mount.target}/d/file", "above")
    has_list = "system.posix_acl_default" in os.listxattr(f"{mount.target}/d/directory")
    problem = mount.end()
    mount = Mount(program, place, options)
    told = has_list, os.listdir(f"{mount.target}/d/directory"), clauses.get(f"{mount.target}/d/file"), os.listdir(f"{place}/work/work")
    problem = problem or mount.end()
    return problem or (None if told[:3] == (True, [], b"above") and set(told[3]) <= {"whiteout"} else f"{told}")


def short(program, options, base):
    """A server that has no descriptors left leaves no name out of a listing, and takes no open file away."""
    place, few = f"{base}/short", 64
    for lower in ("lower", "second"):
        for name in range(20):
            os.makedirs(f"{place}/{lower}/many/{name}")
    for name in range(100):
        clauses.put(f"{place}/lower/{name}", str(name))
    mount = Mount(program, place, options, lowers=("lower", "second"))
    # These are open whatever comes: one of the upper layer, one of the lower.
    clauses.put(f"{mount.target}/upper", "upper")
    kept = {name: os.open(f"{mount.target}/{name}", os.O_RDONLY) for name in ("upper", "0")}
    for fd in kept.values():
        os.pread(fd, 1, 0)
    # The directory's own names are known: what is short is what leads to those in it.
    os.stat(f"{mount.target}/many/0")
    resource.prlimit(mount.process.pid, resource.RLIMIT_NOFILE, (few, few))
    fds = [fd for fd in (clauses.attempt(os.open, f"{mount.target}/{name}", os.O_RDONLY) for name in range(100)) if isinstance(fd, int)]
    listed = len(os.listdir(f"{mount.target}/many"))
    removed = [clauses.attempt(os.unlink, f"{mount.target}/{name}") for name in kept]
    for fd in fds:
        os.close(fd)
    time.sleep(0.2)
    told = [listed, len(os.listdir(f"{mount.target}/many"))] + [os.pread(fd, 10, 0) for fd in kept.values()]
    for fd in kept.values():
        os.close(fd)
    problem = mount.end()
    if "-p" in options and len(fds) > few:
        return f"{len(fds)} files are open: nothing was short"
    expected = [20, 20, b"upper", b"0"]
    return problem or (None if told == expected and set(removed) <= {None, "EMFILE"} else f"{told}, removal: {removed}\nexpected: {expected}")


def catalogued(program, options, base):
    """What is shown comes out of a catalog if that is whole and of this directory, and out of the directory if not."""
    place = f"{base}/catalogued"
    lower, catalog = f"{place}/lower", f"{place}/work.catalog-0"
    os.makedirs(f"{lower}/deep")
    clauses.put(f"{lower}/deep/early", "one")

    mount = Mount(program, f"{place}/bare", ["-c", *(o for o in options if o != "-c")])
    problem = mount.end()
    if problem or not os.path.exists(f"{place}/bare/work.catalog-0"):
        return problem or "an empty directory has no catalog"

    def shown(option):
        mount = Mount(program, place, [option, *(o for o in options if o != "-c")])
        names = sorted(os.listdir(f"{mount.target}/deep")), os.path.exists(f"{mount.target}/new")
        return mount.end() or names

    told = {"when it is made": shown("-c")}
    # What nobody may do, and by which it shows where names come from.
    clauses.put(f"{lower}/deep/late", "two")
    told["of what was added below"] = shown("-C")
    # Nor may anybody write to a file. Who opens it reads all of it, and no copy of it is cut.
    for name in ("early", "late"):
        clauses.put(f"{lower}/deep/{name}", "three")
    mount = Mount(program, place, ["-C", *(o for o in options if o != "-c")])
    read = clauses.get(f"{mount.target}/deep/early")
    problem = mount.end()
    mount = Mount(program, place, ["-C", *(o for o in options if o != "-c")])
    os.chmod(f"{mount.target}/deep/early", 0o600)
    problem = problem or mount.end()
    if problem or (read, clauses.get(f"{place}/upper/deep/early")) != (b"three", b"three"):
        return problem or f"a file that was written to: {read}, copied {clauses.get(f'{place}/upper/deep/early')}"
    shutil.rmtree(f"{place}/upper/deep")
    with open(catalog, "rb") as file:
        whole = file.read()
    for what, damaged in (("torn", whole[:-8]), ("empty", b""), ("with another byte", whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]), ("too long", whole + bytes(8))):
        with open(catalog, "wb") as file:
            file.write(damaged)
        told[what] = shown("-C")
    os.remove(catalog)
    told["removed"] = shown("-C")
    shown("-c")
    clauses.put(f"{lower}/new", "three")
    told["of another directory"] = shown("-C")
    old, new = (["early"], False), (["early", "late"], False)
    expected = dict.fromkeys(told, new) | {"when it is made": old, "of what was added below": old, "of another directory": (["early", "late"], True)}
    return None if told == expected else f"{told}\nexpected: {expected}"


def name_of(job):
    return job.rsplit("-", 1)[0]


def main():
    program, options = sys.argv[1], [o for o in sys.argv[2:] if not o.startswith("only=")]
    only = [o[5:] for o in sys.argv[2:] if o.startswith("only=")]
    base = tempfile.mkdtemp(prefix="union-")
    os.chmod(base, 0o755)
    jobs = []
    for name, prepare, function, users in clauses.OPTIONS:
        if only and name not in only:
            continue
        for user in users:
            job = f"{name}-{user}"
            jobs.append((job, prepare, function, user))
            for where in ("plain", "lower/lower"):
                os.makedirs(f"{base}/{where}/{job}")
                os.chmod(f"{base}/{where}/{job}", 0o777)
                if prepare:
                    prepare(f"{base}/{where}/{job}")
    os.makedirs(f"{base}/lower/upper")
    mount = Mount(program, base, options)
    number = failures = 0
    label = " ".join(options) or "plain"
    for job, prepare, function, user in jobs:
        expected = tell(function, f"{base}/plain/{job}", user)
        for where in ("lower", "upper") if prepare else ("upper",):
            directory = f"{mount.target}/{where}/{job}"
            if where == "upper":
                os.makedirs(directory)
                os.chmod(directory, 0o777)
                if prepare:
                    prepare(directory)
            actual = tell(function, directory, user)
            number += 1
            lacks = BEYOND_LIBFUSE.get(name_of(job)) if "-l" in options else None
            if lacks and "[Errno 95]" in actual:
                print(f"ok {number} - {job.replace('_', ' ')} on {where} files ({label}) # SKIP libfuse 3.14 does not know {lacks}", flush=True)
                continue
            good = expected == actual and not expected.startswith("failed") and expected != "killed"
            failures += not good
            print(f"{'ok' if good else 'not ok'} {number} - {job.replace('_', ' ')} on {where} files ({label})", flush=True)
            if not good:
                print("\n".join("# " + line for line in difference(expected, actual).splitlines()))
    for what, check in (
        ("a server that starts anew shows the same", lambda: remembered(mount, program, options, base)),
        ("what could not be removed is not written to below", lambda: full(program, options, base)),
        ("a removed directory of a layer is not changed", lambda: untouched(program, options, base)),
        ("what inherits an access list hides what is below", lambda: inherited(program, options, base)),
        ("a want of descriptors passes, and leaves nothing", lambda: short(program, options, base)),
        ("a catalog is used if it is whole, and of this directory", (lambda: catalogued(program, options, base)) if "-c" in options else None),
    ):
        if not check:
            continue
        problem = check()
        number += 1
        failures += bool(problem)
        print(f"{'not ok' if problem else 'ok'} {number} - {what} ({label})")
        if problem:
            print("\n".join("# " + line for line in problem.splitlines()))
    print(f"1..{number}")
    shutil.rmtree(base, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
