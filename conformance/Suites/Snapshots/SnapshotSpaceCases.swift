import Protocols

extension SnapshotterSuite {
  /// What is kept, and what is given back.
  static let space: [ContractCase<SnapshotSubject>] = [
    files(
      "snapshots.remove.frees-space", "what a removed snapshot held is freed, at the latest after a cleanup; what others hold is not",
      "Snapshotter.remove, cleanup; SNAP-13, SNAP-17", "Nodes fill up with images that nobody lists: only deleting the whole store helps."
    ) { subject in
      func made(_ key: String, _ parent: String? = nil) async throws -> any StoredFile {
        let mounts = try await subject.prepare(key, parent)
        try await subject.enter(mounts) { try $0.write("held", pattern(key.utf8.count, count: 1 << 20)) }
        guard let file = try subject.trees?.stored("held", of: mounts) else {
          throw CaseSkipped(.environment, "where this snapshotter keeps its files cannot be told from its mounts: \(mounts)")
        }
        return file
      }
      let base = try await made("base making")
      try await subject.commit("base", "base making")
      let kept = try await made("kept", "base")
      let active = try await made("active", "base")
      let rootless = try await made("rootless")
      let layer = try await made("layer making", "base")
      try await subject.commit("layer", "layer making")
      try await subject.view("view", "layer")
      for (key, file) in [("active", active), ("rootless", rootless), ("view", nil), ("layer", layer)] as [(String, (any StoredFile)?)] {
        try await subject.snapshotter.remove(key)
        try await subject.cleanup()
        guard let file else { continue }
        try await eventually("the file of the removed snapshot \(key) is deleted from the disk") { try file.links() == 0 ? true : nil }
      }
      try expectEqual(try kept.links(), 1, "names that the file of an active snapshot has after others were removed")
      try expect(try base.links() == 1, "the file of a layer that has children is deleted after others were removed")
      try await subject.enter(try await subject.snapshotter.mounts("kept")) { tree in
        try expect(try tree.read("held") == pattern(4, count: 1 << 20), "the contents of an active snapshot after others were removed are not what was written")
      }
    },
    files(
      "snapshots.cleanup.spares-data", "cleanup takes no file of a snapshot that is there, of whatever kind", "Snapshotter law 4; SNAP-17",
      "containerd asks for a cleanup after every collection: the data of running containers would be gone."
    ) { subject in
      try await subject.layer("base") { tree in
        try tree.makeDirectory("dir")
        try tree.write("dir/file", bytes("base"))
      }
      let active = try await subject.prepare("active", "base")
      try await subject.enter(active) { tree in
        try tree.write("own", bytes("active"))
        try tree.makeDirectory("empty")
      }
      let rootless = try await subject.prepare("rootless")
      try await subject.enter(rootless) { try $0.write("own", bytes("rootless")) }
      let untouched = try await subject.prepare("untouched", "base")
      let view = try await subject.view("view", "base")
      try await subject.prepare("removed", "base")
      try await subject.snapshotter.remove("removed")
      for round in 1...2 {
        try await subject.cleanup()
        try await subject.enter(active) { tree in
          try expectEqual(try tree.names(""), ["dir", "empty", "own"], "names in an active snapshot after cleanup \(round)")
          try expectEqual(try tree.read("own"), bytes("active"), "contents in an active snapshot after cleanup \(round)")
        }
        try await subject.enter(rootless) { try expectEqual(try $0.read("own"), bytes("rootless"), "contents without a parent after cleanup \(round)") }
        try await subject.enter(view) { try expectEqual(try $0.read("dir/file"), bytes("base"), "contents of a view after cleanup \(round)") }
        try await subject.enter(untouched) { try $0.write("written \(round)", bytes("x")) }
      }
      try await subject.commit("layer", "active")
      try await subject.cleanup()
      try await subject.enter(try await subject.view("of layer", "layer")) { tree in
        try expectEqual(try tree.names(""), ["dir", "empty", "own"], "names in a layer after a cleanup")
        try expectEqual(try tree.read("dir/file"), bytes("base"), "contents of a layer after a cleanup")
      }
    },
    files(
      "snapshots.race.cleanup-data", "cleanups while layers are written and committed take nothing of them", "Snapshotter law 4; SNAP-17",
      "A collection that ends while an image is unpacked must not take what is being written.", threads: ["containerd/containerd#5564"]
    ) { subject in
      try await subject.layer("base") { try $0.write("base", bytes("b")) }
      let results = try await concurrently(9) { number in
        if number.isMultiple(of: 3) {
          for _ in 0..<10 {
            try await subject.cleanup()
            try await Task.sleep(for: .milliseconds(4))
          }
          return
        }
        try await subject.enter(try await subject.prepare("\(number)", "base")) { try $0.write("own", bytes("\(number)")) }
        try await Task.sleep(for: .milliseconds(5))
        try await subject.commit("c\(number)", "\(number)")
      }
      for result in results { try result.get() }
      for number in 0..<9 where !number.isMultiple(of: 3) {
        try await subject.enter(try await subject.view("v\(number)", "c\(number)")) { tree in
          try expectEqual(try tree.names(""), ["base", "own"], "names in a layer that was made during cleanups")
          try expectEqual(try tree.read("own"), bytes("\(number)"), "contents of a layer that was made during cleanups")
        }
      }
    },
    files(
      "snapshots.usage.given-up", "a usage that is given up ends soon, and leaves nothing locked", "Snapshotter.usage; SNAP-07",
      "Usage of a large tree takes seconds; whoever no longer waits for it must not keep others from making containers.",
      threads: ["containerd/containerd#1724"]
    ) { subject in
      let count = 10_000
      try await subject.enter(try await subject.prepare("a")) { tree in for number in 0..<count { try tree.symlink("x", "\(number)") } }
      for delay in [0, 1, 4, 15, 40] {
        let asked = Task { try await subject.snapshotter.usage("a") }
        try await Task.sleep(for: .milliseconds(delay))
        asked.cancel()
        _ = try await inTime("the end of a usage that was given up", seconds: 5) { await asked.result }
        try await inTime("changes after a usage was given up", seconds: 10) {
          try await subject.prepare("next")
          try await subject.snapshotter.remove("next")
        }
      }
      let usage = try await inTime("a usage after others were given up") { try await subject.snapshotter.usage("a") }
      try expect((Int64(count)...Int64(count + 1)).contains(usage.inodes), "usage of \(count) links after others were given up: \(usage)")
    },
  ]

  private static func files(
    _ id: String, _ sentence: String, _ statement: String, _ why: String, threads: [String] = [],
    _ body: @escaping @Sendable (SnapshotSubject) async throws -> Void
  ) -> ContractCase<SnapshotSubject> { ContractCase(id, sentence, statement, needs: [.files], why: why, threads: threads, body: body) }
}
