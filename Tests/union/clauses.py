# What POSIX and Linux promise about files, as functions. Each gets a directory that `prepare` has filled and tells what it saw; what a plain directory tells
# is right.
import ctypes
import errno
import fcntl
import mmap
import os
import socket
import stat
import struct
import time

libc = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE = 1, 2
AT_SYMLINK_FOLLOW = 0x400
OPTIONS = []


def clause(prepare=None, users=("root", "user")):
    def keep(function):
        OPTIONS.append((function.__name__, prepare, function, users))
        return function
    return keep


def attempt(function, *arguments, **more):
    try:
        return function(*arguments, **more)
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def put(path, text="content", mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def get(path):
    with open(path, "rb") as file:
        return file.read()


def look(path, **more):
    return seen(attempt(os.stat, path, follow_symlinks=False, **more))


def seen(s):
    if isinstance(s, (str, int)):
        return s
    size = s.st_size if not stat.S_ISDIR(s.st_mode) else "-"
    return (oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, size, s.st_rdev)


def names(path):
    return sorted(os.listdir(path))


def rename2(old, new, flags):
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return 0


def link_open_file(fd, path):
    if libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, os.fsencode(path), AT_SYMLINK_FOLLOW) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return 0


def touch(path, mode=0o666):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))


# Making things

@clause()
def create_modes_and_umask(d):
    out = []
    for mask in (0, 0o022, 0o077, 0o777):
        old = os.umask(mask)
        touch(f"{d}/f{mask}", 0o777)
        os.mkdir(f"{d}/d{mask}", 0o777)
        os.mkfifo(f"{d}/p{mask}", 0o666)
        os.umask(old)
        out += [look(f"{d}/{k}{mask}") for k in "fdp"]
    return out


@clause()
def create_special_bits(d):
    os.umask(0)
    os.mkdir(f"{d}/g")
    os.chmod(f"{d}/g", 0o2777)
    touch(f"{d}/g/f", 0o6755)
    os.mkdir(f"{d}/g/d", 0o1777)
    os.symlink("x", f"{d}/g/s")
    return [look(f"{d}/g/{n}") for n in "fds"]


def a_setgid_directory(d):
    os.mkdir(f"{d}/g")
    put(f"{d}/g/old")
    os.mkdir(f"{d}/g/olddir")
    os.chown(f"{d}/g", 0, 2000)
    os.chmod(f"{d}/g", 0o2777)


@clause(a_setgid_directory)
def setgid_directory_gives_its_group(d):
    os.umask(0o022)
    out = []
    os.unlink(f"{d}/g/old")
    os.rmdir(f"{d}/g/olddir")
    for name in ("old", "new"):
        touch(f"{d}/g/{name}", 0o2775)
        out.append(look(f"{d}/g/{name}"))
    for name in ("olddir", "newdir"):
        os.mkdir(f"{d}/g/{name}", 0o755)
        out.append(look(f"{d}/g/{name}"))
    os.symlink("t", f"{d}/g/link")
    os.mkfifo(f"{d}/g/fifo", 0o2777)
    return out + [look(f"{d}/g/link"), look(f"{d}/g/fifo")]


