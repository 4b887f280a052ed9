import Protocols

/// A snapshotter around another. Every call is handed on, but those that are given here.
struct SnapshotterWrapper: Snapshotter {
  typealias Making = @Sendable (_ base: any Snapshotter, _ key: String, _ parent: String?, _ labels: Labels) async throws -> [Mount]

  let base: any Snapshotter
  var onStat: (@Sendable (any Snapshotter, String) async throws -> SnapshotInfo)?
  var onUpdate: (@Sendable (any Snapshotter, SnapshotInfo, FieldMask) async throws -> SnapshotInfo)?
  var onUsage: (@Sendable (any Snapshotter, String) async throws -> SnapshotUsage)?
  var onMounts: (@Sendable (any Snapshotter, String) async throws -> [Mount])?
  var onPrepare: Making?
  var onView: Making?
  var onCommit: (@Sendable (any Snapshotter, _ name: String, _ key: String, Labels) async throws -> Void)?
  var onRemove: (@Sendable (any Snapshotter, String) async throws -> Void)?
  var onWalk: (@Sendable (any Snapshotter, FilterSet, @Sendable (SnapshotInfo) async throws -> Void) async throws -> Void)?
  var onCleanup: (@Sendable (any Snapshotter) async throws -> Void)?
  var onClose: (@Sendable (any Snapshotter) async throws -> Void)?

  init(_ base: any Snapshotter, _ change: (inout SnapshotterWrapper) -> Void = { _ in }) {
    self.base = base
    change(&self)
  }

  func stat(_ key: String) async throws -> SnapshotInfo {
    if let onStat { return try await onStat(base, key) }
    return try await base.stat(key)
  }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    if let onUpdate { return try await onUpdate(base, info, fields) }
    return try await base.update(info, fields: fields)
  }
  func usage(_ key: String) async throws -> SnapshotUsage {
    if let onUsage { return try await onUsage(base, key) }
    return try await base.usage(key)
  }
  func mounts(_ key: String) async throws -> [Mount] {
    if let onMounts { return try await onMounts(base, key) }
    return try await base.mounts(key)
  }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    if let onPrepare { return try await onPrepare(base, key, parent, labels) }
    return try await base.prepare(key, parent: parent, labels: labels)
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    if let onView { return try await onView(base, key, parent, labels) }
    return try await base.view(key, parent: parent, labels: labels)
  }
  func commit(_ name: String, key: String, labels: Labels) async throws {
    if let onCommit { return try await onCommit(base, name, key, labels) }
    try await base.commit(name, key: key, labels: labels)
  }
  func remove(_ key: String) async throws {
    if let onRemove { return try await onRemove(base, key) }
    try await base.remove(key)
  }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    if let onWalk { return try await onWalk(base, filters, visit) }
    try await base.walk(filters, visit)
  }
  func cleanup() async throws {
    if let onCleanup { return try await onCleanup(base) }
    try await base.cleanup()
  }
  func close() async throws {
    if let onClose { return try await onClose(base) }
    try await base.close()
  }
}
