import Protocols

extension SnapshotterSuite {
  /// How much there may be: layers, names, labels, siblings.
  static let limits: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.limits.empty-layers", "a chain of empty layers is a chain", "Snapshotter.stat; SNAP-01, SNAP-12",
      why: "Images with many metadata-only layers are common; dropping or merging empty ones changes every name above."
    ) { subject in
      for number in 0..<40 { try await subject.layer("\(number)", on: number == 0 ? nil : "\(number - 1)") }
      var name: String? = "39"
      var length = 0
      while let present = name, length < 100 {
        name = try await subject.snapshotter.stat(present).parent
        length += 1
      }
      try expectEqual(length, 40, "layers from the last to the first")
      try checkMounts(try await subject.prepare("a", "39"), writable: true)
    },
    ContractCase(
      "snapshots.limits.siblings", "a parent may have many children, and is held by the last", "Snapshotter law 2; SNAP-13",
      why: "A node runs hundreds of containers of one image."
    ) { subject in
      try await subject.layer("base")
      for number in 0..<120 { try await subject.view("\(number)", "base") }
      try expectEqual(try await subject.names("parent==base").count, 120, "children")
      for number in 0..<119 { try await subject.snapshotter.remove("\(number)") }
      try await expectError(.failedPrecondition, from: "remove of a parent of one") { try await subject.snapshotter.remove("base") }
      try await subject.snapshotter.remove("119")
      try await subject.snapshotter.remove("base")
    },
    ContractCase(
      "snapshots.limits.labels", "many long labels are stored whole", "Labels; SNAP-18", why: "Labels that refer to layers grow with the image.",
      threads: ["containerd/stargz-snapshotter#148"]
    ) { subject in
      var labels: Labels = [:]
      for number in 0..<40 { labels["containerd.io/snapshot/label-\(number)"] = String(repeating: "\(number % 10)", count: 4000) }
      try await subject.prepare("a", labels: labels)
      try expectEqual(try await subject.snapshotter.stat("a").labels, labels, "labels")
      try await subject.commit("c", "a", labels: labels)
      try expectEqual(try await subject.snapshotter.stat("c").labels.count, 40, "labels when committed")
    },
    ContractCase(
      "snapshots.limits.every-depth", "at no depth does a mount lose layers", "Snapshotter law 3; MNT-01, SNAP-10", needs: [.files],
      why: "mount(2) takes one page of options. Cut at a separator it succeeds, with layers missing and nobody told.",
      threads: ["containerd/containerd#2153", "containerd/containerd#1202", "containerd/containerd#12662"]
    ) { subject in
      var parent: String?
      for number in 1...129 {
        let mounts = try await subject.prepare("making", parent)
        try await subject.enter(mounts) { try $0.makeDirectory("\(number)") }
        try await subject.commit("layer \(number)", "making")
        parent = "layer \(number)"
        guard number <= 3 || number == 20 || (85...129).contains(number) else { continue }
        let view = try await subject.view("v", parent)
        try await subject.enter(view) { tree in
          let seen = try tree.names("")
          let missing = (1...number).filter { !seen.contains("\($0)") }
          try expect(missing.isEmpty, "of \(number) layers the view lacks \(missing)")
        }
        try await subject.snapshotter.remove("v")
      }
    },
    ContractCase(
      "snapshots.limits.names", "names of 255 bytes and deep directories pass through layers", "SNAP-10", needs: [.files],
      why: "Package stores hash whole sentences into file names.", threads: ["containers/fuse-overlayfs#46"]
    ) { subject in
      let long = String(repeating: "n", count: 255)
      let deep = (0..<30).map { "directory-\($0)" }
      try await subject.layer("one") { tree in
        try tree.write(long, bytes("1"))
        for depth in 1...deep.count { try tree.makeDirectory(deep[..<depth].joined(separator: "/")) }
        try tree.write(deep.joined(separator: "/") + "/file", bytes("1"))
      }
      try await subject.layer("two", on: "one") { tree in
        try tree.write(long, bytes("2"))
        try tree.write(deep.joined(separator: "/") + "/file", bytes("2"))
        try tree.write(deep.joined(separator: "/") + "/" + long, bytes("2"))
      }
      try await subject.enter(try await subject.view("v", "two")) { tree in
        try expectEqual(try tree.read(long), bytes("2"), "contents under a name of 255 bytes")
        try expectEqual(try tree.read(deep.joined(separator: "/") + "/file"), bytes("2"), "contents 30 directories down")
        try expectEqual(try tree.names(deep.joined(separator: "/")).count, 2, "names 30 directories down")
      }
    },
    ContractCase(
      "snapshots.limits.directory", "a directory of thousands of names, from two layers, is listed whole", "SNAP-10", needs: [.files],
      why: "A listing that is cut or repeats names breaks package managers."
    ) { subject in
      try await subject.layer("one") { tree in
        try tree.makeDirectory("dir")
        for number in 0..<1500 { try tree.symlink("x", "dir/\(number)") }
      }
      try await subject.layer("two", on: "one") { tree in
        for number in 1400..<1600 {
          if number < 1500 { try tree.remove("dir/\(number)") }
          try tree.symlink("y", "dir/\(number)")
        }
      }
      try await subject.enter(try await subject.view("v", "two")) { tree in
        let names = try tree.names("dir")
        try expectEqual(names.count, 1600, "names listed")
        try expectEqual(Set(names).count, 1600, "different names listed")
      }
    },
  ]
}
