import BlockingIO
import ConformanceSuites
import Protocols
import SystemKit

/// A snapshotter that runs, and what cases about restarts do with it.
struct SnapshotStage {
  let subject: RestartSnapshotSubject
  var process: any BackendProcess { subject.process }

  /// Starts it.
  static func open(_ subject: RestartSnapshotSubject) async throws -> (stage: SnapshotStage, snapshotter: any Snapshotter) {
    let stage = SnapshotStage(subject: subject)
    return (stage, try await stage.start())
  }

  func start(_ what: String = "the first start") async throws -> any Snapshotter {
    try await process.startAfter(what)
    return try await subject.open()
  }

  func layout() throws -> SnapshotLayout {
    guard let layout = subject.layout else { throw CaseSkipped(.capability, "where the backend keeps what is not known") }
    return layout
  }

  /// Every snapshot as a walk tells it, in the order of names.
  func all(_ snapshotter: any Snapshotter) async throws -> [SnapshotInfo] {
    let seen = Visited<SnapshotInfo>()
    try await snapshotter.walk(.all) { seen.append($0) }
    return seen.items.sorted { $0.name < $1.name }
  }

  /// The same, once a restarted backend has put things in order.
  func expectAll(_ wanted: [SnapshotInfo], _ snapshotter: any Snapshotter, _ what: String) async throws {
    let deadline = ContinuousClock.now + .seconds(subject.settling)
    while true {
      let found = try await all(snapshotter)
      if found == wanted { return }
      if ContinuousClock.now > deadline {
        let before = Set(wanted)
        let after = Set(found)
        let gone = before.subtracting(after).map { "\($0)" }.sorted().prefix(3)
        let new = after.subtracting(before).map { "\($0)" }.sorted().prefix(3)
        throw Mismatch(
          description:
            "\(what): \(wanted.count) snapshots were there, \(found.count) are; not as before: \(gone.joined(separator: "; ")); now: \(new.joined(separator: "; "))",
          expected: "\(what): every snapshot as it was", actual: "changed: \(gone.joined(separator: "; ")) → \(new.joined(separator: "; "))")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  /// A base with a file, a running container, and a view.
  func furnish(_ snapshotter: any Snapshotter) async throws {
    let mounts = try await snapshotter.prepare("making base", parent: nil, labels: ["l": "1"])
    try await subject.trees?.enter(mounts) { try $0.write("file", bytes("of the base")) }
    try await snapshotter.commit("base", key: "making base", labels: ["keep": "base"])
    let active = try await snapshotter.prepare("running", parent: "base", labels: ["keep": "active"])
    try await subject.trees?.enter(active) { try $0.write("own", bytes("of the container")) }
    _ = try await snapshotter.view("looking", parent: "base", labels: [:])
  }

  /// What `furnish` made is there, and can be used.
  func expectFurnished(_ snapshotter: any Snapshotter, _ what: String) async throws {
    let mounts = try await snapshotter.mounts("running")
    try await subject.trees?.enter(mounts) { tree in
      try expectEqual(try tree.read("own").map { String(decoding: $0, as: UTF8.self) }, "of the container", "\(what): the container's own file")
      try expectEqual(try tree.read("file").map { String(decoding: $0, as: UTF8.self) }, "of the base", "\(what): the base's file, in the container")
    }
    _ = try await snapshotter.mounts("looking")
    try expectEqual(try await snapshotter.stat("base").labels["keep"], "base", "\(what): the label of the base")
  }

  /// The directory that a snapshot has to itself: the entry of `layout.snapshots` that its mounts name last.
  func directory(of mounts: [Mount], below snapshots: String) throws -> String {
    guard let mount = mounts.last else { throw SuiteError("no mounts") }
    let places = [mount.source] + mount.options.filter { $0.hasPrefix("upperdir=") }.map { String($0.dropFirst(9)) }
    guard let place = places.last(where: { $0.hasPrefix(snapshots + "/") }), let entry = place.dropFirst(snapshots.count + 1).split(separator: "/").first else {
      throw CaseSkipped(.capability, "the mounts \(mounts) lie outside of \(snapshots)")
    }
    return "\(snapshots)/\(entry)"
  }
}

/// Blocking work on files, off the cooperative pool.
func onDisk<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value { try await DedicatedThread.run(body) }
