import CLinux
import ConformanceKit
import ConformanceSystemSuites
import Protocols

extension FileMutants {
  static let names: [Mutant] = [
    call("FS01", "a directory with entries is replaced by a rename", kills: ["files.rename.matrix"], symptom: "ENOTEMPTY") { calls, good in
      calls.rename = { old, new, flags in
        let result = good.rename(old, new, flags)
        return result < 0 && clinux_errno() == ENOTEMPTY ? 0 : result
      }
    },
    call("FS02", "RENAME_NOREPLACE replaces", kills: ["files.rename.flags"], symptom: "EEXIST") { calls, good in
      calls.rename = { good.rename($0, $1, $2 == 1 ? 0 : $2) }
    },
    call(
      "FS03", "a directory whose lower entries are deleted cannot be removed", kills: ["files.rmdir.whited-out"], symptom: "ENOTEMPTY",
      threads: ["moby/moby#25244"]
    ) { calls, good in calls.rmdir = { $0.hasSuffix("/full") ? refuse(ENOTEMPTY) : good.rmdir($0) } },
    call("FS04", "a path through a file is missing, not no directory", kills: ["files.names.lookup"], symptom: "ENOTDIR") { calls, good in
      calls.open = { path, flags, mode in
        let result = good.open(path, flags, mode)
        if result < 0, clinux_errno() == ENOTDIR { clinux_set_errno(ENOENT) }
        return result
      }
    },
    call("FS05", "names of more than 250 bytes are refused", kills: ["files.names.long"], symptom: "ENAMETOOLONG") { calls, good in
      calls.open = { path, flags, mode in
        (path.split(separator: "/").last?.utf8.count ?? 0) > 250 ? refuse(ENAMETOOLONG) : good.open(path, flags, mode)
      }
    },
    call("FS06", "names do not differ by case", kills: ["files.names.distinct"], symptom: "case") { calls, good in
      calls.open = { path, flags, mode in good.open(path.hasSuffix("/CASE") ? String(path.dropLast(4)) + "case" : path, flags, mode) }
    },
    call("FS07", "a rename of a lower directory loses what is in it", kills: ["files.rename.lower-directory"], symptom: "names in the directory") {
      calls, good in
      calls.rename = { old, new, flags in
        let result = good.rename(old, new, flags)
        return result < 0 && clinux_errno() == EXDEV ? good.mkdir(new, 0o755) : result
      }
    },
  ]

