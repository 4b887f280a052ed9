import Protocols
import Synchronization

/// A snapshotter in memory that can be told to fail: the backend below the metadata.
final class SnapshotBackend: Snapshotter {
  struct State {
    var snapshots: [String: SnapshotInfo] = [:]
    var updates = 0
    var cleanups = 0
    var removed: [String] = []
    /// Removals of keys that end like this fail.
    var failingRemoval: String?
    /// The commit happens, its answer is lost, and so is that of `stat`.
    var losesAnswers = false
    /// What happens while a commit is under way.
    var duringCommit: (@Sendable () async throws -> Void)?
    /// What happens after a snapshot has been committed, before the caller knows.
    var afterCommit: (@Sendable (String) async throws -> Void)?
    /// What happens after a snapshot has been removed, before the caller knows.
    var duringRemoval: (@Sendable (String) async throws -> Void)?
  }
  let state = Mutex(State())
  var keys: Set<String> { state.withLock { Set($0.snapshots.keys) } }

  func stat(_ key: String) async throws -> SnapshotInfo {
    try state.withLock { state in
      if state.losesAnswers { throw ContainerdError.unavailable("snapshot \(key): connection lost") }
      return try Self.get(state, key)
    }
  }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    try state.withLock { state in
      var stored = try Self.get(state, info.name)
      stored.labels = fields.updatedLabels(of: stored.labels, from: info.labels)
      state.snapshots[info.name] = stored
      state.updates += 1
      return stored
    }
  }
  func usage(_ key: String) async throws -> SnapshotUsage {
    _ = try state.withLock { try Self.get($0, key) }
    return SnapshotUsage(inodes: 3, size: 4096)
  }
  func mounts(_ key: String) async throws -> [Mount] {
    let info = try state.withLock { try Self.get($0, key) }
    if info.kind == .committed { throw ContainerdError.failedPrecondition("snapshot \(key) is committed") }
    return [Mount(type: "bind", source: "/backend/\(key)", options: [info.kind == .view ? "ro" : "rw"])]
  }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await make(.active, key, parent, labels) }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await make(.view, key, parent, labels) }
  private func make(_ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels) async throws -> [Mount] {
    try state.withLock { state in
      if state.snapshots[key] != nil { throw ContainerdError.alreadyExists("snapshot \(key)") }
      if let parent, try Self.get(state, parent).kind != .committed { throw ContainerdError.invalidArgument("parent \(parent)") }
      state.snapshots[key] = SnapshotInfo(kind: kind, name: key, parent: parent, labels: labels)
    }
    return try await mounts(key)
  }
  func commit(_ name: String, key: String, labels: Labels) async throws {
    try await state.withLock { $0.duringCommit }?()
    try state.withLock { state in
      var info = try Self.get(state, key)
      if info.kind != .active { throw ContainerdError.failedPrecondition("snapshot \(key) is not active") }
      info.kind = .committed
      info.name = name
      info.labels = labels
      state.snapshots[key] = nil
      state.snapshots[name] = info
      if state.losesAnswers { throw ContainerdError.unavailable("snapshot \(key): connection lost") }
    }
    try await state.withLock { $0.afterCommit }?(name)
  }
  func remove(_ key: String) async throws {
    try state.withLock { state in
      _ = try Self.get(state, key)
      if state.snapshots.values.contains(where: { $0.parent == key }) { throw ContainerdError.failedPrecondition("snapshot \(key) has children") }
      if let suffix = state.failingRemoval, key.hasSuffix(suffix) { throw ContainerdError.unavailable("snapshot \(key): device busy") }
      state.snapshots[key] = nil
      state.removed.append(key)
    }
    try await state.withLock { $0.duringRemoval }?(key)
  }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    for info in state.withLock({ Array($0.snapshots.values) }) where filters.matches(info) { try await visit(info) }
  }
  func cleanup() async throws { state.withLock { $0.cleanups += 1 } }
  func close() async throws {}

  private static func get(_ state: borrowing State, _ key: String) throws -> SnapshotInfo {
    guard let info = state.snapshots[key] else { throw ContainerdError.notFound("snapshot \(key)") }
    return info
  }
}
