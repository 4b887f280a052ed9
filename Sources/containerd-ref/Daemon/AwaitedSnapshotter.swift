import Protocols
import Synchronization

/// A snapshotter that is still being made: calls wait for it.
///
/// See `Reception`.
final class AwaitedSnapshotter: Snapshotter {
  private enum State {
    case awaited([CheckedContinuation<any Snapshotter, Never>])
    case there(any Snapshotter)
  }
  private let state = Mutex(State.awaited([]))

  /// To be called once.
  func become(_ snapshotter: any Snapshotter) {
    let waiting = state.withLock { state in
      guard case .awaited(let waiting) = state else { return [] as [CheckedContinuation<any Snapshotter, Never>] }
      state = .there(snapshotter)
      return waiting
    }
    for one in waiting { one.resume(returning: snapshotter) }
  }

  private func there() async throws -> any Snapshotter {
    let snapshotter = await whenMade()
    // Who has given up meanwhile gets nothing made.
    try Task.checkCancellation()
    return snapshotter
  }

  private func whenMade() async -> any Snapshotter {
    await withCheckedContinuation { continuation in
      let snapshotter = state.withLock { state -> (any Snapshotter)? in
        switch state {
        case .there(let snapshotter): return snapshotter
        case .awaited(let waiting):
          state = .awaited(waiting + [continuation])
          return nil
        }
      }
      if let snapshotter { continuation.resume(returning: snapshotter) }
    }
  }

  func stat(_ key: String) async throws -> SnapshotInfo { try await there().stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await there().update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await there().usage(key) }
  func mounts(_ key: String) async throws -> [Mount] { try await there().mounts(key) }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await there().prepare(key, parent: parent, labels: labels) }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await there().view(key, parent: parent, labels: labels) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await there().commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws { try await there().remove(key) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await there().walk(filters, visit) }
  func cleanup() async throws { try await there().cleanup() }
  func close() async throws { try await there().close() }
}
