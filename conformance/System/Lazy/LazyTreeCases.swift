import CLinux
import ConformanceSuites
import Glibc
import Protocols
import SystemKit

/// What lazy trees look like, and what is left of them in the end.
extension LazySuite {
  static let ends: [ContractCase<LazySubject>] = [
    lazy(
      "lazy.remove.unmounts", "when the last layer is removed nothing of the snapshotter's is mounted any more", "LAZ-08; SNAP-13; SR-13",
      why: "Mounts that stay use memory and descriptors, and keep directories from being removed: a node that pulls all day runs out of each.",
      threads: ["containerd/stargz-snapshotter#1520", "containerd/stargz-snapshotter#2126"]
    ) { subject in
      let before = try subject.mounted()
      for round in 1...3 {
        try await subject.inside("reading a file") { try $0.expectWhole("replaced") }
        try await subject.removeAll("container")
        let mounted = subject.mounted
        try await eventually("nothing is mounted after round \(round) of taking and removing the image") {
          try Set(mounted()).subtracting(before).isEmpty ? true : nil
        }
      }
    },
    lazy(
      "lazy.remove.frees", "when the last layer is removed its bytes are gone from the disk", "LAZ-08; SNAP-13; SR-13", needs: [.visibleCache],
      why: "Whoever deletes images to free a disk that is full frees nothing."
    ) { subject in
      guard let held = subject.held else { throw CaseSkipped(.capability, "what the target holds on disk cannot be seen") }
      let before = try held()
      try await subject.inside("reading a file") { tree in try tree.expectWhole(LazyImage.large) }
      try await subject.removeAll("container")
      let most = before + Int64(1 << 20)
      try await eventually("at most \(most) bytes are held after the image was removed") { try held() <= most ? true : nil }
    },
    lazy(
      "lazy.remove.other", "who still uses a layer reads on when another container is removed", "LAZ-08, LAZ-01; SNAP-13",
      why: "Two containers of one image share its mounts: the end of one would be the end of both."
    ) { subject in
      try await subject.take()
      let (one, two) = (try await subject.container("one"), try await subject.container("two"))
      try await subject.inside(one, "reading in the first container") { try $0.expectWhole("small/1") }
      let snapshotter = subject.snapshotter
      let trees = subject.trees
      let (begun, tellBegun) = AsyncStream.makeStream(of: Void.self)
      let removed = Flag()
      let reading = Task {
        try await trees.enter(two) { tree in
          try tree.expectWhole("small/2")
          tellBegun.finish()
          removed.wait()
          try tree.expectWhole("small/3", "after another container was removed")
          try tree.expectPart(LazyImage.large, at: 3 * mebibyte, count: 4096, "after another container was removed")
        }
        tellBegun.finish()
      }
      for await _ in begun {}
      do { try await snapshotter.remove("one") } catch {
        removed.raise()
        throw error
      }
      removed.raise()
      try await inTime("reading in the second container", seconds: 30) { try await reading.value }
    },
  ]

