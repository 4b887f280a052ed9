import Protocols

extension SnapshotterSuite {
  /// What is handed out to be mounted.
  static let mounting: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.mounts.well-formed", "mounts of every kind and depth are whole", "Mount; SNAP-08",
      why: "A shim performs what it is given; a mount without a source, or with an option of the snapshotter's own, fails there and far from its cause."
    ) { subject in
      var parent: String?
      for depth in 0..<5 {
        for (mounts, writable) in [(try await subject.prepare("a\(depth)", parent), true), (try await subject.view("v\(depth)", parent), false)] {
          try checkMounts(mounts, writable: writable)
          for mount in mounts {
            let bind = mount.type == "bind" || mount.options.contains { $0 == "bind" || $0 == "rbind" }
            if bind { try expect(mount.source.hasPrefix("/"), "the source of a bind is not absolute: \(mount)") }
            if mount.type == "bind" {
              try expect(mount.options.contains { $0 == "bind" || $0 == "rbind" }, "a bind without the option bind or rbind: \(mount)")
            }
            for option in mount.options {
              try expect(!option.hasPrefix("x-containerd."), "an option that no kernel knows: \(mount)")
              for key in ["upperdir=", "workdir="] where option.hasPrefix(key) {
                try expect(option.dropFirst(key.count).hasPrefix("/"), "\(key) is not absolute: \(mount)")
              }
            }
          }
        }
        try await subject.layer("l\(depth)", on: parent)
        parent = "l\(depth)"
      }
    },
    ContractCase(
      "snapshots.mounts.asked-often", "asking for mounts a hundred times changes nothing", "Snapshotter law 3; SNAP-08",
      why: "Each asking that mounts or makes something leaks: nodes have been seen with thousands of mounts.", threads: ["containerd/nydus-snapshotter#688"]
    ) { subject in
      try await subject.layer("base")
      let mounts = try await subject.prepare("a", "base")
      let info = try await subject.snapshotter.stat("a")
      for _ in 0..<100 { try expectEqual(try await subject.snapshotter.mounts("a"), mounts, "mounts, asked again") }
      try expectEqual(try await subject.snapshotter.stat("a"), info, "info after a hundred questions")
      try expectEqual(try await subject.names(), ["a", "base"], "keys listed")
    },
    ContractCase(
      "snapshots.view.of-active", "a view's mounts are its own, and gone with it", "Snapshotter.view, remove; SNAP-08, SNAP-11",
      why: "A view that outlives its removal keeps an image on disk."
    ) { subject in
      try await subject.layer("base")
      let first = try await subject.view("v", "base")
      try await subject.snapshotter.remove("v")
      try await expectError(.notFound, from: "mounts of a removed view") { _ = try await subject.snapshotter.mounts("v") }
      do {
        let second = try await subject.view("v", "base")
        try checkMounts(second, writable: false)
        try expectEqual(second.count, first.count, "mounts of a view made again")
      }
    },
    files(
      "snapshots.mounts.order", "the topmost layer that has a file wins", "SNAP-10; LY-07",
      "Layers in the wrong order show yesterday's files: upgrades undo themselves."
    ) { subject in
      for number in 0..<5 {
        try await subject.layer("\(number)", on: number == 0 ? nil : "\(number - 1)") { tree in
          try tree.write("all", bytes("\(number)"))
          try tree.write("only \(number)", bytes("\(number)"))
          if number < 3 { try tree.write("low", bytes("\(number)")) }
        }
      }
      for mounts in [try await subject.prepare("a", "4"), try await subject.view("v", "4")] {
        try await subject.enter(mounts) { tree in
          try expectEqual(try tree.read("all"), bytes("4"), "contents of a file that all layers have")
          try expectEqual(try tree.read("low"), bytes("2"), "contents of a file that the lower three have")
          try expectEqual(try tree.names("").count, 7, "names")
        }
      }
    },
    files(
      "snapshots.view.shows-one-state", "a view shows its parent, whatever is made on that parent later", "SNAP-11; SNAP-10",
      "Whoever reads an image through a view must not see a container's writes."
    ) { subject in
      try await subject.layer("base") { try $0.write("file", bytes("1")) }
      let view = try await subject.view("v", "base")
      try await subject.enter(try await subject.prepare("a", "base")) { tree in
        try tree.write("file", bytes("2"))
        try tree.write("new", bytes("2"))
      }
      try await subject.commit("c", "a")
      try await subject.enter(view) { tree in
        try expectEqual(try tree.names(""), ["file"], "names in the view")
        try expectEqual(try tree.read("file"), bytes("1"), "contents in the view")
      }
      try await subject.snapshotter.remove("v")
      try await subject.enter(try await subject.view("again", "base")) { try expectEqual(try $0.read("file"), bytes("1"), "contents after a view was removed") }
    },
    files(
      "snapshots.view.root", "the root of a view looks like its parent's", "SNAP-10; SNAP-11",
      "A root of another mode locks a non-root process out of its own image."
    ) { subject in
      try await subject.layer("one") { try $0.setMode("", 0o1751, owner: 7, group: 8) }
      try await subject.enter(try await subject.view("v", "one")) { tree in
        let status = try tree.mode("")
        try expect(status == (0o1751, 7, 8), "mode and owners of the root: \(status)")
      }
    },
    files(
      "snapshots.mounts.read-only-twin", "an active snapshot mounted read-only shows what a view of its commit shows", "Mount; SNAP-11",
      "Images are unpacked through one and checked through the other."
    ) { subject in
      try await subject.layer("one") { tree in
        try tree.write("a", bytes("1"))
        try tree.write("b", bytes("1"))
      }
      let mounts = try await subject.prepare("a", "one")
      try await subject.enter(mounts) { tree in
        try tree.write("a", bytes("2"))
        try tree.remove("b")
        try tree.write("c", bytes("2"))
      }
      let frozen = mounts.map { mount in
        var mount = mount
        mount.options = mount.options.filter { $0 != "rw" } + ["ro"]
        return mount
      }
      try await subject.enter(frozen) { tree in
        try expectEqual(try tree.names(""), ["a", "c"], "names when mounted read-only")
        do { try tree.write("d", bytes("x")) } catch { return }
        throw Mismatch(description: "a file was written through mounts made read-only")
      }
      try await subject.commit("two", "a")
      try await subject.enter(try await subject.view("v", "two")) { tree in
        try expectEqual(try tree.names(""), ["a", "c"], "names in a view of the commit")
        try expectEqual(try tree.read("a"), bytes("2"), "contents in a view of the commit")
      }
    },
    files(
      "snapshots.mounts.last-write", "what was written just before the mounts were undone is in the commit", "Snapshotter.commit; SNAP-12",
      "A layer without its last file fails when the container starts, on another machine, days later."
    ) { subject in
      for number in 0..<5 {
        try await subject.enter(try await subject.prepare("a", number == 0 ? nil : "\(number - 1)")) { tree in
          for file in 0..<10 { try tree.write("\(number)-\(file)", pattern(number * 10 + file, count: 3000)) }
        }
        try await subject.commit("\(number)", "a")
      }
      try await subject.enter(try await subject.view("v", "4")) { tree in
        for number in 0..<50 {
          try expect(try tree.read("\(number / 10)-\(number % 10)") == pattern(number, count: 3000), "file \(number) is not what was written")
        }
      }
    },
  ]

  private static func files(
    _ id: String, _ sentence: String, _ statement: String, _ why: String, _ body: @escaping @Sendable (SnapshotSubject) async throws -> Void
  ) -> ContractCase<SnapshotSubject> { ContractCase(id, sentence, statement, needs: [.files], why: why, body: body) }
}