@clause(users=("root",))
def make_devices(d):
    os.mknod(f"{d}/c", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(f"{d}/b", stat.S_IFBLK | 0o640, os.makedev(259, 70000))
    s = socket.socket(socket.AF_UNIX)
    s.bind(f"{d}/s")
    s.close()
    return [look(f"{d}/{n}") for n in "cbs"] + [open(f"{d}/c", "rb").read(3)]


@clause()
def long_names(d):
    out = []
    for length in (1, 254, 255, 256, 1000):
        name = f"{d}/" + "n" * length
        out += [attempt(touch, name), look(name), attempt(os.mkdir, name), attempt(os.symlink, "x", name + ""), attempt(os.rename, name, f"{d}/r")]
        out += [attempt(os.unlink, f"{d}/r"), attempt(os.link, f"{d}/r", name), attempt(os.mkfifo, name)]
    return out + [names(d)]


@clause()
def long_links(d):
    out = []
    for length in (1, 60, 255, 4094, 4095):
        text = "t" * length
        out += [attempt(os.symlink, text, f"{d}/{length}"), attempt(lambda: os.readlink(f"{d}/{length}") == text), look(f"{d}/{length}")]
    return out


@clause()
def deep_paths(d):
    os.chdir(d)
    part = "d" * 200
    for _ in range(25):
        os.mkdir(part)
        os.chdir(part)
    put("file", "deep")
    out = [get("file"), look("file"), names("."), attempt(os.rename, "file", "moved"), get("moved")]
    out += [attempt(os.stat, "/".join([d] + [part] * 25))]
    for _ in range(25):
        for name in names("."):
            os.unlink(name) if not os.path.isdir(name) else os.rmdir(name)
        os.chdir("..")
    os.chdir("/")
    return out + [names(d)]


def deep_tree(d):
    here = os.open(d, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.chmod(below, 0o777)
        os.close(here)
        here = below
    file = os.open("file", os.O_CREAT | os.O_WRONLY, 0o666, dir_fd=here)
    os.fchmod(file, 0o666)
    os.write(file, b"far below")
    os.close(file)
    os.close(here)


@clause(deep_tree)
def deep_paths_are_changed(d):
    os.chdir(d)
    for _ in range(25):
        os.chdir("d" * 200)
    out = [get("file"), look("file")]
    with open("file", "a") as file:
        file.write("!")
    touch("new")
    out += [get("file"), names("."), look(".")]
    os.chdir("/")
    return out


def very_deep_tree(d):
    os.makedirs("/".join([d] + ["d"] * 700))
    put("/".join([d] + ["d"] * 700) + "/file", "bottom", 0o666)
    for depth in (1, 699, 700):
        os.chmod("/".join([d] + ["d"] * depth), 0o777)


@clause(very_deep_tree)
def very_deep_directories(d):
    bottom = "/".join(["d"] * 699)
    out = [get(f"{d}/d/{bottom}/file"), look(f"{d}/d/{bottom}")]
    os.rename(f"{d}/d", f"{d}/moved")
    out += [names(d), get(f"{d}/moved/{bottom}/file"), attempt(touch, f"{d}/moved/{bottom}/new"), attempt(os.unlink, f"{d}/moved/{bottom}/file")]
    out += [names(f"{d}/moved/{bottom}"), attempt(os.rename, f"{d}/moved/{bottom}", f"{d}/bottom"), names(f"{d}/bottom")]
    return out


# Removing

def some_files(d):
    for name in "abc":
        put(f"{d}/{name}", name * 10, 0o666)
    os.mkdir(f"{d}/dir")
    put(f"{d}/dir/in", "in", 0o666)
    os.mkdir(f"{d}/dir/sub")
    os.symlink("a", f"{d}/link")
    os.mkdir(f"{d}/empty")
    os.mkfifo(f"{d}/fifo")
    for name in ("dir", "dir/sub", "empty", "fifo"):
        os.chmod(f"{d}/{name}", 0o777)


@clause(some_files)
def remove_and_make_again(d):
    out = [attempt(os.rmdir, f"{d}/dir"), attempt(os.unlink, f"{d}/dir"), attempt(os.rmdir, f"{d}/a"), attempt(os.unlink, f"{d}/none")]
    os.unlink(f"{d}/a")
    out += [attempt(os.stat, f"{d}/a"), attempt(os.stat, f"{d}/link"), names(d)]
    put(f"{d}/a", "again", 0o600)
    out += [look(f"{d}/a"), get(f"{d}/link")]
    os.unlink(f"{d}/a")
    os.mkdir(f"{d}/a")
    out += [names(f"{d}/a"), look(f"{d}/a")]
    os.unlink(f"{d}/dir/in")
    os.rmdir(f"{d}/dir/sub")
    out.append(names(f"{d}/dir"))
    os.rmdir(f"{d}/dir")
    out.append(look(d))
    os.mkdir(f"{d}/dir")
    out += [names(f"{d}/dir"), look(f"{d}/dir"), look(d)]
    os.rmdir(f"{d}/dir")
    os.symlink("b", f"{d}/dir")
    os.unlink(f"{d}/fifo")
    os.link(f"{d}/b", f"{d}/fifo")
    return out + [get(f"{d}/dir"), names(d), look(f"{d}/b"), look(f"{d}/fifo"), os.stat(f"{d}/b").st_ino == os.stat(f"{d}/fifo").st_ino]


@clause(some_files)
def open_files_outlive_their_names(d):
    out = []
    for name, flags in (("a", os.O_RDONLY), ("b", os.O_RDWR)):
        fd = os.open(f"{d}/{name}", flags)
        os.unlink(f"{d}/{name}")
        out += [seen(os.fstat(fd)), os.pread(fd, 100, 0), attempt(os.stat, f"{d}/{name}")]
        if flags:
            os.pwrite(fd, b"more", 8)
            os.ftruncate(fd, 11)
            out += [os.pread(fd, 100, 0), seen(os.fstat(fd)), attempt(os.fchmod, fd, 0o640), seen(os.fstat(fd)), attempt(os.fsync, fd)]
        out.append(link_open_file(fd, f"{d}/back"))
        os.close(fd)
    fd = os.open(f"{d}/c", os.O_RDONLY)
    put(f"{d}/other", "other")
    os.rename(f"{d}/other", f"{d}/c")
    out += [os.pread(fd, 100, 0), seen(os.fstat(fd)), get(f"{d}/c")]
    os.close(fd)
    return out


@clause(some_files)
def removed_working_directory(d):
    os.chdir(f"{d}/empty")
    os.rmdir(f"{d}/empty")
    out = [look("."), attempt(os.listdir, "."), attempt(touch, "x"), attempt(os.mkdir, "y"), attempt(os.stat, "..") and 0]
    os.chdir("/")
    return out + [names(d)]


@clause(some_files)
def nameless_handles(d):
    fd = os.open(f"{d}/a", os.O_PATH)
    os.unlink(f"{d}/a")
    out = [seen(os.fstat(fd))]
    os.close(fd)
    return out


# Links

def linked_files(d):
    put(f"{d}/one", "one", 0o666)
    os.link(f"{d}/one", f"{d}/two")
    os.mkdir(f"{d}/dir")
    os.chmod(f"{d}/dir", 0o777)
    os.link(f"{d}/one", f"{d}/dir/three")


@clause(linked_files)
def links_that_are_there(d):
    s = [os.stat(f"{d}/{n}") for n in ("one", "two", "dir/three")]
    return [look(f"{d}/one"), len({x.st_ino for x in s}), get(f"{d}/dir/three")]


@clause()
def links_that_are_made(d):
    put(f"{d}/a", "a", 0o666)
    os.link(f"{d}/a", f"{d}/b")
    os.mkdir(f"{d}/x")
    os.link(f"{d}/b", f"{d}/x/c")
    with open(f"{d}/x/c", "a") as file:
        file.write("+")
    out = [look(f"{d}/a"), get(f"{d}/a"), len({os.stat(f"{d}/{n}").st_ino for n in ("a", "b", "x/c")})]
    fd = os.open(f"{d}/a", os.O_RDONLY)
    for name in ("a", "b", "x/c"):
        os.unlink(f"{d}/{name}")
        out.append(seen(os.fstat(fd)))
    os.close(fd)
    return out


@clause(some_files)
def links_to_files_that_are_there(d):
    out = [attempt(os.link, f"{d}/a", f"{d}/dir/a"), look(f"{d}/a"), look(f"{d}/dir/a"), attempt(os.link, f"{d}/a", f"{d}/b")]
    out += [os.stat(f"{d}/a").st_ino == os.stat(f"{d}/dir/a").st_ino, attempt(os.link, f"{d}/dir", f"{d}/dir2")]
    out += [attempt(lambda: os.link(f"{d}/link", f"{d}/link2", follow_symlinks=False)), look(f"{d}/link2"), look(f"{d}/link")]
    put_at(f"{d}/dir/a", 0, b"changed")
    return out + [get(f"{d}/a")]


# Renaming

KINDS = ("none", "file", "file2", "full", "empty", "link", "fifo")


def rename_matrix_tree(d):
    for old in KINDS[1:]:
        for new in KINDS:
            for flag in (0, NOREPLACE, EXCHANGE):
                here = f"{d}/{old}-{new}-{flag}"
                os.mkdir(here)
                os.mkdir(f"{here}/to")
                for name, kind in (("old", old), ("to/new", new)):
                    path = f"{here}/{name}"
                    if kind in ("file", "file2"):
                        put(path, kind + name, 0o666)
                    elif kind in ("full", "empty"):
                        os.mkdir(path)
                        if kind == "full":
                            put(f"{path}/inner", name, 0o666)
                            os.mkdir(f"{path}/sub")
                            put(f"{path}/sub/leaf", name + "leaf", 0o666)
                            os.chmod(f"{path}/sub", 0o777)
                        os.chmod(path, 0o777)
                    elif kind == "link":
                        os.symlink("to", path)
                    elif kind == "fifo":
                        os.mkfifo(path)
                for name in ("", "/to"):
                    os.chmod(here + name, 0o777)


def tree_of(path):
    out = []
    for top, directories, files in os.walk(path):
        directories.sort()
        for name in sorted(directories + files):
            full = f"{top}/{name}"
            s = os.lstat(full)
            content = get(full) if stat.S_ISREG(s.st_mode) else os.readlink(full) if stat.S_ISLNK(s.st_mode) else ""
            out.append((full[len(path):], seen(s), content))
    return sorted(out)


@clause(rename_matrix_tree)
def rename_matrix(d):
    out = []
    for case in names(d):
        flag = int(case.rsplit("-", 1)[1])
        before = os.lstat(f"{d}/{case}/old").st_ino
        result = rename2(f"{d}/{case}/old", f"{d}/{case}/to/new", flag)
        same = attempt(lambda: os.lstat(f"{d}/{case}/to/new").st_ino == before)
        out.append((case, result, same, tree_of(f"{d}/{case}")))
        # And once more, and back: over what is there now.
        if result == 0 and flag == 0:
            put(f"{d}/{case}/old", "new old", 0o666)
            out.append((attempt(os.rename, f"{d}/{case}/to/new", f"{d}/{case}/back"), attempt(os.rename, f"{d}/{case}/back", f"{d}/{case}/old")))
            out.append(tree_of(f"{d}/{case}"))
    return out


@clause(some_files)
def rename_edges(d):
    out = [attempt(os.rename, f"{d}/dir", f"{d}/dir/sub/x"), attempt(os.rename, f"{d}/a", f"{d}/a"), attempt(os.rename, f"{d}/none", f"{d}/x")]
    out += [attempt(os.rename, f"{d}/a/x", f"{d}/y"), attempt(os.rename, f"{d}/dir/.", f"{d}/y"), rename2(f"{d}/a", f"{d}/b", 8)]
    os.link(f"{d}/a", f"{d}/a2")
    out += [attempt(os.rename, f"{d}/a", f"{d}/a2"), names(d)]
    os.rename(f"{d}/dir", f"{d}/moved")
    out += [names(f"{d}/moved"), get(f"{d}/moved/in"), look(d), look(f"{d}/moved")]
    os.mkdir(f"{d}/dir")
    out += [names(f"{d}/dir")]
    os.unlink(f"{d}/moved/in")
    os.rmdir(f"{d}/moved/sub")
    os.rename(f"{d}/dir", f"{d}/moved")
    out += [names(f"{d}/moved"), names(d)]
    os.unlink(f"{d}/b")
    os.rename(f"{d}/moved", f"{d}/b")
    return out + [names(d), look(f"{d}/b"), names(f"{d}/b")]


@clause(some_files)
def fresh_directories_hide_what_was_there(d):
    for name in ("in", "sub"):
        os.unlink(f"{d}/dir/{name}") if name == "in" else os.rmdir(f"{d}/dir/{name}")
    os.rmdir(f"{d}/dir")
    os.mkdir(f"{d}/fresh")
    touch(f"{d}/fresh/x")
    os.rename(f"{d}/fresh", f"{d}/dir")
    os.mkdir(f"{d}/other")
    return [names(f"{d}/dir"), rename2(f"{d}/other", f"{d}/dir", EXCHANGE), names(f"{d}/dir"), names(f"{d}/other")]


# Attributes

@clause(some_files)
def modes_and_owners(d):
    out = []
    for path in (f"{d}/a", f"{d}/dir", f"{d}/fifo"):
        for mode in (0o000, 0o777, 0o4755, 0o2755, 0o2745, 0o1777):
            out += [attempt(os.chmod, path, mode), look(path)]
        for owner in ((-1, 2000), (-1, 3000), (1000, -1), (0, 0), (-1, -1)):
            os.stat(path)
            attempt(os.chmod, path, 0o6755)
            out += [attempt(os.chown, path, *owner), look(path)]
    out += [attempt(os.lchown, f"{d}/link", 1000, 2000), look(f"{d}/link"), look(f"{d}/a")]
    return out


def own_files(d):
    some_files(d)
    for name in ("a", "b", "c", "dir", "dir/in", "link", "fifo"):
        os.chown(f"{d}/{name}", 1000, 1000, follow_symlinks=False)
    os.chown(d, 1000, 1000)


@clause(own_files)
def modes_and_owners_of_ones_own(d):
    return modes_and_owners(d)


@clause(own_files)
def set_times(d):
    out = []
    for path in (f"{d}/a", f"{d}/dir", f"{d}/link"):
        os.utime(path, ns=(1_000_000_001, 2_000_000_003), follow_symlinks=False)
        s = os.lstat(path)
        out += [s.st_atime_ns, s.st_mtime_ns, abs(s.st_ctime - time.time()) < 5]
    now = time.time()
    os.utime(f"{d}/a")
    s = os.stat(f"{d}/a")
    out += [abs(s.st_atime - now) < 2, abs(s.st_mtime - now) < 2]
    omit, present = 0x3FFFFFFE, 0x3FFFFFFF
    for atime, mtime in ((omit, 5), (7, omit), (omit, omit), (present, omit), (omit, present)):
        os.utime(f"{d}/a", ns=(11, 12))
        times = struct.pack("qqqq", 9, atime, 9, mtime)
        out.append(libc.utimensat(-100, os.fsencode(f"{d}/a"), times, 0))
        s = os.stat(f"{d}/a")
        out += [s.st_atime_ns if s.st_atime < 100 else "now", s.st_mtime_ns if s.st_mtime < 100 else "now"]
    out.append(attempt(os.utime, f"{d}/a", ns=(-1_500_000_000, 1 << 60)))
    return out + [os.stat(f"{d}/a").st_mtime_ns, os.stat(f"{d}/a").st_atime_ns]


@clause(some_files)
def times_of_others(d):
    return [attempt(os.utime, f"{d}/a", ns=(1, 1)) or 0, attempt(os.utime, f"{d}/a") or 0, attempt(os.chmod, f"{d}/a", 0o666), attempt(os.utime, f"{d}/none")]


@clause(some_files)
def times_move(d):
    out = []

    def moved(path, action, which=("st_mtime_ns", "st_ctime_ns")):
        before = os.lstat(path)
        time.sleep(0.012)
        action()
        after = os.lstat(path)
        out.append([getattr(after, w) > getattr(before, w) for w in which])
    moved(d, lambda: touch(f"{d}/new"))
    moved(d, lambda: os.unlink(f"{d}/new"))
    moved(d, lambda: os.mkdir(f"{d}/new"))
    moved(d, lambda: os.rmdir(f"{d}/new"))
    moved(d, lambda: os.unlink(f"{d}/c"))
    moved(d, lambda: os.rename(f"{d}/b", f"{d}/dir/b"))
    moved(f"{d}/dir", lambda: os.rename(f"{d}/dir/b", f"{d}/b"))
    moved(d, lambda: os.symlink("x", f"{d}/sym"))
    moved(f"{d}/a", lambda: os.link(f"{d}/a", f"{d}/hard"), ("st_ctime_ns",))
    moved(f"{d}/a", lambda: os.unlink(f"{d}/hard"), ("st_ctime_ns",))
    moved(f"{d}/a", lambda: put_at(f"{d}/a", 3, b"x"))
    moved(f"{d}/a", lambda: os.truncate(f"{d}/a", 3))
    moved(f"{d}/a", lambda: get(f"{d}/a"))
    moved(f"{d}/dir", lambda: names(f"{d}/dir"))
    moved(d, lambda: put_at(f"{d}/dir/in", 0, b"y"))
    moved(d, lambda: os.rmdir(f"{d}/empty"))
    for name in ("a", "link", "dir/sub", "fifo"):
        moved(f"{d}/{name}", lambda: attempt(os.lchown, f"{d}/{name}", -1, -1))
    return out


def put_at(path, offset, content):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, content, offset)
    os.close(fd)


@clause(some_files)
def maps_move_times(d):
    out = []
    for name in ("a", "b"):
        path = f"{d}/{name}"
        before = os.stat(path)
        fd = os.open(path, os.O_RDWR)
        with mmap.mmap(fd, 0) as window:
            time.sleep(0.012)
            window[0:1] = b"!"
            window.flush()
            out.append(os.stat(path).st_mtime_ns > before.st_mtime_ns)
            before = os.stat(path)
            time.sleep(0.012)
            window[1:2] = b"!"
            window.flush()
            out.append(os.stat(path).st_mtime_ns > before.st_mtime_ns)
        os.close(fd)
    return out


@clause(some_files)
def maps_of_closed_files_move_times(d):
    out = []
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    for name in ("a", "new"):
        path = f"{d}/{name}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(fd, bytes(5000))
        # mmap.mmap would keep a descriptor of its own.
        window = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
        os.close(fd)
        os.stat(path)
        before = os.stat(path).st_mtime_ns
        time.sleep(0.05)
        ctypes.memset(window, 65, 10)
        libc.msync(ctypes.c_void_p(window), ctypes.c_size_t(4096), 4)
        out.append((os.stat(path).st_mtime_ns > before, get(path)[:12]))
        libc.munmap(ctypes.c_void_p(window), ctypes.c_size_t(4096))
    return out


@clause(own_files)
def writing_clears_set_id(d):
    out = []
    os.umask(0)
    for name in ("a", "b"):
        for mode in (0o6777, 0o2767, 0o4777):
            for how in ("write", "append", "truncate", "ftruncate", "open", "empty", "fallocate", "later"):
                path = f"{d}/{name}"
                os.truncate(path, 10)
                os.chmod(path, mode if how != "later" else 0o777)
                if how == "truncate":
                    os.truncate(path, 5)
                else:
                    fd = os.open(path, os.O_RDWR | (os.O_TRUNC if how == "open" else 0) | (os.O_APPEND if how == "append" else 0))
                    if how in ("write", "append"):
                        os.write(fd, b"x")
                    if how == "ftruncate":
                        os.ftruncate(fd, 3)
                    if how == "empty":
                        os.write(fd, b"")
                    if how == "fallocate":
                        os.posix_fallocate(fd, 0, 100)
                    if how == "later":
                        os.write(fd, b"1")
                        os.chmod(path, mode)
                        os.write(fd, b"2")
                    out.append(oct(os.fstat(fd).st_mode))
                    os.close(fd)
                out.append((how, look(path)))
    return out


def set_id_of_others(d):
    put(f"{d}/s", "12345", 0o6777)
    put(f"{d}/g", "12345", 0o2777)
    put(f"{d}/cap", "12345", 0o777)
    os.setxattr(f"{d}/cap", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))


