import Protocols

extension SnapshotterSuite {
  static let making: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.prepare.active", "prepare makes an active snapshot with mounts", "Snapshotter.prepare; SNAP-02, SNAP-10",
      why: "a client mounts what it gets and writes: without a writable mount no layer is unpacked and no container starts"
    ) { subject in
      let before = Timestamp.now().advanced(bySeconds: -2)
      let mounts = try await subject.prepare("a", labels: ["k": "v"])
      try checkMounts(mounts, writable: true)
      let info = try await subject.snapshotter.stat("a")
      try expectEqual(info.kind, .active, "kind")
      try expectEqual(info.name, "a", "name")
      try expectEqual(info.parent, nil, "parent")
      try expectEqual(info.labels, ["k": "v"], "labels")
      try expect(
        info.createdAt >= before && info.createdAt <= Timestamp.now().advanced(bySeconds: 2) && info.updatedAt >= info.createdAt,
        "created \(info.createdAt), updated \(info.updatedAt): not the time of the call")
    },
    ContractCase(
      "snapshots.view.view", "view makes a view, whose mounts are read-only", "Snapshotter.view; SNAP-11",
      why: "a view is handed to scanners and builders side by side: one that can be written changes the layer for every container"
    ) { subject in
      try await subject.layer("base")
      try checkMounts(try await subject.view("v", "base"), writable: false)
      let info = try await subject.snapshotter.stat("v")
      try expectEqual(info.kind, .view, "kind")
      try expectEqual(info.parent, "base", "parent")
      try checkMounts(try await subject.view("empty"), writable: false)
      try await subject.layer("second", on: "base")
      try checkMounts(try await subject.view("w", "second"), writable: false)
    },
    ContractCase(
      "snapshots.prepare.empty-key", "an empty key is refused, and nothing is made", "Snapshotter.prepare; REF-S01",
      why: "an empty key cannot be told from a missing one: all clients that forgot it would share one snapshot"
    ) { subject in
      try await expectRefusal(of: "prepare with an empty key") { try await subject.prepare("") }
      try await expectRefusal(of: "view with an empty key") { try await subject.view("") }
      try expectEqual(try await subject.names(), [], "keys listed")
    },
    ContractCase(
      "snapshots.prepare.empty-key-class", "an empty key is an invalid argument", "Snapshotter.prepare; REF-S02", level: .should,
      why: "A client shows an unknown error as the snapshotter's own failure and may try again; an invalid argument is the client's own."
    ) { subject in
      try await expectError(.invalidArgument, from: "prepare with an empty key") { try await subject.prepare("") }
      try await expectError(.invalidArgument, from: "view with an empty key") { try await subject.view("") }
    },
    ContractCase(
      "snapshots.prepare.empty-parent", "an empty parent is none", "Snapshotter.prepare; SNAP-01",
      why: "the first layer of every image is made without a parent, and clients say so with an empty string"
    ) { subject in
      try await subject.prepare("a", "")
      try expectEqual(try await subject.snapshotter.stat("a").parent, nil, "parent")
    },
    ContractCase(
      "snapshots.prepare.existing-key", "a key can be taken once, by whatever kind", "Snapshotter, one key space; SNAP-05, SNAP-09",
      why: "two clients that unpack the same image would write into one tree at the same time, and commit a mixture of both"
    ) { subject in
      try await subject.layer("base")
      let mounts = try await subject.prepare("active", "base", labels: ["k": "first"])
      try await subject.view("view", "base")
      for key in ["active", "view", "base"] {
        try await expectError(.alreadyExists, from: "prepare of the taken key \(key)") { try await subject.prepare(key, "base", labels: ["k": "second"]) }
        try await expectError(.alreadyExists, from: "view of the taken key \(key)") { try await subject.view(key, "base") }
      }
      try expectEqual(try await subject.snapshotter.mounts("active"), mounts, "mounts of the first")
      try expectEqual(try await subject.snapshotter.stat("active").labels, ["k": "first"], "labels of the first")
      try expectEqual(try await subject.names(), ["active", "base", "view"], "keys listed")
    },
    ContractCase(
      "snapshots.prepare.missing-parent", "a parent must exist; nothing is left of the attempt", "Snapshotter.prepare; SNAP-10",
      why: "a container would start with an empty root, and the half-made key would block the next attempt"
    ) { subject in
      try await expectError(.notFound, from: "prepare on a missing parent") { try await subject.prepare("a", "none") }
      try await expectError(.notFound, from: "view of a missing parent") { try await subject.view("a", "none") }
      try await subject.expectAbsent("a")
      try await subject.prepare("a")
    },
    ContractCase(
      "snapshots.prepare.uncommitted-parent", "only a committed snapshot can be a parent", "Snapshotter law 1; SNAP-03, SNAP-10",
      why: "a parent that is still written to changes below its children: overlay mounts of them answer wrongly"
    ) { subject in
      try await subject.layer("base")
      try await subject.prepare("active", "base")
      try await subject.view("view", "base")
      for parent in ["active", "view"] {
        try await expectError(.failedPrecondition, .invalidArgument, from: "prepare on \(parent)") { try await subject.prepare("a", parent) }
        try await expectError(.failedPrecondition, .invalidArgument, from: "view of \(parent)") { try await subject.view("a", parent) }
      }
      try await subject.expectAbsent("a")
    },
    ContractCase(
      "snapshots.prepare.label-limit", "a label longer than 4096 bytes is refused, and nothing is made", "Labels; SNAP-18",
      why: "what one component stores and another refuses cannot be moved: containerd's own store refuses longer labels"
    ) { subject in
      let fits = String(repeating: "v", count: 4095)
      try await subject.prepare("fits", labels: ["k": fits])
      try expectEqual(try await subject.snapshotter.stat("fits").labels, ["k": fits], "labels")
      try await expectError(.invalidArgument, from: "prepare with a label of 4097 bytes") { try await subject.prepare("a", labels: ["k": fits + "v"]) }
      try await expectError(.invalidArgument, from: "view with a label of 4097 bytes") { try await subject.view("a", labels: ["k": fits + "v"]) }
      try await expectError(.invalidArgument, from: "commit with a label of 4097 bytes") { try await subject.commit("c", "fits", labels: ["k": fits + "v"]) }
      try expectEqual(try await subject.names(), ["fits"], "keys listed")
      try expectEqual(try await subject.snapshotter.stat("fits").kind, .active, "kind after the refused commit")
    },
  ]

  static let committing: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.commit.renames", "commit makes the name and the key is gone, free for another use", "Snapshotter law 1; SNAP-02, SNAP-12",
      why: "the next layer is prepared on the committed name at once: without it, unpacking stops after the first layer"
    ) { subject in
      try await subject.layer("base")
      try await subject.prepare("a", "base", labels: ["of": "active"])
      let before = Timestamp.now().advanced(bySeconds: -2)
      try await subject.commit("c", "a", labels: ["of": "committed"])
      try await subject.expectAbsent("a")
      let info = try await subject.snapshotter.stat("c")
      try expectEqual(info.kind, .committed, "kind")
      try expectEqual(info.parent, "base", "parent")
      try expectEqual(info.labels, ["of": "committed"], "labels")
      try expect(info.createdAt >= before, "created \(info.createdAt): before the commit")
      try await subject.prepare("a", "c")
      try expectEqual(try await subject.snapshotter.stat("a").parent, "c", "parent of the key's next use")
    },
    ContractCase(
      "snapshots.commit.labels", "labels of the active snapshot are not the committed one's", "Snapshotter.commit; SNAP-12",
      why: "labels of the working snapshot keep it from garbage collection: inherited, they would keep the layer for ever"
    ) { subject in
      try await subject.prepare("a", labels: ["of": "active"])
      try await subject.commit("c", "a")
      try expectEqual(try await subject.snapshotter.stat("c").labels, [:], "labels")
    },
    ContractCase(
      "snapshots.commit.missing-key", "a key that is not there cannot be committed", "Snapshotter.commit; REF-S03",
      why: "a layer that was never written would stand for one that was"
    ) { subject in
      try await expectError(.notFound, from: "commit of a missing key") { try await subject.commit("c", "none") }
      try await subject.expectAbsent("c")
    },
    ContractCase(
      "snapshots.commit.not-active", "only an active snapshot can be committed", "Snapshotter.commit; SNAP-11",
      why: "committing a view or a layer again gives one tree two names, and removing one takes the other's files"
    ) { subject in
      try await subject.layer("base")
      let mounts = try await subject.view("view", "base")
      for key in ["view", "base"] { try await expectError(.failedPrecondition, from: "commit of \(key)") { try await subject.commit("c", key) } }
      try await subject.expectAbsent("c")
      try expectEqual(try await subject.snapshotter.mounts("view"), mounts, "mounts of the view")
      try expectEqual(try await subject.snapshotter.stat("base").kind, .committed, "kind of the base")
    },
    ContractCase(
      "snapshots.commit.existing-name", "a name can be taken once; the active snapshot survives the attempt", "Snapshotter.commit; SNAP-05",
      why: "clients that finish the same layer race for its name: the loser must learn that it is there, and keep its own"
    ) { subject in
      try await subject.layer("taken")
      try await subject.prepare("other")
      let mounts = try await subject.prepare("a")
      for name in ["taken", "other", "a"] {
        try await expectError(.alreadyExists, from: "commit to the taken name \(name)") { try await subject.commit(name, "a") }
      }
      try expectEqual(try await subject.snapshotter.mounts("a"), mounts, "mounts of the active snapshot")
      try await subject.commit("free", "a")
      try expectEqual(try await subject.names(), ["free", "other", "taken"], "keys listed")
    },
    ContractCase(
      "snapshots.commit.empty-name", "an empty name is refused, and the active snapshot survives", "Snapshotter.commit; REF-S01",
      why: "an empty name cannot be asked for again: the layer would be lost and its space held"
    ) { subject in
      try await subject.prepare("a")
      try await expectRefusal(of: "commit to an empty name") { try await subject.commit("", "a") }
      try expectEqual(try await subject.snapshotter.stat("a").kind, .active, "kind")
    },
    ContractCase("snapshots.commit.empty-name-class", "an empty name is an invalid argument", "Snapshotter.commit; REF-S02", level: .should) { subject in
      try await subject.prepare("a")
      try await expectError(.invalidArgument, from: "commit to an empty name") { try await subject.commit("", "a") }
    },
  ]

  static let removing: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.remove.each-kind", "every kind can be removed, once", "Snapshotter.remove; SNAP-04, SNAP-13",
      why: "garbage collection removes all three kinds: what cannot be removed fills the disk"
    ) { subject in
      try await subject.layer("base")
      try await subject.prepare("active", "base")
      try await subject.view("view", "base")
      for key in ["active", "view", "base"] {
        try await subject.snapshotter.remove(key)
        try await subject.expectAbsent(key)
      }
      try expectEqual(try await subject.names(), [], "keys listed")
    },
    ContractCase(
      "snapshots.remove.children", "a parent stays while it has children of any kind", "Snapshotter law 2; SNAP-13",
      why: "the files below a running container would vanish, and every layer above becomes unreadable"
    ) { subject in
      try await subject.layer("base")
      for child in ["child", "active", "view"] {
        switch child {
        case "child": try await subject.layer("child", on: "base")
        case "active": try await subject.prepare("active", "base")
        default: try await subject.view("view", "base")
        }
        for _ in 0..<2 {
          try await expectError(.failedPrecondition, from: "remove of a parent of \(child)") { try await subject.snapshotter.remove("base") }
        }
        try expectEqual(try await subject.snapshotter.stat("base").kind, .committed, "kind of the parent")
        try await subject.snapshotter.remove(child)
      }
      try await subject.snapshotter.remove("base")
    },
    ContractCase(
      "snapshots.remove.and-again", "a removed key can be made again, as often as one likes", "Snapshotter.remove; SNAP-17",
      why: "clients use the same key for every attempt: one that stays taken makes the retry of a failed pull fail too"
    ) { subject in
      try await subject.layer("base")
      for number in 0..<20 {
        try await subject.prepare("a", number.isMultiple(of: 2) ? "base" : nil, labels: ["n": "\(number)"])
        try expectEqual(try await subject.snapshotter.stat("a").labels, ["n": "\(number)"], "labels in round \(number)")
        try await subject.snapshotter.remove("a")
      }
      try await subject.expectAbsent("a")
    },
    ContractCase(
      "snapshots.cleanup.harmless", "cleanup removes nothing that is listed, and may be asked at any time", "Snapshotter law 4; SNAP-17",
      why: "containerd asks for cleanup after every garbage collection, while images are being unpacked"
    ) { subject in
      try await subject.cleanup()
      try await subject.layer("base")
      let mounts = try await subject.prepare("a", "base")
      try await subject.cleanup()
      try await subject.cleanup()
      try expectEqual(try await subject.names(), ["a", "base"], "keys listed")
      try expectEqual(try await subject.snapshotter.mounts("a"), mounts, "mounts")
    },
    ContractCase(
      "snapshots.close.ends", "after close every call fails cleanly; closing again is fine", "Snapshotter.close; SNAP-15", needs: [.closing],
      why: "a call after the end must say so, and not hang or crash the daemon on its way down"
    ) { subject in
      try await subject.prepare("a")
      try await subject.snapshotter.close()
      let snapshotter = subject.snapshotter
      try await expectError(.failedPrecondition, from: "prepare after close") { try await subject.prepare("b") }
      try await expectError(.failedPrecondition, from: "stat after close") { _ = try await snapshotter.stat("a") }
      try await expectError(.failedPrecondition, from: "mounts after close") { _ = try await snapshotter.mounts("a") }
      try await expectError(.failedPrecondition, from: "remove after close") { try await snapshotter.remove("a") }
      try await expectError(.failedPrecondition, from: "walk after close") { try await snapshotter.walk(.all) { _ in } }
      try await expectError(.failedPrecondition, from: "cleanup after close") { try await snapshotter.cleanup() }
      try await snapshotter.close()
    },
  ]

  /// What holds for mounts of any snapshotter.
  static func checkMounts(_ mounts: [Mount], writable: Bool) throws {
    try expect(!mounts.isEmpty, "no mounts")
    for mount in mounts {
      try expect(!mount.type.isEmpty && !mount.source.isEmpty, "a mount without type or source: \(words(mount))")
      try expect(!mount.options.contains(""), "an empty option: \(words(mount))")
      try expectEqual(mount.options.count, Set(mount.options).count, "options, each once, of \(words(mount))")
    }
    guard let root = mounts.last else { return }
    let isReadOnly = root.isReadOnly || (root.type == "overlay" && !root.options.contains { $0.hasPrefix("upperdir=") })
    if isReadOnly == writable {
      throw Mismatch(
        description: writable ? "mounts of an active snapshot are read-only: \(words(root))" : "mounts of a view can be written: \(words(root))",
        expected: writable ? "mounts that can be written" : "read-only mounts: the option ro, or an overlay without upperdir", actual: words(root))
    }
  }

  /// As mount(8) is asked for it.
  private static func words(_ mount: Mount) -> String {
    "mount -t \(mount.type) \(mount.source) -o \(mount.options.joined(separator: ","))\(mount.target.isEmpty ? "" : " at \(mount.target)")"
  }
}