  static let trees: [ContractCase<LazySubject>] = [
    lazy(
      "lazy.tree.equal", "a lazy tree is the unpacked one: types, modes, owners, times, attributes, names of one file, devices, holes, and what was deleted",
      "LAZ-01; LY-01, LY-03; SNAP-10; SR-14", needs: [.files],
      why: "A container would behave in one way where its image was pulled and in another where it was not.",
      threads: ["awslabs/soci-snapshotter#664", "containerd/stargz-snapshotter#2214", "containerd/overlaybd#301"]
    ) { subject in
      try await subject.inside("looking at the whole tree", seconds: 60) { tree in
        guard let root = tree.directory else { throw SuiteError("the tree of the mounts is no directory of this machine") }
        let seen = try SeenTree.read(root, limit: 64 << 20)
        if let (paths, expected, actual) = seen.difference(from: LazyImage.standard.tree) {
          throw Mismatch(description: "the lazy tree is another at \(paths.map { "\"\($0)\"" }.joined(separator: ", "))", expected: expected, actual: actual)
        }
      }
    },
    lazy(
      "lazy.tree.users",
      "other users may do in a lazy tree what the modes say, set-uid bits and devices are in force, and nobody can change the layers below it",
      "LAZ-11; SNAP-10; SR-19", needs: [.files],
      why: "A FUSE mount is by default for whoever made it, and asks nobody about modes: services that drop root would find nothing, or everything."
    ) { subject in
      let mounted = subject.mounted
      try await subject.inside("looking at a lazy tree as another user", seconds: 60) { tree in
        guard let root = tree.directory else { throw SuiteError("the tree of the mounts is no directory of this machine") }
        var status = statvfs()
        try check("statvfs", root) { statvfs(root, &status) }
        // ST_NOSUID and ST_NODEV (statvfs(3)).
        try expect(status.f_flag & 2 == 0, "in a lazy tree set-uid bits are not in force (nosuid)")
        try expect(status.f_flag & 4 == 0, "in a lazy tree devices cannot be opened (nodev)")
        let outcomes = Visited<(what: String, outcome: String)>()
        OwnThreads.run(1) { _ in
          if clinux_become_for_files(4242, 4242) == 0 { return outcomes.append(("the identity of user 4242", "not given")) }
          for (path, flags) in [
            ("dir/kept", O_RDONLY), ("hidden/new", O_RDONLY), ("odd/null", O_RDWR), ("hidden", O_RDONLY | O_DIRECTORY), ("odd/disk", O_RDONLY),
            ("dir/kept", O_WRONLY),
          ] {
            let file = open("\(root)/\(path)", flags | O_CLOEXEC)
            outcomes.append((path, file < 0 ? SystemError.last("open", path).reason : "ok"))
            if file >= 0 { close(file) }
          }
        }
        let denied = SystemError(errno: EACCES, operation: "open", object: "").reason
        for ((what, outcome), wanted) in zip(outcomes.items, ["ok", "ok", "ok", denied, denied, denied]) {
          try expectEqual(outcome, wanted, "open of \(what) in a lazy tree by a user who is not root")
        }
        try expect(outcomes.items.count == 6, "in a lazy tree another user looked at \(outcomes.items.count) files of 6")
        for place in try mounted() {
          // Where what is written to is a mount of the snapshotter's too, that one is this very tree.
          if status.f_flag & 1 == 0, try Files.status(place).st_dev == Files.status(root).st_dev { continue }
          let file = open("\(place)/change", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
          let outcome = file < 0 ? SystemError.last("open", place).reason : "ok"
          if file >= 0 { close(file) }
          try expectEqual(
            outcome, SystemError(errno: EROFS, operation: "open", object: "").reason, "a new file in the snapshotter's own mount \(place), by root")
        }
      }
    },
    lazy(
      "lazy.tree.writes", "a container changes files of lazy layers as any others: the whole file is there, with the change", "LAZ-01; SNAP-10, SNAP-23",
      needs: [.files], why: "Databases and package managers write into files of their images: half a file, with the change, is a broken one."
    ) { subject in
      try await subject.take()
      let (one, two) = (try await subject.container("one"), try await subject.container("two"))
      try await subject.inside(one, "changing files of lazy layers", seconds: 60) { tree in
        guard let root = tree.directory else { throw SuiteError("the tree of the mounts is no directory of this machine") }
        let place = Place(root: root)
        let file = try Files.open("\(root)/\(LazyImage.large)", O_WRONLY | O_CLOEXEC)
        let text = bytes("changed")
        try check("pwrite", LazyImage.large) { pwrite(file.raw, text, text.count, off_t(5 * mebibyte)) }
        try expectEqual(place.unlink("small/9"), "ok", "unlink of a file of a lazy layer")
        try expectEqual(place.rename("replaced", "renamed"), "ok", "rename of a file of a lazy layer")
        var wanted = LazyImage.standard.files[LazyImage.large] ?? []
        wanted.replaceSubrange(5 * mebibyte..<5 * mebibyte + text.count, with: text)
        try expect(try tree.read(LazyImage.large, at: 0, count: wanted.count + 1) == wanted, "a changed file is not its old bytes with the change")
        try expect(try tree.read("renamed", at: 0, count: 1 << 20) == LazyImage.standard.files["replaced"], "a renamed file has other bytes")
      }
      try await subject.inside(two, "looking at the same files from another container", seconds: 60) { tree in
        for path in [LazyImage.large, "small/9", "replaced"] { try tree.expectWhole(path, "in another container") }
      }
    },
  ]
}
