import Protocols

extension SnapshotterSuite {
  /// What a key, a name and a time stand for over a snapshot's life.
  static let lives: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.keys.case", "keys that differ in the case of a letter are different", "Snapshotter, keys; SNAP-05",
      why: "A store of names on a case-folding file system or index mixes up images whose keys differ in nothing else."
    ) { subject in
      for key in ["key", "Key", "KEY"] { try await subject.prepare(key, labels: ["of": key]) }
      for key in ["key", "Key", "KEY"] { try expectEqual(try await subject.snapshotter.stat(key).labels, ["of": key], "labels of \(key)") }
      try await subject.snapshotter.remove("Key")
      try expectEqual(try await subject.names(), ["KEY", "key"], "keys left")
    },
    ContractCase(
      "snapshots.keys.prefix", "a key that begins another is another", "Snapshotter, keys; SNAP-05",
      why: "A lookup by prefix answers for, or removes, the wrong container's tree."
    ) { subject in
      try await subject.layer("base")
      try await subject.prepare("a", "base", labels: ["of": "a"])
      try await subject.prepare("a/b", "base", labels: ["of": "a/b"])
      try await subject.prepare("ab", labels: ["of": "ab"])
      try await subject.snapshotter.remove("a")
      try await subject.expectAbsent("a")
      try expectEqual(try await subject.names(), ["a/b", "ab", "base"], "keys left")
      try await subject.snapshotter.remove("a/b")
      try await subject.snapshotter.remove("base")
    },
    ContractCase(
      "snapshots.remove.name-again", "a removed name can be committed again, with another parent and other labels", "Snapshotter.remove; SNAP-12, SNAP-17",
      why: "An image that is pulled again after a prune gets its old parent: containers start on a wrong tree."
    ) { subject in
      try await subject.layer("one")
      try await subject.layer("two")
      try await subject.layer("name", on: "one", labels: ["life": "1"])
      let first = try await subject.snapshotter.stat("name")
      try await subject.snapshotter.remove("name")
      try await Task.sleep(for: .milliseconds(5))
      try await subject.layer("name", on: "two", labels: ["again": "2"])
      let second = try await subject.snapshotter.stat("name")
      try expectEqual(second.parent, "two", "parent in the second life")
      try expectEqual(second.labels, ["again": "2"], "labels in the second life")
      try expect(second.createdAt > first.createdAt, "created at \(second.createdAt) in the second life, at \(first.createdAt) in the first")
      try await subject.snapshotter.remove("one")
    },
    ContractCase(
      "snapshots.remove.chain", "a chain comes apart from its end, and from nowhere else", "Snapshotter law 2; SNAP-13",
      why: "A collector that removes parents first must be told no each time, or whole images lose their lower layers."
    ) { subject in
      for number in 0..<6 { try await subject.layer("\(number)", on: number == 0 ? nil : "\(number - 1)") }
      for last in (0..<6).reversed() {
        for number in 0..<last {
          try await expectError(.failedPrecondition, from: "remove of \(number), below \(last)") { try await subject.snapshotter.remove("\(number)") }
        }
        try await subject.snapshotter.remove("\(last)")
      }
      try expectEqual(try await subject.names(), [], "names left")
    },
    ContractCase(
      "snapshots.stat.order", "times tell the order in which snapshots were made", "Snapshotter.stat; SNAP-21", level: .should,
      why: "Times in whole seconds make the oldest of many indistinguishable: what is pruned first is chance."
    ) { subject in
      for number in 0..<3 {
        try await subject.prepare("\(number)")
        try await Task.sleep(for: .milliseconds(20))
      }
      let times = [try await subject.snapshotter.stat("0"), try await subject.snapshotter.stat("1"), try await subject.snapshotter.stat("2")].map(\.createdAt)
      try expect(times[0] < times[1] && times[1] < times[2], "made 20 ms apart, created at \(times)")
    },
    ContractCase(
      "snapshots.stat.children-change-nothing", "a parent's info does not change when children come and go", "Snapshotter.stat; SNAP-06",
      why: "A parent that looks updated with every container started confuses collectors that go by times."
    ) { subject in
      try await subject.layer("base", labels: ["k": "v"])
      let before = try await subject.snapshotter.stat("base")
      try await subject.prepare("a", "base", labels: ["k": "other"])
      try await subject.view("v", "base")
      try await subject.commit("c", "a", labels: ["k": "third"])
      try await subject.snapshotter.remove("v")
      try await subject.snapshotter.remove("c")
      try expectEqual(try await subject.snapshotter.stat("base"), before, "info of the parent")
    },
    ContractCase(
      "snapshots.prepare.snapshot-labels", "labels that a snapshotter does not know are stored and change nothing else", "Labels; SNAP-16",
      why: "Clients send labels for remote snapshotters to every snapshotter; one that fails on them cannot be pulled to.",
      threads: ["containerd/stargz-snapshotter#144"]
    ) { subject in
      let labels = [
        "containerd.io/snapshot/remote/stargz.reference": "registry.test/some/image:1", "containerd.io/snapshot/cri.layer-digest": "sha256:00",
        "containerd.io/snapshot/unheard.of": "x",
      ]
      try checkMounts(try await subject.prepare("a", labels: labels), writable: true)
      try expectEqual(try await subject.snapshotter.stat("a").labels, labels, "labels")
      try await subject.commit("c", "a", labels: labels)
      try expectEqual(try await subject.snapshotter.stat("c").labels, labels, "labels when committed")
    },
    ContractCase(
      "snapshots.commit.failure-keeps-data", "what was written survives a commit that is refused", "Snapshotter.commit; SNAP-12", needs: [.files],
      why: "Two pulls of one layer end in one refused commit; if that takes the files, the retry commits an empty layer.",
      threads: ["containerd/containerd#13263"]
    ) { subject in
      try await subject.layer("taken")
      let mounts = try await subject.prepare("a")
      try await subject.enter(mounts) { try $0.write("file", bytes("kept")) }
      try await expectError(.alreadyExists, from: "commit to a taken name") { try await subject.commit("taken", "a") }
      try await subject.enter(try await subject.snapshotter.mounts("a")) { try expectEqual(try $0.read("file"), bytes("kept"), "contents after the refusal") }
      try await subject.commit("free", "a")
      try await subject.enter(try await subject.view("v", "free")) { try expectEqual(try $0.read("file"), bytes("kept"), "contents when committed") }
      try await subject.enter(try await subject.view("w", "taken")) { try expectEqual(try $0.names(""), [], "names in the one that had the name") }
    },
  ]
}