@clause(set_id_of_others)
def writing_clears_set_id_of_others(d):
    out = []
    for name in ("s", "g", "cap"):
        fd = os.open(f"{d}/{name}", os.O_WRONLY)
        os.write(fd, b"x")
        out.append(seen(os.fstat(fd)))
        os.close(fd)
        out += [look(f"{d}/{name}"), attempt(os.getxattr, f"{d}/{name}", "security.capability")]
    return out


@clause(some_files)
def extended_attributes(d):
    out = []
    for path in (f"{d}/a", f"{d}/dir"):
        out += [attempt(os.getxattr, path, "user.x"), os.listxattr(path)]
        out += [attempt(os.setxattr, path, "user.x", b"v", os.XATTR_REPLACE), attempt(os.setxattr, path, "user.x", b"value")]
        out += [attempt(os.setxattr, path, "user.x", b"v", os.XATTR_CREATE), attempt(os.setxattr, path, "user.empty", b"")]
        out += [os.getxattr(path, "user.x"), sorted(os.listxattr(path)), attempt(os.setxattr, path, "user.long", b"l" * 2000)]
        out += [attempt(os.removexattr, path, "user.x"), attempt(os.removexattr, path, "user.x"), sorted(os.listxattr(path))]
        out += [attempt(os.setxattr, path, "nothing.x", b""), attempt(os.setxattr, path, "user." + "n" * 300, b"")]
        out += [attempt(os.setxattr, path, "trusted.t", b"1")]
        out += [attempt(os.getxattr, path, "trusted.t"), sorted(os.listxattr(path))]
    out += [attempt(os.setxattr, f"{d}/link", "user.x", b"", follow_symlinks=False), attempt(os.setxattr, f"{d}/fifo", "user.x", b"")]
    out += [attempt(os.setxattr, f"{d}/link", "trusted.l", b"1", follow_symlinks=False), attempt(os.getxattr, f"{d}/link", "trusted.l", follow_symlinks=False)]
    return out


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, permissions, who & 0xFFFFFFFF) for tag, permissions, who in entries)


