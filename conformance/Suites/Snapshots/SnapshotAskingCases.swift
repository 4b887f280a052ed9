import Protocols

extension SnapshotterSuite {
  static let asking: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.missing-key", "what is not there is not found", "Snapshotter.stat, mounts, usage, remove, update; SNAP-20, REF-S03",
      why: "clients ask first and make what is not found: any other error ends the pull"
    ) { subject in
      try await subject.expectAbsent("none")
      try await expectError(.notFound, from: "update of a missing key") {
        _ = try await subject.snapshotter.update(SnapshotInfo(kind: .active, name: "none", labels: ["a": "1"]), fields: .all)
      }
    },
    ContractCase(
      "snapshots.mounts.stable", "the mounts of a key are the same each time", "Snapshotter law 3; SNAP-08",
      why: "after a restart of the daemon a container is mounted from what Mounts says then: other mounts are another tree"
    ) { subject in
      try await subject.layer("one")
      try await subject.layer("two", on: "one")
      let made = [
        "base": try await subject.prepare("base"), "active": try await subject.prepare("active", "two"), "view": try await subject.view("view", "two"),
        "view of one": try await subject.view("view of one", "one"),
      ]
      try await subject.layer("three", on: "two")
      for _ in 0..<3 {
        for (key, mounts) in made { try expectEqual(try await subject.snapshotter.mounts(key), mounts, "mounts of \(key)") }
      }
      try expectEqual(Set(made.values).count, made.count, "different snapshots with different mounts")
    },
    ContractCase(
      "snapshots.mounts.committed", "a committed snapshot has no mounts", "Snapshotter.mounts; SNAP-08",
      why: "a mount of a committed snapshot could be written, and with it a layer that others stand on"
    ) { subject in
      try await subject.layer("base")
      try await expectError(.failedPrecondition, from: "mounts of a committed snapshot") { _ = try await subject.snapshotter.mounts("base") }
    },
    ContractCase(
      "snapshots.stat.chain", "each snapshot knows its parent, and its kind never changes", "Snapshotter.stat; SNAP-01, SNAP-02",
      why: "garbage collection and usage follow parents: a wrong one frees a layer in use"
    ) { subject in
      var parent: String?
      for number in 0..<30 {
        try await subject.layer("layer \(number)", on: parent)
        parent = "layer \(number)"
      }
      for number in 0..<30 {
        let info = try await subject.snapshotter.stat("layer \(number)")
        try expectEqual(info.parent, number == 0 ? nil : "layer \(number - 1)", "parent of layer \(number)")
        try expectEqual(info.kind, .committed, "kind of layer \(number)")
      }
    },
    ContractCase(
      "snapshots.stat.times", "asking changes no time; an update changes the time of the update", "Snapshotter.update, stat; SNAP-21",
      why: "clients sort by these times and expire what is old"
    ) { subject in
      try await subject.prepare("a")
      let before = try await subject.snapshotter.stat("a")
      _ = try await subject.snapshotter.mounts("a")
      _ = try await subject.snapshotter.usage("a")
      try expectEqual(try await subject.snapshotter.stat("a"), before, "what stat tells after asking")
      try await Task.sleep(for: .milliseconds(20))
      let after = try await subject.snapshotter.update(SnapshotInfo(kind: .active, name: "a", labels: ["a": "1"]), fields: ["labels.a"])
      try expectEqual(after.createdAt, before.createdAt, "time of creation")
      try expect(after.updatedAt > before.updatedAt, "updated at \(before.updatedAt), then at \(after.updatedAt)")
    },
    ContractCase(
      "snapshots.update.masks", "a mask sets one label, removes one, or replaces all, of any kind", "Snapshotter.update; FieldMask; SNAP-06",
      why: "containerd sets one label at a time to hold a snapshot: replacing the rest drops what others hold it by"
    ) { subject in
      try await subject.layer("base", labels: ["a": "1", "b": "2"])
      try await subject.prepare("active", "base", labels: ["a": "1", "b": "2"])
      try await subject.view("view", "base", labels: ["a": "1", "b": "2"])
      for key in ["active", "view", "base"] {
        for (labels, mask, expected) in [
          (["a": "9", "b": "ignored"], ["labels.a"], ["a": "9", "b": "2"]), ([:], ["labels.b"], ["a": "9"]),
          (["containerd.io/gc.root": "x", "a": ""], ["labels.containerd.io/gc.root", "labels.a"], ["containerd.io/gc.root": "x"]),
          (["only": "this"], ["labels"], ["only": "this"]), (["all": "new"], [], ["all": "new"]),
        ] as [(Labels, FieldMask, Labels)] {
          let updated = try await subject.snapshotter.update(SnapshotInfo(kind: .active, name: key, parent: "elsewhere", labels: labels), fields: mask)
          try expectEqual(updated.labels, expected, "labels of \(key) for the mask \(mask.paths)")
          try expectEqual(try await subject.snapshotter.stat(key), updated, "what is stored of \(key) after the mask \(mask.paths)")
        }
        let info = try await subject.snapshotter.stat(key)
        try expectEqual(info.parent, key == "base" ? nil : "base", "parent of \(key)")
        try expectEqual(info.kind, key == "base" ? .committed : key == "view" ? .view : .active, "kind of \(key)")
      }
    },
    ContractCase(
      "snapshots.update.immutable", "only labels can be changed; a bad path changes nothing", "Snapshotter.update; SNAP-06",
      why: "a snapshot whose parent or kind changes is no longer what was unpacked"
    ) { subject in
      try await subject.prepare("a", labels: ["a": "1"])
      for path in ["kind", "parent", "name", "created_at", "nonsense"] {
        try await expectError(.invalidArgument, from: "update of \"\(path)\"") {
          _ = try await subject.snapshotter.update(SnapshotInfo(kind: .committed, name: "a", labels: ["a": "2"]), fields: FieldMask(["labels.a", path]))
        }
      }
      try await expectError(.invalidArgument, from: "a label of 4097 bytes") {
        _ = try await subject.snapshotter.update(
          SnapshotInfo(kind: .active, name: "a", labels: ["k": String(repeating: "v", count: 4096), "a": "2"]), fields: ["labels.a", "labels.k"])
      }
      try expectEqual(try await subject.snapshotter.stat("a").labels, ["a": "1"], "labels")
    },
    ContractCase(
      "snapshots.update.empty-label-key", "a mask that names a label without a key is refused", "Snapshotter.update; FieldMask; SNAP-06", level: .should,
      why: "`labels.` is what is left of a mistake; taken as a key, it stores a label that no client can show or remove."
    ) { subject in
      try await subject.prepare("a", labels: ["a": "1"])
      try await expectError(.invalidArgument, from: "update of \"labels.\"") {
        _ = try await subject.snapshotter.update(SnapshotInfo(kind: .active, name: "a", labels: ["": "2"]), fields: ["labels."])
      }
      try expectEqual(try await subject.snapshotter.stat("a").labels, ["a": "1"], "labels")
    },
    ContractCase(
      "snapshots.usage.kinds", "every kind has a usage, which is never negative", "Snapshotter.usage; SNAP-07",
      why: "eviction asks for the usage of all: one error stops the whole accounting"
    ) { subject in
      try await subject.layer("base")
      try await subject.prepare("active", "base")
      try await subject.view("view", "base")
      for key in ["base", "active", "view"] {
        let usage = try await subject.snapshotter.usage(key)
        try expect(usage.size >= 0 && usage.inodes >= 0, "usage of \(key): \(usage)")
      }
    },
  ]

  static let walks: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.walk.filters", "a walk visits what its filters match, each once", "Snapshotter.walk; SNAP-14",
      why: "clients find their snapshots by filters: too few and they leak, too many and somebody else's are removed"
    ) { subject in
      try await subject.layer("base", labels: ["l": "x"])
      try await subject.layer("top", on: "base", labels: ["a b.c": "y"])
      try await subject.prepare("active", "top", labels: ["l": "z"])
      try await subject.view("view", "base")
      for (filters, expected) in [
        ([], ["active", "base", "top", "view"]), (["kind==active"], ["active"]), (["kind==view"], ["view"]), (["kind==committed"], ["base", "top"]),
        (["parent==base"], ["top", "view"]), (["parent==\"\""], ["base"]), (["name==top"], ["top"]), (["name~=^(a|v)"], ["active", "view"]),
        (["labels.l"], ["active", "base"]), (["labels.l!=x"], ["active", "top", "view"]), (["labels.\"a b.c\"==y"], ["top"]),
        (["kind==committed,labels.l==x"], ["base"]), (["name==top", "kind==view"], ["top", "view"]), (["name==none"], []),
      ] as [([String], [String])] {
        let seen = Visited<String>()
        try await subject.snapshotter.walk(FilterSet(parsing: filters)) { seen.append($0.name) }
        try expectEqual(seen.items.sorted(), expected, "snapshots that match \(filters)")
      }
    },
    ContractCase(
      "snapshots.walk.infos", "a walk tells what stat tells", "Snapshotter.walk; SNAP-22",
      why: "garbage collection decides on what the walk tells"
    ) { subject in
      try await subject.layer("base", labels: ["k": "v"])
      try await subject.prepare("active", "base")
      let seen = Visited<SnapshotInfo>()
      try await subject.snapshotter.walk(.all) { seen.append($0) }
      for info in seen.items { try expectEqual(try await subject.snapshotter.stat(info.name), info, "stat of \(info.name)") }
      try expectEqual(seen.items.count, 2, "snapshots seen")
    },
    ContractCase(
      "snapshots.walk.many", "a walk is whole however many snapshots there are", "Snapshotter.walk; SNAP-14, SNAP-22",
      why: "a node has hundreds of layers: what a walk leaves out is collected as garbage, or never"
    ) { subject in
      try await subject.layer("base")
      for number in 0..<120 { try await subject.view("\(number)", "base") }
      try expectEqual(try await subject.names().count, 121, "snapshots seen")
    },
    ContractCase(
      "snapshots.walk.visitor-error", "an error of the visitor ends the walk and is thrown", "Snapshotter.walk; REF-S05",
      why: "a client that has seen enough must be able to stop"
    ) { subject in
      for number in 0..<3 { try await subject.prepare("\(number)") }
      let seen = Visited<String>()
      try await expectError(.aborted, from: "a walk whose visitor throws") {
        try await subject.snapshotter.walk(.all) { info in
          seen.append(info.name)
          throw ContainerdError(.aborted, "enough")
        }
      }
      try expectEqual(seen.items.count, 1, "snapshots seen before the end")
    },
    ContractCase(
      "snapshots.walk.visitor-may-change", "the visitor may use the snapshotter, even remove what it visits", "Snapshotter.walk; REF-S06",
      why: "a client removes what it lists: a walk that holds the lock meanwhile waits for itself"
    ) { subject in
      for number in 0..<3 { try await subject.prepare("\(number)") }
      try await inTime("a walk whose visitor removes") {
        try await subject.snapshotter.walk(.all) { info in
          _ = try await subject.snapshotter.usage(info.name)
          _ = try await subject.snapshotter.update(SnapshotInfo(kind: .active, name: info.name, labels: ["a": "1"]), fields: ["labels.a"])
          try await subject.snapshotter.remove(info.name)
          try await subject.prepare("instead of \(info.name)")
        }
      }
      try expectEqual(try await subject.names(), ["instead of 0", "instead of 1", "instead of 2"], "keys left")
    },
  ]

  static let naming: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.keys.odd", "keys and names are opaque text, whatever they look like", "Snapshotter, keys; REF-S04",
      why: "containerd's keys hold slashes, colons and digests: as paths they would reach out of the directory"
    ) { subject in
      for key in oddNames {
        let mounts = try await subject.prepare(key, labels: ["key": key])
        try expectEqual(try await subject.snapshotter.mounts(key), mounts, "mounts of \"\(key)\"")
      }
      try expectEqual(try await subject.names(), oddNames.sorted(), "keys listed")
      for key in oddNames {
        let name = "committed \(key)"
        try await subject.commit(name, key, labels: ["key": key])
        try await subject.prepare(key, name)
        let info = try await subject.snapshotter.stat(key)
        try expectEqual(info.parent, name, "parent of \"\(key)\"")
      }
      for key in oddNames {
        try await subject.snapshotter.remove(key)
        try await subject.snapshotter.remove("committed \(key)")
      }
      try expectEqual(try await subject.names(), [], "keys left")
    }
  ]

  static let concurrency: [ContractCase<SnapshotSubject>] = [
    ContractCase("snapshots.race.one-key", "of many that prepare one key, one makes it", "Snapshotter.prepare; SNAP-09") { subject in
      try await subject.layer("base")
      let results = try await concurrently(16) { number in
        number.isMultiple(of: 2) ? try await subject.prepare("a", "base") : try await subject.view("a", "base")
      }
      try expectOneWinner(results, others: .alreadyExists, what: "preparing one key")
      for case .success(let mounts) in results { try expectEqual(try await subject.snapshotter.mounts("a"), mounts, "mounts are the winner's") }
      try expectEqual(try await subject.names(), ["a", "base"], "keys listed")
    },
    ContractCase("snapshots.race.one-name", "of many that commit to one name, one gets it, and the others lose nothing", "Snapshotter.commit; SNAP-05, REF-S07")
    { subject in
      for number in 0..<10 { try await subject.prepare("\(number)") }
      let results = try await concurrently(10) { number in
        try await subject.commit("c", "\(number)")
        return number
      }
      try expectOneWinner(results, others: .alreadyExists, what: "committing to one name")
      try expectEqual(try await subject.names("kind==active").count, 9, "active snapshots left")
      try expectEqual(try await subject.names("kind==committed"), ["c"], "committed snapshots")
    },
    ContractCase("snapshots.race.commit-remove", "of a commit and a removal of one key one happens", "Snapshotter, concurrency; SNAP-12, REF-S07") { subject in
      for round in 0..<10 {
        try await subject.prepare("a")
        let results = try await concurrently(2) { number in
          number == 0 ? try await subject.commit("c\(round)", "a") : try await subject.snapshotter.remove("a")
        }
        try expectOneWinner(results, others: .notFound, what: "commit against remove")
        try await subject.expectAbsent("a")
      }
    },
    ContractCase("snapshots.race.child-of-removed", "a child is made on a parent that is there, or not at all", "Snapshotter law 2; SNAP-13, REF-S07") {
      subject in
      for round in 0..<10 {
        try await subject.layer("p\(round)")
        let results = try await concurrently(2) { number in
          if number == 0 { try await subject.prepare("child\(round)", "p\(round)") } else { try await subject.snapshotter.remove("p\(round)") }
        }
        try expectOneWinner(results, others: .notFound, .failedPrecondition, what: "a child against the removal of its parent")
        let keys = try await subject.names()
        try expectEqual(keys.contains("child\(round)"), keys.contains("p\(round)"), "child and parent stand and fall together")
      }
    },
    ContractCase("snapshots.race.many-keys", "many snapshots can be made of one parent at once", "Snapshotter, concurrency; REF-S07") { subject in
      try await subject.layer("base")
      let results = try await concurrently(32) { number in try await subject.prepare("\(number)", "base") }
      var mounts: Set<[Mount]> = []
      for result in results { mounts.insert(try result.get()) }
      try expectEqual(mounts.count, 32, "snapshots with mounts of their own")
    },
    ContractCase("snapshots.race.updates", "updates of different labels do not lose each other", "Snapshotter, concurrency; REF-S07, REF-V02") { subject in
      try await subject.prepare("a")
      let results = try await concurrently(16) { number in
        _ = try await subject.snapshotter.update(SnapshotInfo(kind: .active, name: "a", labels: ["l\(number)": "1"]), fields: FieldMask(["labels.l\(number)"]))
      }
      for result in results { try result.get() }
      try expectEqual(try await subject.snapshotter.stat("a").labels.count, 16, "labels")
    },
    ContractCase("snapshots.race.cleanup", "cleanup never takes what is being made", "Snapshotter law 4; REF-S07, REF-S09") { subject in
      try await subject.layer("base")
      let results = try await concurrently(12) { number in
        if number.isMultiple(of: 3) { return try await subject.cleanup() }
        let mounts = try await subject.prepare("\(number)", "base")
        try expectEqual(try await subject.snapshotter.mounts("\(number)"), mounts, "mounts of \(number)")
        try await subject.commit("c\(number)", "\(number)")
      }
      for result in results { try result.get() }
      try expectEqual(try await subject.names("kind==committed").count, 9, "committed snapshots")
    },
  ]
}
