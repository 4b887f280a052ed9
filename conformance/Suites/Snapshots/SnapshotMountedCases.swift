import Protocols
import Synchronization

extension SnapshotterSuite {
  static let mounted: [ContractCase<SnapshotSubject>] = [
    ContractCase(
      "snapshots.remove.mounted", "removing a snapshot that is still mounted succeeds or is refused; what is below it is never harmed", "SNAP-08, SNAP-10",
      needs: [.files],
      why: "Containers that do not end keep their mounts: a removal that goes through the mount erases the image's layers under every other container.",
      threads: ["containerd/containerd#1785", "containerd/containerd#1868", "containerd/containerd#414"]
    ) { subject in
      try await subject.layer("one") { tree in
        try tree.write("kept", bytes("1"))
        try tree.makeDirectory("dir")
        try tree.write("dir/deep", bytes("deep"))
      }
      let mounts = try await subject.prepare("a", "one")
      let turn = Turn()
      let holding = Task {
        do {
          try await subject.enter(mounts) { tree in
            try tree.write("own", bytes("mine"))
            // A copy of a lower file, and a lower file that was not touched.
            try tree.write("kept", bytes("2"))
            turn.say("mounted")
            // Goes on reading, as a container does, until the removal has been answered.
            let deadline = ContinuousClock.now + .seconds(20)
            while !turn.heard("removed"), ContinuousClock.now < deadline {
              // What the mount shows after its snapshot is gone is nobody's promise.
              _ = try? tree.read("dir/deep")
            }
          }
        } catch {
          turn.say("mounted")
          throw error
        }
      }
      try await eventually("the mount of the snapshot") { turn.heard("mounted") ? true : nil }
      var refused = false
      do { try await subject.snapshotter.remove("a") } catch let error as ContainerdError {
        guard error.code == .failedPrecondition else {
          turn.say("removed")
          _ = await holding.result
          throw Mismatch(
            description: "removal of a mounted snapshot: expected success or failed precondition, got \(error.code): \(error)",
            expected: "success or failed precondition", actual: "\(error.code)")
        }
        refused = true
      }
      turn.say("removed")
      try await holding.value
      try await subject.enter(try await subject.view("after", "one")) { tree in
        try expectEqual(try tree.names(""), ["dir", "kept"], "names in the layer below after the removal")
        try expectEqual(try tree.read("kept"), bytes("1"), "a file of the layer below after the removal")
        try expectEqual(try tree.read("dir/deep"), bytes("deep"), "a deep file of the layer below after the removal")
      }
      if refused { try await subject.snapshotter.remove("a") }
      try await subject.expectAbsent("a")
    }
  ]

  /// Words between a thread that holds a mount and the case.
  private final class Turn: Sendable {
    private let words = Mutex<Set<String>>([])
    func say(_ word: String) { words.withLock { _ = $0.insert(word) } }
    func heard(_ word: String) -> Bool { words.withLock { $0.contains(word) } }
  }
}
