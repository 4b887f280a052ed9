import CLinux
import ConformanceSuites
import Protocols

extension MountSuite {
  private static func lower(_ place: Place) {
    place.write("a", "lower contents")
    place.write("big", String(repeating: "0123456789abcdef", count: 8192))
    place.mkdir("dir")
    place.symlink("a", "to-a")
  }

  /// SF-06 … SF-09, SF-13, SF-14, SF-16, SF-22: files that are open.
  static let opening: [ContractCase<MountSubject>] = [
    likePlain(
      "files.open.unlinked", "a file that is deleted while it is open can be read, written, cut and changed to the end", "SNAP-10; unlink(2)",
      why: "Temporary files are deleted as soon as they are open; who loses them then loses the program's data.", threads: ["containers/fuse-overlayfs#410"],
      lower: lower
    ) { place in
      for name in ["a", "fresh"] {
        if name == "fresh" { place.write(name, "upper contents") }
        let file = place.open(name, O_RDWR)
        place.unlink(name)
        place.read(file)
        place.write(file, " and more")
        place.readAgain(file)
        place.truncate(file, to: 5)
        place.chmod(file, 0o600)
        place.readAgain(file)
        place.list("")
        place.write(name, "another")
        place.readAgain(file)
        place.close(file)
        place.read(name)
      }
    },
    likePlain(
      "files.open.unlinked-links", "a deleted file that is still open has no links", "unlink(2); FS-02, FS-03", level: .should,
      why: "Programs that look for rotated logs (tail -F, journals) ask for the count of links.", lower: lower
    ) { place in
      place.write("fresh", "x")
      let file = place.open("fresh", O_RDWR)
      place.stat(file)
      place.unlink("fresh")
      place.stat(file)
      place.close(file)
    },
    likePlain(
      "files.open.seen-later", "a file that was opened for reading before its first change sees what is written later", "SNAP-10; open(2)", level: .should,
      why: "Log readers that were started first go on showing the old contents.", threads: ["moby/moby#31587", "google/gvisor#1006"], lower: lower
    ) { place in
      let reader = place.open("a", O_RDONLY)
      place.read(reader)
      place.write("a", " appended", flags: O_APPEND)
      place.readAgain(reader)
      place.stat(reader)
      place.close(reader)
    },
    likePlain(
      "files.open.flags", "O_EXCL, O_APPEND, O_TRUNC, O_DIRECTORY, O_NOFOLLOW and O_CREAT mean the same for names of the layers below", "open(2); FS-10",
      why: "Lock files rest on O_EXCL, logs on O_APPEND.", lower: lower
    ) { place in
      place.close(place.open("a", O_WRONLY | O_CREAT | O_EXCL))
      place.unlink("big")
      place.close(place.open("big", O_WRONLY | O_CREAT | O_EXCL))
      place.stat("big")
      place.close(place.open("a", O_RDONLY | O_DIRECTORY))
      place.close(place.open("dir", O_RDONLY | O_DIRECTORY))
      place.close(place.open("dir", O_WRONLY))
      place.close(place.open("dir", O_RDONLY | O_CREAT))
      place.close(place.open("to-a", O_RDONLY | O_NOFOLLOW))
      place.close(place.open("missing", O_RDONLY))
      let log = place.open("a", O_WRONLY | O_APPEND)
      place.seek(log, 0, Int32(SEEK_SET))
      place.write(log, "+1")
      place.close(log)
      place.read("a")
      place.close(place.open("a", O_WRONLY | O_TRUNC))
      place.stat("a")
    },
    likePlain(
      "files.open.truncate-large", "cutting a large file of a layer below leaves what was asked for, at any size", "truncate(2); FS-13",
      why: "A cut that is lost on the way brings back old contents behind new ones.", lower: lower
    ) { place in
      place.truncate("big", to: 100_000)
      place.stat("big")
      place.read("big")
      place.truncate("big", to: 200_000)
      place.read("big")
      place.truncate("a", to: 0)
      place.read("a")
      place.truncate("dir", to: 0)
      place.truncate("missing", to: 0)
    },
    likePlain(
      "files.open.map", "what is written through a shared mapping is read through the file, and the other way round", "mmap(2); FS-12",
      why: "Databases keep their files mapped.", lower: lower
    ) { place in
      let file = place.open("big", O_RDWR)
      let start = mmap(nil, 65536, PROT_READ | PROT_WRITE, Int32(MAP_SHARED), file, 0)
      guard let start, start != mapFailed else {
        place.note("map the file", Place.errorName())
        return
      }
      defer { munmap(start, 65536) }
      start.storeBytes(of: UInt8(ascii: "M"), toByteOffset: 70, as: UInt8.self)
      place.note("write through the mapping and msync") { msync(start, 65536, Int32(MS_SYNC)) }
      place.read("big")
      place.seek(file, 4096, Int32(SEEK_SET))
      place.write(file, "written")
      place.note("read through the mapping", String(decoding: UnsafeRawBufferPointer(start: start + 4096, count: 9), as: UTF8.self))
      place.close(file)
    },
    likePlain(
      "files.open.map-coherent", "a mapping that was made for reading before the first change sees what is written later", "mmap(2); FS-12", level: .should,
      needs: [.coherentMaps], why: "Readers of a mapped file (locale archives, caches) go on with the old contents.", lower: lower
    ) { place in
      let file = place.open("big", O_RDONLY)
      let start = mmap(nil, 4096, PROT_READ, Int32(MAP_SHARED), file, 0)
      guard let start, start != mapFailed else {
        place.note("map the file", Place.errorName())
        return
      }
      defer { munmap(start, 4096) }
      place.write("big", "CHANGED", flags: 0)
      place.note("read through the mapping", String(decoding: UnsafeRawBufferPointer(start: start, count: 9), as: UTF8.self))
      place.close(file)
    },
    likePlain(
      "files.open.tmpfile", "a file without a name can be made and given one", "open(2), O_TMPFILE; FS-11", needs: [.tmpfile],
      why: "Programs that write files whole (systemd, dpkg) make them nameless first where they can.", lower: lower
    ) { place in
      let tmpfile: Int32 = 0o20000000 | O_DIRECTORY
      let file = place.open("dir", O_RDWR | tmpfile)
      place.write(file, "nameless")
      place.list("dir")
      place.note("give it a name") { linkat(AT_FDCWD, "/proc/thread-self/fd/\(file)", AT_FDCWD, place.path("dir/named"), AT_SYMLINK_FOLLOW) }
      place.read("dir/named")
      place.list("dir")
      place.close(file)
    },
    likePlain(
      "files.locks.exclusion", "a lock keeps others out whichever layer the file was from when it was opened, and ends with its file",
      "flock(2), fcntl(2); FS-15, FS-16",
      why: "Package managers and databases guard their files by locks: two at once corrupt them.",
      threads: ["containers/fuse-overlayfs#80", "containers/fuse-overlayfs#82"], lower: lower
    ) { place in
      for name in ["a", "fresh"] {
        if name == "fresh" { place.write(name, "x") }
        let first = place.open(name, O_RDWR)
        let second = place.open(name, O_RDWR)
        place.flock(first, LOCK_EX | LOCK_NB, "first")
        place.flock(second, LOCK_SH | LOCK_NB, "second")
        place.flock(first, LOCK_SH | LOCK_NB, "first")
        place.flock(second, LOCK_SH | LOCK_NB, "second")
        place.flock(first, LOCK_EX | LOCK_NB, "first")
        place.close(second)
        place.flock(first, LOCK_EX | LOCK_NB, "first")
        for (file, which) in [(first, "first"), (place.open(name, O_RDWR), "third")] {
          var range = CLinux.flock(l_type: Int16(F_WRLCK), l_whence: Int16(SEEK_SET), l_start: 0, l_len: 10, l_pid: 0)
          place.note("lock a range of the \(which) (open file description)") {
            clinux_fcntl(file, 37, Int(bitPattern: withUnsafeMutablePointer(to: &range) { $0 }))
          }
          if which == "third" { place.close(file) }
        }
        place.close(first)
      }
    },
    likePlain(
      "files.sync", "fsync of files and directories comes back with success", "fsync(2); FS-24", why: "Databases stop where fsync fails.", lower: lower
    ) { place in
      for name in ["a", "fresh"] {
        let file = place.open(name, O_RDWR | O_CREAT)
        place.write(file, "synced")
        place.sync(file)
        place.note("fdatasync") { fdatasync(file) }
        place.note("syncfs") { syncfs(file) }
        place.close(file)
        place.read(name)
      }
      for name in ["dir", ""] {
        let directory = place.open(name, O_RDONLY | O_DIRECTORY)
        place.sync(directory)
        place.close(directory)
      }
    },
    likePlain(
      "files.holes", "holes are made, found and kept as holes of zeros", "lseek(2), fallocate(2); FS-14",
      why: "Disk images and databases are sparse; contents that appear in holes are corruption.", lower: lower
    ) { place in
      let file = place.open("sparse", O_RDWR | O_CREAT)
      place.seek(file, 1 << 20, Int32(SEEK_SET))
      place.write(file, "end")
      place.seek(file, 0, Int32(SEEK_SET))
      place.note("allocate") { fallocate(file, 0, 0, 8192) }
      place.write(file, String(repeating: "x", count: 8192))
      place.note("punch a hole") { fallocate(file, 3, 0, 4096) }
      place.readAgain(file)
      place.stat(file)
      place.close(file)
    },
    ContractCase(
      "files.holes.copy-up", "the first change of a sparse file does not fill its holes", "SNAP-07", level: .should, needs: [.files],
      why: "A sparse disk image of some gigabytes fills the disk at its first write.", threads: ["containers/fuse-overlayfs#399"]
    ) { subject in
      try await subject.layer("base") { place in
        place.write("sparse", "start")
        place.truncate("sparse", to: 16 << 20)
      }
      let active = try await subject.prepare("container", "base")
      try await subject.enter(active) { place in place.write("sparse", "START", flags: 0) }
      let usage = try await subject.snapshotter.usage("container")
      try expect(usage.size < 4 << 20, "a file of 16 MiB with 5 bytes of data takes \(usage.size) bytes in the snapshot after the first write")
    },
  ]
}

extension Capability {
  /// Mappings made before copy-up see later writes. (The kernel's overlay shows the old contents.)
  public static let coherentMaps = Capability("coherentMaps")
  public static let tmpfile = Capability("tmpfile")
}
