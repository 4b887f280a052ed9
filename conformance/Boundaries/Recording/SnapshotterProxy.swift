import Protocols

/// A snapshotter that hands on whatever it does not say otherwise.
protocol SnapshotterProxy: Snapshotter {
  var base: any Snapshotter { get }
}

extension SnapshotterProxy {
  func stat(_ key: String) async throws -> SnapshotInfo { try await base.stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await base.update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await base.usage(key) }
  func mounts(_ key: String) async throws -> [Mount] { try await base.mounts(key) }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.prepare(key, parent: parent, labels: labels) }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.view(key, parent: parent, labels: labels) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await base.commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws { try await base.remove(key) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await base.walk(filters, visit) }
  func cleanup() async throws { try await base.cleanup() }
  func close() async throws { try await base.close() }
}
