import Dispatch
import Protocols
import Synchronization

extension SnapshotterSuite {
  /// Mounts that stand while something else happens.
  static let together: [ContractCase<SnapshotSubject>] = [
    files(
      "snapshots.mounts.apart", "two snapshots that are mounted and written at the same time have nothing in common but their parent",
      "Snapshotter.prepare; SNAP-08, SNAP-10", "Every container of an image is such a pair: in a shared directory they overwrite each other."
    ) { subject in
      try await subject.layer("base") { tree in
        try tree.write("shared", bytes("base"))
        for name in ["gone", "gone too"] { try tree.write(name, bytes("base")) }
      }
      try await subject.layer("top", on: "base") { try $0.makeDirectory("dir") }
      for parent in ["base", "top"] {
        let one = try await subject.prepare("one", parent)
        let two = try await subject.prepare("two", parent)
        try expectApart(one, two)
        let others = parent == "top" ? ["dir"] : []
        try await subject.during(one) { tree in
          try tree.write("own one", bytes("1"))
          try tree.write("shared", bytes("1"))
        } meanwhile: {
          try await subject.enter(two) { tree in
            try expectEqual(try tree.names(""), others + ["gone", "gone too", "shared"], "names in the second, mounted while the first is")
            try expectEqual(try tree.read("shared"), bytes("base"), "contents in the second, changed in the first")
            try tree.write("own two", bytes("2"))
            try tree.write("shared", bytes("2"))
            try tree.remove("gone")
          }
        } after: { tree in
          try expectEqual(try tree.names(""), others + ["gone", "gone too", "own one", "shared"], "names in the first, while the second was written")
          try expectEqual(try tree.read("shared"), bytes("1"), "contents in the first, changed in the second")
          try tree.remove("gone too")
          try tree.write("gone", bytes("1"))
        }
        try await subject.enter(two) { tree in
          try expectEqual(try tree.names(""), others + ["gone too", "own two", "shared"], "names in the second, when the first is no longer mounted")
        }
        try await subject.enter(one) { tree in
          try expectEqual(try tree.names(""), others + ["gone", "own one", "shared"], "names in the first, mounted again")
          try expectEqual(try tree.read("gone"), bytes("1"), "contents in the first, mounted again")
        }
        for key in ["one", "two"] { try await subject.snapshotter.remove(key) }
      }
      try expectApart(try await subject.prepare("first of nothing"), try await subject.prepare("second of nothing"))
    },
    files(
      "snapshots.mounts.asked-while-mounted", "questions do not disturb what is mounted", "Snapshotter law 3; SNAP-08",
      "A daemon asks for the mounts of running containers after each restart; a directory that is cleared for it breaks them."
    ) { subject in
      try await subject.layer("base") { tree in
        for name in ["changed", "removed", "again"] { try tree.write(name, bytes("base")) }
      }
      let mounts = try await subject.prepare("a", "base")
      try await subject.during(mounts) { tree in
        try tree.write("before", bytes("1"))
        try tree.remove("again")
      } meanwhile: {
        for _ in 0..<3 {
          try expectEqual(try await subject.snapshotter.mounts("a"), mounts, "mounts, while they stand")
          _ = try await subject.snapshotter.stat("a")
          _ = try await subject.snapshotter.usage("a")
          try await subject.cleanup()
          _ = try await subject.names()
        }
      } after: { tree in
        try expectEqual(try tree.read("before"), bytes("1"), "contents written before the questions")
        try tree.write("changed", bytes("2"))
        try tree.remove("removed")
        try tree.makeDirectory("again")
        try tree.write("again/after", bytes("2"))
      }
      try await subject.enter(mounts) { tree in
        try expectEqual(try tree.names(""), ["again", "before", "changed"], "names after the questions")
        try expectEqual(try tree.read("changed"), bytes("2"), "contents written after the questions")
        try expectEqual(try tree.names("again"), ["after"], "names in a directory made after the questions")
      }
    },
    ContractCase(
      "snapshots.mounts.targets", "a mount with a target goes to a directory that the mounts before it show", "Mount; MNT-01; SNAP-08",
      why: "Whoever performs the mounts does not make directories in an image, and must not be led out of it."
    ) { subject in
      try await subject.layer("one")
      try await subject.layer("two", on: "one")
      for (key, parent) in [("of none", nil), ("of one", "one"), ("of two", "two")] as [(String, String?)] {
        for mounts in [try await subject.prepare("active \(key)", parent), try await subject.view("view \(key)", parent)] {
          for (number, mount) in mounts.enumerated() where !mount.target.isEmpty {
            try expect(number > 0, "the first mount has the target \(mount.target): there is nothing below it yet")
            let parts = mount.target.split(separator: "/", omittingEmptySubsequences: false)
            try expect(!parts.contains("..") && !parts.contains("."), "the target of a mount leads elsewhere: \(mount.target)")
          }
          if subject.trees != nil { try await subject.enter(mounts) { _ = try $0.names("") } }
        }
      }
    },
  ]

  /// What either writes to, and what overlay needs for it, is the other's in no part.
  private static func expectApart(_ one: [Mount], _ two: [Mount]) throws {
    func places(_ mounts: [Mount]) -> [String] {
      mounts.flatMap { mount in
        let writable = mount.options.filter { $0.hasPrefix("upperdir=") || $0.hasPrefix("workdir=") }.map { String($0.drop { $0 != "=" }.dropFirst()) }
        return mount.options.contains { $0 == "bind" || $0 == "rbind" } && !mount.isReadOnly ? [mount.source] : writable
      }
    }
    for first in places(one) {
      for second in places(two) where (first + "/").hasPrefix(second + "/") || (second + "/").hasPrefix(first + "/") {
        throw Mismatch(
          description: "two writable snapshots share a directory: one has \(first), the other \(second)",
          expected: "upper and work directories of its own for every writable snapshot", actual: "\(first) and \(second)")
      }
    }
  }

  private static func files(
    _ id: String, _ sentence: String, _ statement: String, _ why: String, _ body: @escaping @Sendable (SnapshotSubject) async throws -> Void
  ) -> ContractCase<SnapshotSubject> { ContractCase(id, sentence, statement, needs: [.files], why: why, body: body) }
}

extension SnapshotSubject {
  /// Works in the tree, lets something else happen while the mounts stand, and works on through the same mounts.
  package func during(
    _ mounts: [Mount], _ before: @escaping @Sendable (any Tree) throws -> Void, meanwhile: @Sendable () async throws -> Void,
    after: @escaping @Sendable (any Tree) throws -> Void
  ) async throws {
    let (ready, mounted) = AsyncStream.makeStream(of: Void.self)
    let turn = Turn()
    let inside = Task {
      defer { mounted.finish() }
      try await enter(mounts) { tree in
        try before(tree)
        mounted.finish()
        if turn.wait() { try after(tree) }
      }
    }
    for await _ in ready {}
    do { try await meanwhile() } catch {
      turn.give(false)
      // What happened meanwhile is the finding; how the mounts end after it is not.
      _ = await inside.result
      throw error
    }
    turn.give(true)
    try await inside.value
  }
}

/// A thread that has mounts waits here; it is nobody else's.
private final class Turn: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)
  private let goOn = Mutex(false)

  func give(_ goOn: Bool) {
    self.goOn.withLock { $0 = goOn }
    semaphore.signal()
  }

  /// Whether to go on.
  func wait() -> Bool {
    semaphore.wait()
    return goOn.withLock { $0 }
  }
}
