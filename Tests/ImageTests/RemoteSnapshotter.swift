import InMemoryFakes
import Protocols
import Synchronization

/// Has some layers without being given their files.
final class RemoteSnapshotter: Snapshotter {
  let base: InMemorySnapshotter
  let provides: Set<String>
  private let told = Mutex<[Labels]>([])
  /// The labels of every `prepare`.
  var labels: [Labels] { told.withLock { $0 } }

  init(_ base: InMemorySnapshotter, provides: Set<String>) {
    self.base = base
    self.provides = provides
  }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    told.withLock { $0.append(labels) }
    let mounts = try await base.prepare(key, parent: parent, labels: labels)
    guard let layer = labels["containerd.io/snapshot.ref"], provides.contains(layer) else { return mounts }
    try await base.commit(layer, key: key, labels: labels)
    throw ContainerdError.alreadyExists("target snapshot \(layer)")
  }

  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.view(key, parent: parent, labels: labels) }
  func stat(_ key: String) async throws -> SnapshotInfo { try await base.stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await base.update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await base.usage(key) }
  func mounts(_ key: String) async throws -> [Mount] { try await base.mounts(key) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await base.commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws { try await base.remove(key) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await base.walk(filters, visit) }
  func cleanup() async throws { try await base.cleanup() }
  func close() async throws { try await base.close() }
}