def access_lists_tree(d):
    some_files(d)
    os.chmod(d, 0o777)
    os.setxattr(f"{d}/a", "system.posix_acl_access", acl((1, 6, -1), (2, 0, 1000), (4, 6, -1), (16, 6, -1), (32, 6, -1)))
    os.setxattr(f"{d}/b", "system.posix_acl_access", acl((1, 6, -1), (2, 6, 1000), (4, 0, -1), (16, 6, -1), (32, 0, -1)))
    default = acl((1, 7, -1), (2, 7, 1001), (4, 5, -1), (16, 7, -1), (32, 5, -1))
    os.setxattr(f"{d}/dir", "system.posix_acl_default", default)
    os.setxattr(f"{d}/empty", "system.posix_acl_default", default)


@clause(access_lists_tree)
def access_lists(d):
    out = [attempt(get, f"{d}/a"), attempt(get, f"{d}/b"), attempt(put_at, f"{d}/a", 0, b"1"), attempt(put_at, f"{d}/b", 0, b"1")]
    os.umask(0o077)
    os.unlink(f"{d}/dir/in")
    os.rmdir(f"{d}/dir/sub")
    for directory in ("dir", "empty"):
        for name in ("in", "new"):
            path = f"{d}/{directory}/{name}"
            touch(path, 0o666)
            out += [look(path), attempt(os.getxattr, path, "system.posix_acl_access")]
        os.mkdir(f"{d}/{directory}/sub", 0o777)
        out += [look(f"{d}/{directory}/sub"), sorted(os.listxattr(f"{d}/{directory}/sub"))]
    out += [attempt(os.chmod, f"{d}/dir/in", 0o640), attempt(os.getxattr, f"{d}/dir/in", "system.posix_acl_access"), look(f"{d}/dir/in")]
    out.append(attempt(os.setxattr, f"{d}/dir/in", "system.posix_acl_access", acl((1, 4, -1), (4, 4, -1), (32, 0, -1))))
    out += [look(f"{d}/dir/in"), os.listxattr(f"{d}/dir/in")]
    return out


