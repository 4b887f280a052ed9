import Protocols

/// Any snapshotter, with its calls recorded as those of `InMemorySnapshotter` are.
public struct TracedSnapshotter: Snapshotter {
  private let snapshotter: any Snapshotter
  private let recorder: Recorder

  public init(_ snapshotter: any Snapshotter, trace: CallTrace, component: String = "snapshots") {
    self.snapshotter = snapshotter
    self.recorder = Recorder(component: component, trace: trace)
  }

  public func stat(_ key: String) async throws -> SnapshotInfo {
    recorder("stat", key)
    return try await snapshotter.stat(key)
  }

  public func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    recorder("update", info.name, fields.paths.joined(separator: " "))
    return try await snapshotter.update(info, fields: fields)
  }

  public func usage(_ key: String) async throws -> SnapshotUsage {
    recorder("usage", key)
    return try await snapshotter.usage(key)
  }

  public func mounts(_ key: String) async throws -> [Mount] {
    recorder("mounts", key)
    return try await snapshotter.mounts(key)
  }

  public func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    recorder("prepare", key, parent ?? "")
    return try await snapshotter.prepare(key, parent: parent, labels: labels)
  }

  public func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    recorder("view", key, parent ?? "")
    return try await snapshotter.view(key, parent: parent, labels: labels)
  }

  public func commit(_ name: String, key: String, labels: Labels) async throws {
    recorder("commit", name, key)
    try await snapshotter.commit(name, key: key, labels: labels)
  }

  public func remove(_ key: String) async throws {
    recorder("remove", key)
    try await snapshotter.remove(key)
  }

  public func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    recorder("walk")
    try await snapshotter.walk(filters, visit)
  }

  public func cleanup() async throws {
    recorder("cleanup")
    try await snapshotter.cleanup()
  }

  public func close() async throws {
    recorder("close")
    try await snapshotter.close()
  }
}
