import Protocols
import Synchronization

/// A remote snapshotter: some layers it has without being given their files.
struct RemoteBackend: Snapshotter {
  let base = SnapshotBackend()
  var provides: Set<String> = []
  /// Said to be there, and not.
  var lost: Set<String> = []
  /// Heeds no filter.
  var ignoresFilters = false

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    guard let layer = labels["containerd.io/snapshot.ref"] else { return try await base.prepare(key, parent: parent, labels: labels) }
    if lost.contains(layer) { throw ContainerdError.alreadyExists("target snapshot \(layer)") }
    guard provides.contains(layer) else { return try await base.prepare(key, parent: parent, labels: labels) }
    let isThere = base.state.withLock { state in
      state.snapshots.values.contains { $0.labels["containerd.io/snapshot.ref"] == layer && $0.parent == parent && $0.kind == .committed }
    }
    if !isThere {
      _ = try await base.prepare(key, parent: parent, labels: labels)
      try await base.commit("remote \(layer) on \(parent ?? "nothing")", key: key, labels: labels)
    }
    throw ContainerdError.alreadyExists("target snapshot \(layer)")
  }

  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    try await base.walk(ignoresFilters ? .all : filters, visit)
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.view(key, parent: parent, labels: labels) }
  func stat(_ key: String) async throws -> SnapshotInfo { try await base.stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await base.update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await base.usage(key) }
  func mounts(_ key: String) async throws -> [Mount] { try await base.mounts(key) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await base.commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws { try await base.remove(key) }
  func cleanup() async throws { try await base.cleanup() }
  func close() async throws {}
}