# Permissions

def permission_tree(d):
    for number, (owner, group, mode) in enumerate([(0, 0, 0o600), (0, 2000, 0o660), (0, 3000, 0o660), (1000, 0, 0o400), (0, 2000, 0o606), (0, 1000, 0o640)]):
        put(f"{d}/f{number}")
        os.chown(f"{d}/f{number}", owner, group)
        os.chmod(f"{d}/f{number}", mode)
        os.mkdir(f"{d}/d{number}")
        put(f"{d}/d{number}/x")
        os.chown(f"{d}/d{number}", owner, group)
        os.chmod(f"{d}/d{number}", mode | (mode & 0o444) >> 2)
    os.mkdir(f"{d}/sticky")
    put(f"{d}/sticky/root", "r", 0o666)
    put(f"{d}/sticky/own", "o", 0o666)
    os.chown(f"{d}/sticky/own", 1000, 1000)
    os.chmod(f"{d}/sticky", 0o1777)
    os.chmod(d, 0o755)


@clause(permission_tree)
def permissions(d):
    out = []
    for n in range(6):
        out += [attempt(get, f"{d}/f{n}"), attempt(put_at, f"{d}/f{n}", 0, b"w"), attempt(names, f"{d}/d{n}"), attempt(touch, f"{d}/d{n}/new")]
        out.append(attempt(os.unlink, f"{d}/d{n}/x"))
        out += [os.access(f"{d}/f{n}", k) for k in (os.R_OK, os.W_OK, os.X_OK)] + [look(f"{d}/f{n}"), look(f"{d}/d{n}")]
    out += [attempt(touch, f"{d}/new"), attempt(os.unlink, f"{d}/f0"), attempt(os.rename, f"{d}/f1", f"{d}/f9"), attempt(os.mkdir, f"{d}/nd")]
    out += [attempt(os.unlink, f"{d}/sticky/root"), attempt(os.rename, f"{d}/sticky/root", f"{d}/sticky/r2"), attempt(os.unlink, f"{d}/sticky/own")]
    return out + [names(f"{d}/sticky"), names(d)]


