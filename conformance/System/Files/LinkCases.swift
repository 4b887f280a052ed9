import CLinux
import ConformanceSuites

extension MountSuite {
  private static func lower(_ place: Place) {
    place.write("a", "lower")
    place.mkdir("dir")
    place.write("dir/b", "lower b")
    place.symlink("a", "to-a")
    place.symlink(String(repeating: "t", count: 4095), "long")
  }

  /// SF-01 … SF-05, SF-30 … SF-32: links and identities.
  static let linking: [ContractCase<MountSubject>] = [
    likePlain(
      "files.link.across", "hard links are made across directories and to files of the layers below, and share contents and attributes", "link(2); FS-01",
      why: "Package managers back files up by hard links; EXDEV inside one mount breaks them.", threads: ["containers/fuse-overlayfs#108"], lower: lower
    ) { place in
      place.mkdir("new")
      place.link("a", "dir/a2")
      place.link("dir/b", "b2")
      place.link("dir/a2", "new/a3")
      place.link("to-a", "to-a2")
      place.link("dir", "dir2")
      place.link("a", "b2")
      place.write("new/a3", "changed", flags: O_TRUNC)
      place.chmod("a", 0o600)
      for name in ["a", "dir/a2", "new/a3"] {
        place.read(name)
        place.stat(name)
      }
      place.readlink("to-a2")
      place.unlink("a")
      place.stat("dir/a2")
      place.rename("dir/a2", "new/a3")
      place.list("dir")
      place.list("new")
    },
    likePlain(
      "files.link.cycle", "linking, deleting and changing owners in turn keeps contents and count", "link(2); FS-01, FS-02",
      why: "Backup and build tools do this by the thousand; a lost link is a lost file.", lower: lower
    ) { place in
      for round in 0..<20 {
        place.link("a", "l\(round)")
        place.chown("a", uid_t(1000 + round), 5)
        place.unlink("a")
        place.rename("l\(round)", "a")
        place.write("a", "+", flags: O_APPEND)
      }
      place.read("a")
      place.stat("a")
      place.list("")
    },
    likePlain(
      "files.link.many", "a file may have more than a thousand links", "link(2); FS-02",
      why: "Deduplicated package stores (pnpm, ostree) link one file thousands of times.",
      lower: lower
    ) { place in
      var refused = 0
      for number in 0..<1100 where place.calls.link(place.path("a"), place.path("dir/link-\(number)")) < 0 { refused += 1 }
      place.note("make 1100 links", "\(refused) refused")
      place.stat("a")
      for number in 0..<1100 where place.calls.unlink(place.path("dir/link-\(number)")) < 0 { refused += 1 }
      place.note("delete them", "\(refused) refused")
      place.stat("a")
      place.list("dir")
    },
    likePlain(
      "files.link.lower-pair", "of two names of one file in a layer below, a change through one is seen through the other", "link(2); FS-01", level: .should,
      needs: [.hardLinkIndex], why: "Programs that keep two names of a file up to date by writing one see them part.", threads: ["moby/moby#12327"],
      lower: { place in
        place.write("one", "lower")
        place.link("one", "two")
      }
    ) { place in
      place.stat("one")
      place.write("one", "changed")
      place.read("two")
      place.stat("two")
      place.unlink("one")
      place.read("two")
    },
    likePlain(
      "files.symlink.kinds", "symbolic links hold targets of any kind up to 4095 bytes, are followed, and loop with ELOOP", "symlink(2); FS-06",
      why: "Link farms (alternatives, Nix stores) are made of them.", lower: lower
    ) { place in
      place.readlink("long")
      place.symlink(String(repeating: "u", count: 4095), "long2")
      place.readlink("long2")
      place.symlink(String(repeating: "u", count: 4096), "longer")
      place.symlink("", "empty")
      place.symlink("../../..", "up")
      place.readlink("up")
      place.symlink("self", "self")
      place.read("self")
      place.symlink("dir", "to-dir")
      place.read("to-dir/b")
      place.write("to-dir/c", "through the link")
      place.read("dir/c")
      place.unlink("to-dir")
      place.rmdir("to-a")
      place.list("dir")
      place.stat("to-a")
    },
    ContractCase(
      "files.inode.stable", "a file keeps its inode number through its first change", "SNAP-10", level: .should, needs: [.files, .inodeStable],
      why: "Programs that remember files by number (tar, rsync, tail -F) take the changed file for another one.",
      threads: ["moby/moby#12327", "moby/moby#19647"]
    ) { subject in
      try await subject.layer("base", lower)
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        func inode(_ name: String) -> UInt64 {
          var status = CLinux.stat()
          return place.calls.lstat(place.path(name), &status) < 0 ? 0 : UInt64(status.st_ino)
        }
        let (file, directory) = (inode("a"), inode("dir"))
        place.write("a", "changed")
        place.write("dir/new", "x")
        try expectEqual(inode("a"), file, "inode number of a file after its first change")
        try expectEqual(inode("dir"), directory, "inode number of a directory after the first change in it")
      }
    },
    ContractCase(
      "files.inode.listed", "the inode numbers that readdir tells are those that stat tells, on one device", "SNAP-10", level: .should, needs: [.files],
      why: "find, du and rm compare the two, and stop or miscount where they differ.", threads: ["containers/fuse-overlayfs#391"]
    ) { subject in
      try await subject.layer("base", lower)
      try await subject.enter(try await subject.prepare("container", "base")) { place in
        place.write("new", "x")
        place.write("a", "changed")
        var root = CLinux.stat()
        _ = place.calls.lstat(place.root, &root)
        for entry in place.calls.list(place.root) ?? [] where entry.name != ".." {
          var status = CLinux.stat()
          try expect(place.calls.lstat(place.path(entry.name), &status) == 0, "\(entry.name) is listed, but not there")
          try expectEqual(UInt64(status.st_ino), entry.inode, "inode number of \(entry.name) by stat, and by readdir")
          if status.st_mode & 0o170000 != 0o100000 { try expectEqual(status.st_dev, root.st_dev, "device of \(entry.name), and of the root") }
        }
      }
    },
  ]
}

extension Capability {
  /// Hard links of the layers below stay linked through a change. (The kernel's overlay as containerd mounts it breaks them.)
  public static let hardLinkIndex = Capability("hardLinkIndex")
  public static let inodeStable = Capability("inodeStable")
}
