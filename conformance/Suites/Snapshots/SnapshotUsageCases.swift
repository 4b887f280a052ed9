import Protocols

extension SnapshotterSuite {
  /// What a snapshot is said to take.
  static let usages: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.usage.stable", "asking for the usage changes neither usage nor times", "Snapshotter.usage; SNAP-07",
      why: "Collectors ask every few seconds; each question that writes wears disks and changes the times that pruning goes by."
    ) { subject in
      try await subject.layer("base")
      try await subject.prepare("a", "base")
      for key in ["base", "a"] {
        let info = try await subject.snapshotter.stat(key)
        let first = try await subject.snapshotter.usage(key)
        for _ in 0..<5 { try expectEqual(try await subject.snapshotter.usage(key), first, "usage of \(key), asked again") }
        try expectEqual(try await subject.snapshotter.stat(key), info, "info of \(key) after questions")
      }
    },
    ContractCase(
      "snapshots.usage.through-commit", "a commit does not change the usage", "Snapshotter.usage, commit; SNAP-07",
      why: "The size shown for an image is the one measured at commit."
    ) { subject in
      try await subject.prepare("a")
      let before = try await subject.snapshotter.usage("a")
      try await subject.commit("c", "a")
      try expectEqual(try await subject.snapshotter.usage("c"), before, "usage when committed")
      try await subject.prepare("child", "c")
      try await subject.snapshotter.remove("child")
      try expectEqual(try await subject.snapshotter.usage("c"), before, "usage after a child has come and gone")
    },
    files("snapshots.usage.holes", "a hole takes nothing", "Snapshotter.usage; SNAP-07", "Sparse disk images look as if they filled the node.") { subject in
      try await subject.enter(try await subject.prepare("a")) { try $0.extend("hole", to: 256 << 20) }
      let usage = try await subject.snapshotter.usage("a")
      try expect(usage.size < 1 << 20, "usage of a hole of 256 MiB: \(usage)")
    },
    files(
      "snapshots.usage.inodes", "every file and directory is counted", "Snapshotter.usage; SNAP-07", "Nodes run out of inodes before they run out of bytes."
    ) {
      subject in
      try await subject.enter(try await subject.prepare("a")) { tree in
        for directory in 0..<3 {
          try tree.makeDirectory("dir\(directory)")
          for file in 0..<4 { try tree.write("dir\(directory)/\(file)", bytes("x")) }
        }
        try tree.symlink("dir0", "link")
      }
      let usage = try await subject.snapshotter.usage("a")
      // Whether the root counts is open.
      try expect((16...17).contains(usage.inodes), "inodes of 3 directories, 12 files and a link: \(usage)")
    },
    files("snapshots.usage.falls", "what is deleted is not counted any more", "Snapshotter.usage; SNAP-07", "Usage that only grows makes a kubelet evict pods.")
    {
      subject in
      let mounts = try await subject.prepare("a")
      try await subject.enter(mounts) { try $0.write("big", [UInt8](repeating: 1, count: 1 << 20)) }
      let full = try await subject.snapshotter.usage("a")
      try await subject.enter(mounts) { try $0.remove("big") }
      let emptied = try await subject.snapshotter.usage("a")
      try expect(full.size >= 1 << 20 && emptied.size < 64 << 10 && emptied.inodes == full.inodes - 1, "usage with 1 MiB: \(full); with it deleted: \(emptied)")
    },
    files(
      "snapshots.usage.view", "a view takes next to nothing", "Snapshotter.usage; SNAP-07, SNAP-11", "Views for reading must not be charged with their image."
    ) {
      subject in
      try await subject.layer("one") { try $0.write("big", [UInt8](repeating: 1, count: 1 << 20)) }
      try await subject.layer("two", on: "one") { try $0.write("more", [UInt8](repeating: 2, count: 1 << 20)) }
      try await subject.view("v", "two")
      let usage = try await subject.snapshotter.usage("v")
      try expect(usage.size < 64 << 10, "usage of a view of 2 MiB: \(usage)")
    },
    files(
      "snapshots.usage.deletions", "deleting what a parent holds costs next to nothing", "Snapshotter.usage; SNAP-07",
      "A layer that removes a large file must not be charged with it, nor with less than nothing."
    ) { subject in
      try await subject.layer("one") { try $0.write("big", [UInt8](repeating: 1, count: 1 << 20)) }
      let mounts = try await subject.prepare("a", "one")
      let before = try await subject.snapshotter.usage("a")
      try await subject.enter(mounts) { try $0.remove("big") }
      let after = try await subject.snapshotter.usage("a")
      try expect(
        after.size >= 0 && after.inodes >= 0 && after.size <= before.size + (64 << 10), "usage before \(before), after deleting the parent's 1 MiB \(after)")
    },
  ]

  private static func files(
    _ id: String, _ sentence: String, _ statement: String, _ why: String, _ body: @escaping @Sendable (SnapshotSubject) async throws -> Void
  ) -> ContractCase<SnapshotSubject> { ContractCase(id, sentence, statement, needs: [.files], why: why, body: body) }
}