# Data

@clause(own_files)
def reading_and_writing(d):
    path = f"{d}/a"
    out = []
    fd = os.open(path, os.O_RDWR)
    out += [os.pread(fd, 4, 2), os.pwrite(fd, b"XY", 100), os.fstat(fd).st_size, os.pread(fd, 200, 0), os.pread(fd, 10, 500)]
    os.ftruncate(fd, 50)
    os.ftruncate(fd, 5000)
    out += [os.pread(fd, 6000, 0), attempt(os.ftruncate, fd, -1), attempt(os.truncate, f"{d}/dir", 1), attempt(os.truncate, f"{d}/fifo", 1)]
    os.close(fd)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    out += [os.write(fd, b"end"), os.pwrite(fd, b"too", 0), os.lseek(fd, 0, os.SEEK_CUR)]
    other = os.open(path, os.O_WRONLY | os.O_APPEND)
    for i in range(10):
        os.write(fd if i % 2 else other, b"%d" % i)
    os.close(other)
    os.close(fd)
    out += [get(path)[-20:], attempt(lambda: os.read(os.open(f"{d}/b", os.O_WRONLY), 1)), attempt(lambda: os.write(os.open(f"{d}/b", os.O_RDONLY), b"1"))]
    fd = os.open(f"{d}/b", os.O_RDWR | os.O_TRUNC)
    out += [os.fstat(fd).st_size]
    os.close(fd)
    out += [look(f"{d}/b"), attempt(lambda: os.close(os.open(f"{d}/c", os.O_CREAT | os.O_EXCL | os.O_WRONLY))), attempt(os.open, f"{d}/dir", os.O_WRONLY)]
    out += [attempt(os.open, f"{d}/link", os.O_RDONLY | os.O_NOFOLLOW), attempt(os.open, f"{d}/fifo", os.O_WRONLY | os.O_NONBLOCK)]
    return out


@clause(some_files)
def readers_see_writers(d):
    out = []
    for name in ("a", "b"):
        reader = os.open(f"{d}/{name}", os.O_RDONLY)
        view = mmap.mmap(reader, 0, prot=mmap.PROT_READ)
        out += [os.pread(reader, 3, 0), view[0:3]]
        put_at(f"{d}/{name}", 0, b"NEW")
        second = os.open(f"{d}/{name}", os.O_RDONLY)
        out += [os.pread(reader, 3, 0), os.pread(second, 3, 0), view[0:3], seen(os.fstat(reader)), os.fstat(reader).st_ino == os.fstat(second).st_ino]
        writer = os.open(f"{d}/{name}", os.O_RDWR)
        window = mmap.mmap(writer, 0)
        window[4:6] = b"mm"
        out += [os.pread(second, 10, 0), view[0:10], get(f"{d}/{name}")]
        os.pwrite(writer, b"ww", 7)
        out += [window[0:10], view[0:10]]
        window.close()
        view.close()
        for fd in (reader, second, writer):
            os.close(fd)
        out.append(get(f"{d}/{name}"))
    return out


@clause()
def a_map_outlives_its_file(d):
    fd = os.open(f"{d}/m", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, 3 * 4096)
    window = mmap.mmap(fd, 3 * 4096)
    os.close(fd)
    window[4096:4100] = b"abcd"
    out = [get(f"{d}/m")[4096:4100]]
    os.rename(f"{d}/m", f"{d}/n")
    window[0:1] = b"z"
    os.unlink(f"{d}/n")
    window[1:2] = b"y"
    out.append(window[0:2])
    window.close()
    return out


