import CLinux
import Foundation
import OverlaySnapshotter
import Protocols
import SystemKit
import TestSupport
import Testing

@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct OverlaySnapshotterTests {
  let scratch = ScratchDirectory("overlay")
  func snapshotter() throws -> OverlaySnapshotter { try OverlaySnapshotter(root: scratch.path + "/s") }

  func code(_ body: () async throws -> Void) async -> ContainerdError.Code? {
    do { try await body() } catch { return (error as? ContainerdError)?.code }
    return nil
  }

  /// Performs the mounts, lets the body work in the tree, and unmounts.
  func inTree(_ mounts: [Mount], _ body: (String) throws -> Void) throws {
    let target = scratch.path + "/mnt"
    try Files.makeDirectories(target)
    for mount in mounts { try Mounts.mount(type: mount.type, source: mount.source, target: target, options: mount.options) }
    defer { for _ in mounts { umount2(target, Int32(MNT_DETACH)) } }
    try body(target)
  }

  func write(_ path: String, _ text: String) throws { try Files.writeAtomically(Array(text.utf8), to: path) }
  func read(_ path: String) -> String? { (try? Files.read(path)).map { String(decoding: $0, as: UTF8.self) } }

  @Test func aBaseIsABindAndAChildAnOverlay() async throws {
    let s = try snapshotter()
    let base = try await s.prepare("a", parent: nil, labels: [:])
    #expect(base.map(\.type) == ["bind"] && base[0].options == ["rw", "rbind"])
    try await s.commit("base", key: "a", labels: ["l": "1"])
    #expect(try await s.stat("base").labels == ["l": "1"])
    let child = try await s.prepare("b", parent: "base", labels: [:])
    #expect(child[0].type == "overlay" && child[0].options.contains { $0.hasPrefix("upperdir=") })
    #expect(try await s.mounts("b") == child)
    let view = try await s.view("v", parent: "base", labels: [:])
    #expect(view[0].type == "bind" && view[0].options == ["ro", "rbind"])
  }

  @Test func whatIsCommittedIsSeenBelowAndNeverChanges() async throws {
    let s = try snapshotter()
    try inTree(await s.prepare("a", parent: nil, labels: [:])) { try write($0 + "/one", "1") }
    try await s.commit("1", key: "a", labels: [:])
    try inTree(await s.prepare("b", parent: "1", labels: [:])) { tree in
      #expect(read(tree + "/one") == "1")
      try write(tree + "/one", "changed")
      try write(tree + "/two", "2")
    }
    try await s.commit("2", key: "b", labels: [:])
    try inTree(await s.view("v", parent: "2", labels: [:])) { tree in
      #expect(read(tree + "/one") == "changed" && read(tree + "/two") == "2")
      #expect(throws: SystemError.self) { try write(tree + "/three", "3") }
    }
    try inTree(await s.view("w", parent: "1", labels: [:])) { #expect(read($0 + "/one") == "1" && read($0 + "/two") == nil) }
  }

  @Test func theContractsErrors() async throws {
    let s = try snapshotter()
    _ = try await s.prepare("a", parent: nil, labels: [:])
    #expect(await code { _ = try await s.prepare("a", parent: nil, labels: [:]) } == .alreadyExists)
    #expect(await code { _ = try await s.prepare("b", parent: "none", labels: [:]) } == .notFound)
    #expect(await code { _ = try await s.prepare("b", parent: "a", labels: [:]) } == .invalidArgument)
    #expect(await code { _ = try await s.prepare("", parent: nil, labels: [:]) } == .invalidArgument)
    #expect(await code { _ = try await s.mounts("none") } == .notFound)
    #expect(await code { try await s.commit("x", key: "none", labels: [:]) } == .notFound)
    try await s.commit("base", key: "a", labels: [:])
    #expect(await code { _ = try await s.mounts("base") } == .failedPrecondition)
    #expect(await code { try await s.commit("again", key: "base", labels: [:]) } == .failedPrecondition)
    _ = try await s.prepare("c", parent: "base", labels: [:])
    #expect(await code { try await s.commit("base", key: "c", labels: [:]) } == .alreadyExists)
    #expect(await code { try await s.remove("base") } == .failedPrecondition)
    try await s.remove("c")
    try await s.remove("base")
    #expect(await code { _ = try await s.stat("base") } == .notFound)
  }

  @Test func aFileWithTwoNamesIsCountedOnce() async throws {
    let s = try snapshotter()
    try inTree(await s.prepare("a", parent: nil, labels: [:])) { tree in
      try write(tree + "/file", String(repeating: "x", count: 1 << 20))
      try #require(link(tree + "/file", tree + "/same") == 0)
    }
    let usage = try await s.usage("a")
    #expect(usage.inodes == 2 && usage.size >= 1 << 20 && usage.size < (1 << 20) + 65536)
  }

  @Test func aTreeDeeperThanAnyPathIsMeasuredAndRemoved() async throws {
    let s = try snapshotter()
    let mounts = try await s.prepare("a", parent: nil, labels: [:])
    // Without a parent the mount is a bind of the snapshot's own directory: a container enters it level by level.
    var directory = try Files.open(mounts[0].source, O_RDONLY | O_DIRECTORY)
    let name = String(repeating: "d", count: 250)
    for _ in 0..<40 {
      let raw = directory.raw
      try check("mkdirat", name) { mkdirat(raw, name, 0o755) }
      directory = try Files.open(name, at: directory, O_RDONLY | O_DIRECTORY)
    }
    _ = try Files.open("file", at: directory, O_WRONLY | O_CREAT, mode: 0o644)
    #expect(try await s.usage("a").inodes == 42)
    try await s.commit("deep", key: "a", labels: [:])
    #expect(try await s.usage("deep").inodes == 42)
    try await s.remove("deep")
    #expect(try Files.names(in: scratch.path + "/s/snapshots").isEmpty)
  }

  @Test func aChainLongerThanOnePageOfOptionsMountsWhole() async throws {
    let s = try snapshotter()
    var parent: String?
    for number in 0..<130 {
      let mounts = try await s.prepare("k\(number)", parent: parent, labels: [:])
      if number == 0 { try inTree(mounts) { try write($0 + "/deep", "bottom") } }
      try await s.commit("n\(number)", key: "k\(number)", labels: [:])
      parent = "n\(number)"
    }
    let mounts = try await s.prepare("top", parent: parent, labels: [:])
    #expect(mounts[0].options.joined(separator: ",").utf8.count > 4096)
    try inTree(mounts) { #expect(read($0 + "/deep") == "bottom") }
  }

  @Test func whatACrashLeavesIsRemovedAtTheNextStart() async throws {
    let root = scratch.path + "/s"
    do {
      let s = try snapshotter()
      _ = try await s.prepare("kept", parent: nil, labels: [:])
    }
    for name in ["new-77", "rm-5", "99"] { try Files.makeDirectories("\(root)/snapshots/\(name)/fs") }
    let s = try snapshotter()
    #expect(try Files.names(in: "\(root)/snapshots").count == 1)
    #expect(try await s.stat("kept").kind == .active)
  }

  @Test func ofTwoPreparesOfOneKeyOneWins() async throws {
    let s = try snapshotter()
    let wins = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 { group.addTask { await code { _ = try await s.prepare("same", parent: nil, labels: [:]) } == nil } }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(wins == 1)
  }

  @Test func aRootThatOptionsCannotCarryIsRefused() {
    #expect(throws: ContainerdError.self) { try OverlaySnapshotter(root: scratch.path + "/with,comma") }
  }

  @Test func modesDoNotDependOnTheUmask() async throws {
    await #expect(processExitsWith: .success) { [root = scratch.path + "/s" as String] in
      umask(0o077)
      let s = try OverlaySnapshotter(root: root)
      _ = try await s.prepare("a", parent: nil, labels: [:])
    }
    let modes = try ["", "/fs", "/work"].map { try Files.status("\(scratch.path)/s/snapshots/1\($0)").st_mode & 0o7777 }
    #expect(modes == [0o700, 0o755, 0o711])
  }

  /// A disk that is full does not tell whether overlays work: who took it for an answer would put something else over running containers.
  @Test func aFullDiskIsNoObstacle() throws {
    let root = scratch.path + "/full"
    try Files.makeDirectories(root)
    try Mounts.mount(type: "tmpfs", source: "tmpfs", target: root, options: ["nr_inodes=3"])
    defer { umount2(root, Int32(MNT_DETACH)) }
    try Files.makeDirectories(root + "/one")
    #expect(throws: SystemError.self) { try Files.makeDirectories(root + "/two/three") }
    #expect((#expect(throws: SystemError.self) { try OverlaySnapshotter.obstacle(root: root) })?.errno == ENOSPC)
    // What cannot be an overlay's upper directory is one.
    #expect(try OverlaySnapshotter.obstacle(root: "/proc/self")?.contains("/proc/self") == true)
  }

  @Test func whatAKilledProbeHasLeftIsRemoved() throws {
    let root = scratch.path + "/probed"
    // No process has this number; that one lives.
    let (dead, living) = ("\(root)/probe-\(Int32.max)", "\(root)/probe-1")
    for name in ["\(dead)/lower", "\(dead)/upper", "\(dead)/work", "\(dead)/merged", living] { try Files.makeDirectories(name) }
    try Mounts.mount(
      type: "overlay", source: "overlay", target: "\(dead)/merged", options: ["lowerdir=\(dead)/lower", "upperdir=\(dead)/upper", "workdir=\(dead)/work"])
    #expect(try OverlaySnapshotter.obstacle(root: root) == nil)
    #expect(try Files.names(in: root) == ["probe-1"])
  }

  /// As the kernel's overlay, so its directory: who commits what he has mounted goes on with it.
  @Test func whoHasItMountedKeepsTheWorkDirectory() async throws {
    let s = try snapshotter()
    let base = try await s.prepare("b", parent: nil, labels: [:])
    try inTree(base) { try write($0 + "/file", "base") }
    try await s.commit("base", key: "b", labels: [:])
    let mounts = try await s.prepare("active", parent: "base", labels: [:])
    let target = scratch.path + "/held"
    try Files.makeDirectories(target)
    try Mounts.mount(type: mounts[0].type, source: mounts[0].source, target: target, options: mounts[0].options)
    defer { umount2(target, Int32(MNT_DETACH)) }
    try await s.commit("made", key: "active", labels: [:])
    try await s.cleanup()
    #expect(rename(target + "/file", target + "/moved") == 0)
    #expect(read(target + "/moved") == "base")
  }
}
