import Protocols

extension SnapshotterSuite {
  /// Keys are compared as they are, and a taken one is nobody else's.
  static let exactness: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.keys.exact", "a key that only looks like another is another, for every call", "Snapshotter, keys; SNAP-05",
      why: "a store that trims or folds keys answers for, and removes, the tree of another container"
    ) { subject in
      let near = [
        " key", "key ", "  key", "key\t", "key\n", "key/", "/key", "./key", "key.", "KEY", "Key", "ke", "keyy", "k\u{435}y", "\u{ff4b}ey", "key\u{200b}",
        "%6bey",
        "\"key\"", "key%", "k_y", "k*", "k?y",
      ]
      try await subject.prepare("key", labels: ["of": "key"])
      for key in near { try await subject.expectAbsent(key) }
      for key in near { try await subject.prepare(key, labels: ["of": key]) }
      for key in ["key"] + near {
        let info = try await subject.snapshotter.stat(key)
        try expect(info.name == key && info.labels == ["of": key], "stat of \(key.debugDescription) tells \(info)")
      }
      try await subject.snapshotter.remove("key")
      try await subject.commit("key", " key")
      try await subject.expectAbsent(" key")
      try expectEqual(try await subject.names(), (["key"] + near.dropFirst()).sorted(), "keys left after one was removed and one was committed")
    },
    ContractCase(
      "snapshots.prepare.taken-key", "a taken key is refused whatever is asked for with it, and nothing changes",
      "Snapshotter, one key space; SNAP-05, SNAP-09",
      why: "A key that is made anew on another parent takes the files of a running container along."
    ) { subject in
      try await subject.layer("base", labels: ["of": "base"])
      try await subject.layer("other")
      try await subject.prepare("active", "base", labels: ["of": "active"])
      try await subject.view("view", "base", labels: ["of": "view"])
      try await subject.prepare("rootless", labels: ["of": "rootless"])
      for key in ["active", "view", "rootless", "base"] {
        let info = try await subject.snapshotter.stat(key)
        let mounts = key == "base" ? [] : try await subject.snapshotter.mounts(key)
        for parent in ["other", nil, "base"] {
          let on = parent.map { "on \($0)" } ?? "without a parent"
          try await expectError(.alreadyExists, from: "prepare of the taken key \(key) \(on)") { try await subject.prepare(key, parent, labels: ["new": "x"]) }
          try await expectError(.alreadyExists, from: "view of the taken key \(key) \(on)") { try await subject.view(key, parent, labels: ["new": "x"]) }
        }
        try expectEqual(try await subject.snapshotter.stat(key), info, "info of \(key) after refusals")
        if key != "base" { try expectEqual(try await subject.snapshotter.mounts(key), mounts, "mounts of \(key) after refusals") }
      }
      try expectEqual(try await subject.names(), ["active", "base", "other", "rootless", "view"], "keys listed")
    },
    ContractCase(
      "snapshots.labels.empty-value", "a label without a value is the same wherever it is asked for, and takes no other along",
      "Labels; Snapshotter.stat, walk; SNAP-22, REF-V01",
      why: "Whether a label without a value is kept is open (containerd's own store drops it); a client must get one answer, with its other labels."
    ) { subject in
      let labels = ["empty": "", "full": "x", "other": "y"]
      try await subject.prepare("a", labels: labels)
      try await subject.view("v", labels: labels)
      try await subject.prepare("making")
      try await subject.commit("c", "making", labels: labels)
      let seen = Visited<SnapshotInfo>()
      try await subject.snapshotter.walk(.all) { seen.append($0) }
      try expectEqual(seen.items.count, 3, "snapshots seen")
      for listed in seen.items {
        let told = try await subject.snapshotter.stat(listed.name).labels
        try expectEqual(told.filter { $0.key != "empty" }, ["full": "x", "other": "y"], "labels of \(listed.name) with a value")
        try expect(told["empty"] ?? "" == "", "a label of \(listed.name) without a value has one: \(told)")
        try expectEqual(listed.labels, told, "labels of \(listed.name), in a walk")
      }
    },
    ContractCase(
      "snapshots.commit.created", "a committed snapshot was created when it was committed", "Snapshotter.commit, stat; SNAP-12", level: .should,
      why: "A layer that counts from the start of its download is older than it is: what is pruned by age goes too early."
    ) { subject in
      try await subject.prepare("a")
      let active = try await subject.snapshotter.stat("a")
      try await Task.sleep(for: .milliseconds(30))
      try await subject.commit("c", "a")
      let committed = try await subject.snapshotter.stat("c")
      try expect(
        committed.createdAt > active.createdAt && committed.updatedAt >= committed.createdAt && committed.createdAt <= Timestamp.now().advanced(bySeconds: 2),
        "prepared at \(active.createdAt), committed 30 ms later: created at \(committed.createdAt), updated at \(committed.updatedAt)")
    },
  ]
}