@clause()
def holes(d):
    fd = os.open(f"{d}/sparse", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, 1 << 20)
    os.pwrite(fd, b"d" * 4096, 1 << 19)
    out = [os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 1 << 19, os.SEEK_HOLE), attempt(os.lseek, fd, 1 << 21, os.SEEK_DATA), os.fstat(fd).st_blocks]
    out.append(libc.fallocate(fd, 3, ctypes.c_long(1 << 19), ctypes.c_long(4096)))
    out += [attempt(os.lseek, fd, 0, os.SEEK_DATA), os.fstat(fd).st_blocks, os.pread(fd, 4, 1 << 19)]
    out += [libc.fallocate(fd, 1, ctypes.c_long(1 << 20), ctypes.c_long(8192)), os.fstat(fd).st_size]
    out += [libc.fallocate(fd, 0, ctypes.c_long(1 << 20), ctypes.c_long(8192))]
    out += [os.fstat(fd).st_size, libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(0)), ctypes.get_errno()]
    os.close(fd)
    return out + [look(f"{d}/sparse")]


def sparse_tree(d):
    fd = os.open(f"{d}/sparse", os.O_RDWR | os.O_CREAT, 0o666)
    os.fchmod(fd, 0o666)
    os.ftruncate(fd, 8 << 20)
    os.pwrite(fd, b"d" * 8192, 4 << 20)
    os.pwrite(fd, b"e", (8 << 20) - 1)
    os.close(fd)


@clause(sparse_tree)
def holes_are_found_and_punched(d):
    reader = os.open(f"{d}/sparse", os.O_RDONLY)
    places = [(0, os.SEEK_DATA), (0, os.SEEK_HOLE), (4 << 20, os.SEEK_HOLE), (5 << 20, os.SEEK_DATA), ((8 << 20) - 1, os.SEEK_HOLE), (8 << 20, os.SEEK_DATA)]
    out = [attempt(os.lseek, reader, at, kind) for at, kind in places]
    fd = os.open(f"{d}/sparse", os.O_RDWR)
    out.append(libc.fallocate(fd, 3, ctypes.c_long(4 << 20), ctypes.c_long(4096)))
    out += [attempt(os.lseek, reader, at, kind) for at, kind in places]
    out += [os.pread(reader, 2, (4 << 20) + 4095), os.pread(fd, 2, (4 << 20) + 4095), libc.fallocate(fd, 0x11, ctypes.c_long(4 << 20), ctypes.c_long(8192))]
    out += [os.pread(reader, 2, (4 << 20) + 4096), os.fstat(reader).st_size]
    os.close(reader)
    os.close(fd)
    return out


@clause(sparse_tree)
def holes_stay_holes(d):
    put_at(f"{d}/sparse", 1 << 20, b"new")
    s = os.stat(f"{d}/sparse")
    fd = os.open(f"{d}/sparse", os.O_RDONLY)
    return [s.st_size, s.st_blocks < 200, os.lseek(fd, 0, os.SEEK_DATA), os.pread(fd, 3, 4 << 20), os.pread(fd, 2, (8 << 20) - 1), os.close(fd)]


@clause(some_files)
def copy_within(d):
    put(f"{d}/big", "0123456789" * 20000, 0o666)
    source, target = os.open(f"{d}/big", os.O_RDONLY), os.open(f"{d}/copy", os.O_RDWR | os.O_CREAT, 0o600)
    out = [os.copy_file_range(source, target, 150000, 10, 5), os.fstat(target).st_size, get(f"{d}/copy")[:20]]
    lower = os.open(f"{d}/a", os.O_RDONLY)
    out += [os.copy_file_range(lower, target, 100, 0, 0), get(f"{d}/copy")[:20], os.sendfile(target, source, 0, 10)]
    for fd in (source, target, lower):
        os.close(fd)
    return out + [look(f"{d}/copy")]


@clause()
def nameless_files(d):
    fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o640)
    out = [os.write(fd, b"temporary"), seen(os.fstat(fd)), names(d)]
    out.append(link_open_file(fd, f"{d}/named"))
    out += [look(f"{d}/named"), get(f"{d}/named"), seen(os.fstat(fd))]
    os.close(fd)
    fd = os.open(d, os.O_TMPFILE | os.O_WRONLY | os.O_EXCL, 0o600)
    out.append(link_open_file(fd, f"{d}/not"))
    os.close(fd)
    return out


@clause(some_files)
def locks(d):
    first, second = os.open(f"{d}/a", os.O_RDWR), os.open(f"{d}/a", os.O_RDWR)
    out = [attempt(fcntl.flock, first, fcntl.LOCK_EX), attempt(fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB), attempt(fcntl.flock, first, fcntl.LOCK_UN)]
    out += [attempt(fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB), attempt(fcntl.flock, second, fcntl.LOCK_UN)]
    fcntl.lockf(first, fcntl.LOCK_EX, 10, 0)
    child = os.fork()
    if child == 0:
        other = os.open(f"{d}/a", os.O_RDWR)
        same = attempt(fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)
        free = attempt(fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 50)
        os._exit((same == "EAGAIN") * 2 + (free is None))
    out.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.close(first)
    os.close(second)
    return out


class Lock(ctypes.Structure):
    _fields_ = [("type", ctypes.c_short), ("whence", ctypes.c_short), ("start", ctypes.c_long), ("length", ctypes.c_long), ("pid", ctypes.c_int)]


