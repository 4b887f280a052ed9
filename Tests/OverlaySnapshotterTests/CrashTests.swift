import CLinux
import Foundation
import OverlaySnapshotter
import Protocols
import SystemKit
import TestSupport
import Testing

/// A process killed at each step of each change: what the next one finds is the state before or after it, and nothing is left over.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct CrashTests {
  let scratch = ScratchDirectory("overlay-crash")
  var root: String { scratch.path + "/s" }

  enum Change: String { case prepare, view, commit, remove, cleanup }

  /// In the process that dies: two snapshots that stay, then the change.
  static func run(_ change: Change, in root: String) async throws {
    let s = try OverlaySnapshotter(root: root)
    switch change {
    case .prepare: _ = try await s.prepare("new", parent: "base", labels: ["l": "1"])
    case .view: _ = try await s.view("new", parent: "base", labels: [:])
    case .commit: try await s.commit("layer", key: "active", labels: [:])
    case .remove: try await s.remove("active")
    case .cleanup: try await s.cleanup()
    }
  }

  @Test(arguments: [
    (Change.prepare, "snapshot.make.built", ["active", "base"]), (.prepare, "snapshot.make.placed", ["active", "base"]),
    (.view, "snapshot.make.built", ["active", "base"]), (.view, "snapshot.make.placed", ["active", "base"]),
    (.commit, "snapshot.commit.measured", ["active", "base"]), (.commit, "snapshot.commit.row", ["base", "layer"]),
    (.remove, "snapshot.remove.row", ["base"]), (.remove, "snapshot.remove.renamed", ["base"]),
  ])
  func killedAtAnyStepItIsBeforeOrAfter(_ change: Change, _ place: String, _ expected: [String]) async throws {
    do {
      let s = try OverlaySnapshotter(root: root)
      _ = try await s.prepare("a", parent: nil, labels: [:])
      try await s.commit("base", key: "a", labels: [:])
      _ = try await s.prepare("active", parent: "base", labels: [:])
      try Files.makeDirectories(root + "/snapshots/2/fs/some/tree")
      try Files.writeAtomically([1, 2, 3], to: root + "/snapshots/2/fs/some/tree/file")
    }
    await #expect(processExitsWith: .signal(SIGKILL)) { [root = root as String, change = change.rawValue as String, place = place as String] in
      setenv("REF_CRASH_AT", place, 1)
      guard let change = Change(rawValue: change) else { return }
      try await CrashTests.run(change, in: root)
    }
    let s = try OverlaySnapshotter(root: root)
    var names: [String] = []
    for info in try await all(s) { names.append(info.name) }
    #expect(names.sorted() == expected)
    // Exactly a directory for every row, whole, and a work directory for the active ones only.
    let directories = try Files.names(in: root + "/snapshots").sorted()
    #expect(directories == (expected == ["base"] ? ["1"] : ["1", "2"]))
    for directory in directories { #expect(Files.exists("\(root)/snapshots/\(directory)/fs")) }
    #expect(!Files.exists(root + "/snapshots/1/work") && Files.exists(root + "/snapshots/2/work") == names.contains("active"))
    if names.count == 2 { #expect(try Files.read(root + "/snapshots/2/fs/some/tree/file") == [1, 2, 3]) }
    // And the change can be made now.
    if names.contains("active") || change != .commit && change != .remove { try await CrashTests.run(change, in: root) }
    for info in try await all(s).reversed() { try await s.remove(info.name) }
    #expect(try Files.names(in: root + "/snapshots").isEmpty)
  }

  @Test func aCleanupThatIsKilledIsFinishedByTheNext() async throws {
    _ = try OverlaySnapshotter(root: root)
    for name in ["new-7", "rm-8", "9"] { try Files.makeDirectories("\(root)/snapshots/\(name)/fs/deep/er") }
    await #expect(processExitsWith: .signal(SIGKILL)) { [root = root as String] in
      setenv("REF_CRASH_AT", "snapshot.cleanup", 1)
      try await CrashTests.run(.cleanup, in: root)
    }
    #expect(try !Files.names(in: root + "/snapshots").isEmpty, "the kill came before the end")
    _ = try OverlaySnapshotter(root: root)
    #expect(try Files.names(in: root + "/snapshots").isEmpty)
  }

  @Test func aLeftoverThatCannotBeRemovedKeepsNothingElseFromStarting() async throws {
    _ = try OverlaySnapshotter(root: root)
    for name in ["new-7", "new-8", "rm-9"] { try Files.makeDirectories("\(root)/snapshots/\(name)/fs") }
    // A mount point cannot be removed, by root neither.
    let stuck = "\(root)/snapshots/new-8/fs"
    try Mounts.mount(type: "tmpfs", source: "tmpfs", target: stuck, options: [])
    do {
      let s = try OverlaySnapshotter(root: root)
      #expect(try Files.names(in: root + "/snapshots") == ["new-8"])
      _ = try await s.prepare("a", parent: nil, labels: [:])
      await #expect(throws: ContainerdError.self) { try await s.cleanup() }
      try Mounts.unmount(stuck)
      try await s.cleanup()
      #expect(try Files.names(in: root + "/snapshots") == ["1"])
    } catch {
      umount2(stuck, Int32(MNT_DETACH))
      throw error
    }
  }

  @Test func anIndexThatIsGoneIsNoReasonToRemoveWhatItNamed() async throws {
    do {
      let s = try OverlaySnapshotter(root: root)
      _ = try await s.prepare("a", parent: nil, labels: [:])
    }
    for file in try Files.names(in: root) where file.hasPrefix("index.db") { try Files.removeTree("\(root)/\(file)") }
    for _ in 0..<2 { #expect(throws: ContainerdError.self) { try OverlaySnapshotter(root: root) } }
    #expect(Files.exists(root + "/snapshots/1/fs"))
  }

  private func all(_ s: OverlaySnapshotter) async throws -> [SnapshotInfo] {
    let found = Found()
    try await s.walk(.all) { await found.append($0) }
    return await found.infos
  }

  private actor Found {
    var infos: [SnapshotInfo] = []
    func append(_ info: SnapshotInfo) { infos.append(info) }
  }
}
