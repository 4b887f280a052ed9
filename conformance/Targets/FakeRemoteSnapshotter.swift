import ConformanceKit
import ConformanceSuites
import InMemoryFakes
import Protocols
import Synchronization

/// A remote snapshotter without a network: it knows the layers of one image, and provides each without being given its files.
struct FakeRemoteSnapshotter: Snapshotter {
  let base: InMemorySnapshotter
  /// The parent of every layer that is known, nil for the lowest.
  let known: [String: String?]
  let source: FakeLayerSource

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let parent = parent == "" ? nil : parent
    let mounts = try await base.prepare(key, parent: parent, labels: labels)
    // A layer belongs on one parent alone; asked for on another it is declined, and the client unpacks it.
    guard let layer = labels["containerd.io/snapshot.ref"], let place = known[layer], place == parent else { return mounts }
    // What cannot be asked for is declined as well.
    guard source.ask() else { return mounts }
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

/// Stands for the registry behind a remote snapshotter.
final class FakeLayerSource: Sendable {
  private struct State {
    var isReachable = true
    var requests = 0
  }
  private let state = Mutex(State())
  var requests: Int { state.withLock { $0.requests } }
  func reach(_ reachable: Bool) { state.withLock { $0.isReachable = reachable } }

  /// Whether it answers.
  func ask() -> Bool {
    state.withLock { state in
      state.requests += 1
      return state.isReachable
    }
  }
}

extension Target {
  /// `inproc:fake-remote`: the fake remote snapshotter, which is also held to everything that an ordinary one is.
  static func fakeRemote(_ address: String) -> Target {
    let layers = ["sha256:chain-1", "sha256:chain-2", "sha256:chain-3"]
    let known: [String: String?] = [layers[0]: String?.none, layers[1]: layers[0], layers[2]: layers[1]]
    let make: @Sendable (FakeLayerSource) -> FakeRemoteSnapshotter = { FakeRemoteSnapshotter(base: InMemorySnapshotter(), known: known, source: $0) }
    var target = Target(address: address, capabilities: [.closing, .remote, .source])
    target[SnapshotSubject.self] = { _ in SnapshotSubject(snapshotter: make(FakeLayerSource())) }
    target[RemoteSnapshotSubject.self] = { _ in
      let source = FakeLayerSource()
      return RemoteSnapshotSubject(
        snapshotter: make(source), layers: layers, absent: "sha256:unknown",
        source: RemoteSource(reach: { source.reach($0) }, requests: { source.requests }))
    }
    return target
  }
}