@clause(some_files)
def locks_of_open_file_descriptions(d):
    def lock(fd, kind, start, length):
        wish = Lock(kind, os.SEEK_SET, start, length, 0)
        return attempt(lambda: libc.fcntl(fd, 37, ctypes.byref(wish)) == 0 or ctypes.get_errno())  # F_OFD_SETLK
    first, second = os.open(f"{d}/a", os.O_RDWR), os.open(f"{d}/a", os.O_RDWR)
    out = [lock(first, fcntl.F_WRLCK, 0, 10), lock(second, fcntl.F_WRLCK, 5, 1), lock(second, fcntl.F_WRLCK, 10, 5), lock(second, fcntl.F_RDLCK, 3, 1)]
    copy = os.dup(first)
    os.close(first)
    out.append(lock(second, fcntl.F_WRLCK, 5, 1))
    os.close(copy)
    out += [lock(second, fcntl.F_WRLCK, 5, 1), attempt(fcntl.flock, second, fcntl.LOCK_SH)]
    other = os.open(f"{d}/a", os.O_RDONLY)
    out += [attempt(fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB), attempt(fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)]
    # The file is another on disk when it has been written to first.
    os.pwrite(second, b"locked", 0)
    out += [lock(other, fcntl.F_RDLCK, 5, 1), attempt(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB), get(f"{d}/a")[:6]]
    os.close(second)
    out += [lock(other, fcntl.F_RDLCK, 5, 1), attempt(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)]
    os.close(other)
    return out


def programs(d):
    for name in ("run", "run2"):
        with open("/bin/true", "rb") as source:
            put(f"{d}/{name}", "", 0o777)
            with open(f"{d}/{name}", "wb") as target:
                target.write(source.read())


@clause(programs)
def running_programs(d):
    out = [os.spawnv(os.P_WAIT, f"{d}/run", ["run"])]
    fd = os.open(f"{d}/run", os.O_WRONLY)
    child = os.fork()
    if child == 0:
        os._exit(attempt(os.execv, f"{d}/run", ["run"]) == "ETXTBSY" and 42)
    out.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.close(fd)
    out.append(os.spawnv(os.P_WAIT, f"{d}/run", ["run"]))
    with open("/bin/cat", "rb") as source, open(f"{d}/cat", "wb") as target:
        target.write(source.read())
    os.chmod(f"{d}/cat", 0o755)
    r, w = os.pipe()
    back, out_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(r, 0)
        os.dup2(out_end, 1)
        os.close(w)
        os.execv(f"{d}/cat", ["cat"])
    os.write(w, b"!")
    os.read(back, 1)
    out.append(attempt(os.open, f"{d}/cat", os.O_WRONLY))
    os.unlink(f"{d}/cat")
    os.close(w)
    out.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return out


@clause(some_files)
def fifos_work(d):
    child = os.fork()
    if child == 0:
        with open(f"{d}/fifo", "wb") as pipe:
            pipe.write(b"through")
        os._exit(0)
    with open(f"{d}/fifo", "rb") as pipe:
        out = [pipe.read()]
    os.waitpid(child, 0)
    return out


# Directories

def many_names(d):
    for i in range(1200):
        os.symlink("x", f"{d}/name-{i:05}")


@clause(many_names)
def reading_while_removing(d):
    seen_names, made = [], 0
    with os.scandir(d) as entries:
        for count, entry in enumerate(entries):
            if entry.name.startswith("name"):
                seen_names.append(entry.name)
            if count % 7 == 0:
                attempt(os.unlink, f"{d}/{entry.name}")
            if count % 100 == 0 and made < 10:
                made += 1
                touch(f"{d}/more-{made}")
    return [len(seen_names), len(set(seen_names)), len([n for n in names(d) if n.startswith("name")]) + (len(seen_names) and 0) > 900, made]


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_ushort), ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.readdir.argtypes = libc.telldir.argtypes = libc.closedir.argtypes = libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


@clause(many_names)
def seeking_in_directories(d):
    directory = libc.opendir(os.fsencode(d))
    order, places, kinds, wrong = [], [], set(), 0
    while entry := libc.readdir(directory):
        name = entry.contents.name.decode()
        order.append(name)
        places.append(libc.telldir(directory))
        kinds.add(entry.contents.type)
        if name != ".." and entry.contents.ino != os.lstat(f"{d}/{name}").st_ino:
            wrong += 1
    good = 0
    for i in (0, 1, 5, 1000, 1198, 17):
        libc.seekdir(directory, places[i])
        entry = libc.readdir(directory)
        good += entry.contents.name.decode() == order[i + 1]
    libc.rewinddir(directory)
    good += libc.readdir(directory).contents.name.decode() == order[0]
    libc.closedir(directory)
    return [len(order), len(set(order)), good, sorted(kinds), wrong]


@clause(some_files)
def inode_numbers_stay(d):
    before = {n: os.lstat(f"{d}/{n}").st_ino for n in ("a", "b", "dir", "dir/in", "link", "fifo", ".")}
    put_at(f"{d}/a", 0, b"1")
    os.chmod(f"{d}/dir", 0o700) if os.access(f"{d}/dir", os.W_OK) and os.geteuid() == 0 else touch(f"{d}/dir/t")
    put_at(f"{d}/dir/in", 0, b"1")
    attempt(os.lchown, f"{d}/link", os.geteuid(), -1)
    attempt(os.chmod, f"{d}/fifo", 0o666)
    after = {n: os.lstat(f"{d}/{n}").st_ino for n in before}
    os.rename(f"{d}/dir", f"{d}/renamed")
    return [before == after, os.stat(f"{d}/renamed").st_ino == before["dir"], os.stat(f"{d}/renamed/in").st_ino == before["dir/in"], len(set(before.values()))]


@clause(some_files)
def file_system_limits(d):
    s = os.statvfs(d)
    return [s.f_namemax, s.f_bsize, s.f_blocks > 0, s.f_files > 0, os.pathconf(d, "PC_NAME_MAX")]