  static let opening: [Mutant] = [
    call("FS10", "a deletion empties the file, open or not", kills: ["files.open.unlinked"], symptom: "read the open file") { calls, good in
      calls.unlink = { path in
        _ = good.truncate(path, 0)
        return good.unlink(path)
      }
    },
    call("FS11", "O_EXCL opens what is there", kills: ["files.open.flags"], symptom: "EEXIST") { calls, good in
      calls.open = { good.open($0, $1 & ~O_EXCL, $2) }
    },
    call("FS12", "cutting a file on its first change does nothing", kills: ["files.open.truncate-large"], symptom: "stat big") { calls, good in
      calls.truncate = { $1 == 100_000 ? 0 : good.truncate($0, $1) }
    },
    call("FS13", "a write at a page's start is lost", kills: ["files.open.map"], symptom: "read through the mapping") { calls, good in
      calls.write = { file, bytes in
        if good.seek(file, 0, Int32(SEEK_CUR)) != 4096 { return good.write(file, bytes) }
        _ = good.seek(file, bytes.count, Int32(SEEK_CUR))
        return bytes.count
      }
    },
    call("FS14", "files without a name are not supported, though said to be", kills: ["files.open.tmpfile"], symptom: "open dir") { calls, good in
      calls.open = { path, flags, mode in flags & 0o20000000 != 0 ? refuse(EOPNOTSUPP) : good.open(path, flags, mode) }
    },
    call("FS15", "every lock is granted", kills: ["files.locks.exclusion"], symptom: "EAGAIN", threads: ["containers/fuse-overlayfs#82"]) { calls, _ in
      calls.flock = { _, _ in 0 }
    },
    call("FS16", "fsync is refused", kills: ["files.sync"], symptom: "fsync") { calls, _ in calls.fsync = { _ in refuse(EINVAL) } },
    call("FS17", "holes are filled with something", kills: ["files.holes"], symptom: "from its start") { calls, good in
      calls.read = { file, buffer in
        let count = good.read(file, buffer)
        if count > 1000, buffer[..<1000].allSatisfy({ $0 == 0 }) { buffer[5] = 1 }
        return count
      }
    },
    call("FS18", "a reader from before the first change sees the old end", kills: ["files.open.seen-later"], symptom: "from its start") { calls, good in
      calls.read = { file, buffer in good.read(file, UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(14))) == 14 ? 14 : 0 }
    },
    call(
      "FS19", "a copy is made on opening for reading", kills: ["files.reading.no-copy"], symptom: "usage after reading", threads: ["opencontainers/runc#1896"]
    ) {
      calls, good in
      calls.open = { good.open($0, $1 == O_RDONLY ? O_RDWR : $1, $2) }
    },
  ]

  static let linking: [Mutant] = [
    call("FS20", "no hard link across directories", kills: ["files.link.across"], symptom: "EXDEV") { calls, good in
      calls.link = { parent($0) == parent($1) ? good.link($0, $1) : refuse(EXDEV) }
    },
    call("FS21", "a change of owner is lost", kills: ["files.link.cycle"], symptom: "stat a") { calls, _ in calls.lchown = { _, _, _ in 0 } },
    call("FS22", "no more than 127 links", kills: ["files.link.many"], symptom: "refused") { calls, good in
      calls.link = { old, new in
        var status = stat()
        return good.lstat(old, &status) == 0 && status.st_nlink > 126 ? refuse(EMLINK) : good.link(old, new)
      }
    },
    call("FS23", "targets of symbolic links are cut at 1024 bytes", kills: ["files.symlink.kinds"], symptom: "readlink long") { calls, good in
      calls.readlink = { min(good.readlink($0, $1), 1024) }
    },
  ]

  static let kinds: [Mutant] = [
    call("FS30", "readdir knows no types", kills: ["files.readdir.types"], symptom: "list the root") { calls, good in
      calls.list = { good.list($0)?.map { FileCalls.Entry(name: $0.name, type: 0, inode: $0.inode) } }
    },
    call("FS31", "some names cannot be deleted while their directory is read", kills: ["files.readdir.while-deleting"], symptom: "not deleted") { calls, good in
      calls.unlink = { $0.contains("/many/") && $0.hasSuffix("7") ? refuse(EBUSY) : good.unlink($0) }
    },
    call("FS32", "minor device numbers are cut at 8 bits", kills: ["files.kinds.made"], symptom: "stat") { calls, good in
      calls.mknod = { good.mknod($0, $1, clinux_makedev(clinux_major($2), clinux_minor($2) & 0xff)) }
    },
    call("FS33", "a FIFO becomes a plain file", kills: ["files.kinds.fifo"], symptom: "open own") { calls, good in
      calls.mknod = { good.mknod($0, $1 & 0o170000 == 0o010000 ? 0o100644 : $1, $2) }
    },
    call("FS34", "a socket is told to be a file", kills: ["files.kinds.socket"], symptom: "stat sock") { calls, good in
      calls.lstat = { path, status in
        let result = good.lstat(path, &status)
        if status.st_mode & 0o170000 == 0o140000 { status.st_mode = 0o100755 }
        return result
      }
    },
    mounted("FS35", "the mount forbids devices", kills: ["files.kinds.device"], symptom: "EACCES") { adding("nodev", to: $0) },
    mounted("FS36", "the mount forbids programs", kills: ["files.exec"], symptom: "EACCES") { adding("noexec", to: $0) },
    call("FS37", "times are cut to seconds", kills: ["files.times.precision"], symptom: "modification time") { calls, good in
      calls.setTimes = { good.setTimes($0, timespec(tv_sec: $1.tv_sec, tv_nsec: 0), timespec(tv_sec: $2.tv_sec, tv_nsec: 0)) }
    },
    call("FS38", "a deletion does not change the directory's time", kills: ["files.times.parent"], symptom: "after deleting") { calls, good in
      calls.unlink = { path in
        var before = stat()
        _ = good.lstat(parent(path), &before)
        let result = good.unlink(path)
        _ = good.setTimes(parent(path), before.st_atim, before.st_mtim)
        return result
      }
    },
    call("FS39", "a deleted directory lives on under another name", kills: ["files.cwd.deleted"], symptom: "make a file in it") { calls, good in
      calls.rmdir = { good.rename($0, $0 + "~deleted", 0) }
    },
  ]

  private static func adding(_ option: String, to mount: Mount) -> Mount {
    var mount = mount
    if mount.type == "overlay" { mount.options.append(option) }
    return mount
  }
}
