import ConformanceKit
import ConformanceSuites
import InMemoryFakes
import Protocols

/// A remote snapshotter without a network: it knows the layers of one image, and provides each without being given its files.
struct FakeRemoteSnapshotter: Snapshotter {
  let base: InMemorySnapshotter
  /// The parent of every layer that is known, nil for the lowest.
  let known: [String: String?]

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let parent = parent == "" ? nil : parent
    let mounts = try await base.prepare(key, parent: parent, labels: labels)
    // A layer belongs on one parent alone; asked for on another it is declined, and the client unpacks it.
    guard let layer = labels["containerd.io/snapshot.ref"], let place = known[layer], place == parent else { return mounts }
    do { try await base.commit(layer, key: key, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
      // Another pull was faster: the layer is there all the same.
      try await base.remove(key)
    }
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

extension Target {
  /// `inproc:fake-remote`: the fake remote snapshotter, which is also held to everything that an ordinary one is.
  static func fakeRemote(_ address: String) -> Target {
    let layers = ["sha256:chain-1", "sha256:chain-2", "sha256:chain-3"]
    let known: [String: String?] = [layers[0]: String?.none, layers[1]: layers[0], layers[2]: layers[1]]
    let make: @Sendable () -> FakeRemoteSnapshotter = { FakeRemoteSnapshotter(base: InMemorySnapshotter(), known: known) }
    var target = Target(address: address, capabilities: [.closing, .remote])
    target[SnapshotSubject.self] = { _ in SnapshotSubject(snapshotter: make()) }
    target[RemoteSnapshotSubject.self] = { _ in RemoteSnapshotSubject(snapshotter: make(), layers: layers, absent: "sha256:unknown") }
    return target
  }
}
