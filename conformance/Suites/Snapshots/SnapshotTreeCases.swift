import Protocols

extension SnapshotterSuite {
  static let trees: [ContractCase<SnapshotSubject>] = [
    tree("snapshots.tree.base-is-empty", "a snapshot without a parent is an empty directory", "SNAP-10") { subject in
      try await subject.enter(try await subject.prepare("a")) { try expectEqual(try $0.names(""), [], "names in an active snapshot") }
      try await subject.enter(try await subject.view("v")) { try expectEqual(try $0.names(""), [], "names in a view") }
    },
    tree("snapshots.tree.starts-with-parent", "a snapshot begins with what its parent holds", "SNAP-10") { subject in
      try await subject.layer("one") { tree in
        try tree.makeDirectory("dir")
        try tree.write("dir/file", bytes("one"))
        try tree.setMode("dir/file", 0o4751, owner: 1000, group: 1001)
        try tree.symlink("dir/file", "link")
      }
      for mounts in [try await subject.prepare("a", "one"), try await subject.view("v", "one")] {
        try await subject.enter(mounts) { tree in
          try expectEqual(try tree.names(""), ["dir", "link"], "names")
          try expectEqual(try tree.read("link"), bytes("one"), "contents through the link")
          let status = try tree.mode("dir/file")
          try expect(status == (0o4751, 1000, 1001), "mode and owners: \(status)")
        }
      }
    },
    tree("snapshots.tree.parent-never-changes", "what is done in a child is not seen in the parent, nor by its other children", "LY-07, SNAP-10") { subject in
      try await subject.layer("one") { tree in
        try tree.write("kept", bytes("1"))
        try tree.write("changed", bytes("1"))
        try tree.write("removed", bytes("1"))
      }
      let other = try await subject.view("other", "one")
      try await subject.layer("two", on: "one") { tree in
        try tree.write("changed", bytes("2"))
        try tree.remove("removed")
        try tree.write("added", bytes("2"))
      }
      try await subject.enter(other) { tree in
        try expectEqual(try tree.names(""), ["changed", "kept", "removed"], "names in the parent")
        try expectEqual(try tree.read("changed"), bytes("1"), "contents in the parent")
      }
      try await subject.enter(try await subject.view("v", "two")) { tree in
        try expectEqual(try tree.names(""), ["added", "changed", "kept"], "names in the child")
        try expectEqual(try tree.read("changed"), bytes("2"), "contents in the child")
      }
    },
    tree("snapshots.tree.kept-between-mounts", "what is written stays when the mounts are undone and performed again", "Snapshotter law 3; SNAP-08, SNAP-23") {
      subject in
      try await subject.layer("base") { try $0.write("base", bytes("b")) }
      let mounts = try await subject.prepare("a", "base")
      for number in 0..<3 {
        try await subject.enter(mounts) { tree in
          try expectEqual(try tree.names("").count, number + 1, "names at mount \(number)")
          try tree.write("file \(number)", bytes("\(number)"))
        }
      }
    },
    tree("snapshots.tree.view-is-read-only", "nothing can be written into a view", "SNAP-11") { subject in
      try await subject.layer("one") { try $0.write("file", bytes("1")) }
      try await subject.layer("two", on: "one") { try $0.write("more", bytes("2")) }
      for (key, parent) in [("v", "one"), ("w", "two"), ("empty", nil)] as [(String, String?)] {
        try await subject.enter(try await subject.view(key, parent)) { tree in
          do { try tree.write("new", bytes("x")) } catch { return }
          throw Mismatch(description: "a file was written into a view of \(parent ?? "nothing")")
        }
      }
      try await subject.enter(try await subject.view("again", "two")) { try expectEqual(try $0.names(""), ["file", "more"], "names after the attempts") }
    },
    tree("snapshots.tree.deleted-directory", "a directory deleted and made again shows nothing of the old one", "LY-14; SNAP-10") { subject in
      try await subject.layer("one") { tree in
        try tree.makeDirectory("dir")
        try tree.makeDirectory("dir/deep")
        try tree.write("dir/deep/old", bytes("1"))
        try tree.write("dir/old", bytes("1"))
      }
      try await subject.layer("two", on: "one") { tree in
        try tree.remove("dir")
        try tree.makeDirectory("dir")
        try tree.write("dir/new", bytes("2"))
      }
      try await subject.layer("three", on: "two") { try $0.makeDirectory("dir/deep") }
      try await subject.enter(try await subject.view("v", "two")) { try expectEqual(try $0.names("dir"), ["new"], "names after the deletion") }
      try await subject.enter(try await subject.view("w", "three")) { tree in
        try expectEqual(try tree.names("dir"), ["deep", "new"], "names one layer above")
        try expectEqual(try tree.names("dir/deep"), [], "names in the new directory of an old name")
      }
    },
    tree("snapshots.tree.file-and-directory", "a file may take a directory's place, and the reverse", "LY-09") { subject in
      try await subject.layer("one") { tree in
        try tree.write("file", bytes("1"))
        try tree.makeDirectory("dir")
        try tree.write("dir/x", bytes("1"))
      }
      try await subject.layer("two", on: "one") { tree in
        try tree.remove("file")
        try tree.makeDirectory("file")
        try tree.write("file/inside", bytes("2"))
        try tree.remove("dir")
        try tree.write("dir", bytes("now a file"))
      }
      try await subject.enter(try await subject.view("v", "two")) { tree in
        try expectEqual(try tree.names("file"), ["inside"], "names in what was a file")
        try expectEqual(try tree.read("dir"), bytes("now a file"), "contents of what was a directory")
      }
    },
    tree("snapshots.tree.hard-links-and-renames", "links and renames are kept", "SNAP-10") { subject in
      try await subject.layer("one") { tree in
        try tree.write("a", bytes("same"))
        try tree.link("a", "b")
        try tree.write("old", bytes("moved"))
      }
      try await subject.layer("two", on: "one") { tree in
        try tree.rename("old", "new")
        try tree.remove("a")
      }
      try await subject.enter(try await subject.view("v", "two")) { tree in
        try expectEqual(try tree.names(""), ["b", "new"], "names")
        try expectEqual(try tree.read("b"), bytes("same"), "contents of the link that is left")
      }
    },
    tree("snapshots.tree.root-owner", "the root of a child looks like the root of its parent", "SNAP-10") { subject in
      try await subject.layer("one") { try $0.setMode("", 0o1750, owner: 12, group: 34) }
      for mounts in [try await subject.prepare("a", "one"), try await subject.view("v", "one")] {
        try await subject.enter(mounts) { tree in
          let status = try tree.mode("")
          try expect(status == (0o1750, 12, 34), "mode and owners of the root: \(status)")
        }
      }
    },
    tree("snapshots.tree.removed-key-is-fresh", "a key that is made again shows nothing of its former life", "SNAP-17") { subject in
      try await subject.enter(try await subject.prepare("a")) { try $0.write("former", bytes("x")) }
      try await subject.snapshotter.remove("a")
      try await subject.enter(try await subject.prepare("a")) { try expectEqual(try $0.names(""), [], "names") }
    },
    tree("snapshots.tree.long-chain", "a chain of 130 layers mounts whole: no option is cut", "Snapshotter law 3; MNT-01; SNAP-10") { subject in
      var parent: String?
      for number in 0..<130 {
        let mounts = try await subject.prepare("making", parent)
        if number.isMultiple(of: 43) { try await subject.enter(mounts) { try $0.write("layer \(number)", bytes("\(number)")) } }
        try await subject.commit("layer \(number)", "making")
        parent = "layer \(number)"
      }
      for mounts in [try await subject.prepare("a", parent), try await subject.view("v", parent)] {
        try await subject.enter(mounts) { tree in
          try expectEqual(try tree.names(""), ["layer 0", "layer 129", "layer 43", "layer 86"], "names from all over the chain")
        }
      }
    },
    tree("snapshots.usage.own-bytes", "usage counts a snapshot's own bytes and none of its parents'", "Snapshotter.usage; SNAP-07") { subject in
      try await subject.layer("one") { try $0.write("big", [UInt8](repeating: 1, count: 1 << 20)) }
      let one = try await subject.snapshotter.usage("one")
      try expect(one.size >= 1 << 20 && one.size < 2 << 20 && one.inodes == 2, "usage of 1 MiB in one file: \(one)")
      let mounts = try await subject.prepare("a", "one")
      let empty = try await subject.snapshotter.usage("a")
      try expect(empty.size < 64 << 10, "usage of an untouched child: \(empty)")
      try await subject.enter(mounts) { try $0.write("small", [UInt8](repeating: 2, count: 256 << 10)) }
      let written = try await subject.snapshotter.usage("a")
      try expect(written.size >= 256 << 10 && written.size < 512 << 10, "usage of a child with 256 KiB: \(written)")
      try await subject.commit("two", "a")
      let committed = try await subject.snapshotter.usage("two")
      try expect(committed == written, "usage when committed \(committed), just before \(written)")
    },
    tree("snapshots.usage.links-once", "a file with several names counts once", "Snapshotter.usage; REF-S08") { subject in
      try await subject.enter(try await subject.prepare("a")) { tree in
        try tree.write("file", [UInt8](repeating: 1, count: 512 << 10))
        for number in 0..<5 { try tree.link("file", "link \(number)") }
      }
      let usage = try await subject.snapshotter.usage("a")
      try expect(usage.inodes == 2 && usage.size < 1 << 20, "usage of one file with six names: \(usage)")
    },
  ]

  private static func tree(
    _ id: String, _ sentence: String, _ statement: String, _ body: @escaping @Sendable (SnapshotSubject) async throws -> Void
  ) -> ContractCase<SnapshotSubject> {
    ContractCase(id, sentence, statement, needs: [.files], body: body)
  }
}
