import Protocols

/// Any snapshotter, with all that is asked of it on a tape.
struct RecordedSnapshotter: Snapshotter {
  let base: any Snapshotter
  let tape: Tape

  func stat(_ key: String) async throws -> SnapshotInfo { try await tape.perform(.snapshots, "stat", [key]) { try await base.stat(key) } }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    try await tape.perform(.snapshots, "update", [info.name] + info.labels.words) { try await base.update(info, fields: fields) }
  }
  func usage(_ key: String) async throws -> SnapshotUsage { try await tape.perform(.snapshots, "usage", [key]) { try await base.usage(key) } }
  func mounts(_ key: String) async throws -> [Mount] {
    try await tape.perform(.snapshots, "mounts", [key], told: { $1.mounts = $0 }) { try await base.mounts(key) }
  }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await tape.perform(.snapshots, "prepare", [key, parent ?? ""] + labels.words, told: { $1.mounts = $0 }) {
      try await base.prepare(key, parent: parent, labels: labels)
    }
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await tape.perform(.snapshots, "view", [key, parent ?? ""] + labels.words, told: { $1.mounts = $0 }) {
      try await base.view(key, parent: parent, labels: labels)
    }
  }
  func commit(_ name: String, key: String, labels: Labels) async throws {
    try await tape.perform(.snapshots, "commit", [name, key] + labels.words) { try await base.commit(name, key: key, labels: labels) }
  }
  func remove(_ key: String) async throws { try await tape.perform(.snapshots, "remove", [key]) { try await base.remove(key) } }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    try await tape.perform(.snapshots, "walk", []) { try await base.walk(filters, visit) }
  }
  func cleanup() async throws { try await tape.perform(.snapshots, "cleanup", []) { try await base.cleanup() } }
  func close() async throws { try await tape.perform(.snapshots, "close", []) { try await base.close() } }
}
