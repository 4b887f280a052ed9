import GRDB
import Protocols

extension NamespacedSnapshotter {
  /// Three steps, each durable before the next: the intention, the backend's commit, the new name. A crash before the second leaves
  /// the active snapshot as it was; after it, the next collection finishes the third.
  func commit(_ newName: String, key: String, labels: Labels) async throws {
    if newName.isEmpty { throw ContainerdError.invalidArgument("snapshot name must not be empty") }
    try labels.validateLabels()
    try await gates.making.passing {
      try await gates.committing.closing {
        // Alone, there is no commit under way: what is intended with these names is left over, and comes first.
        for name in [key, newName] {
          let left = try await store.read { try SnapshotIntent.concerning($0, namespace: scope.namespace, snapshotter: self.name, key: name) }
          for intent in left { try await store.settle(intent, backend) }
        }
        guard let intent = try await store.write({ try intend(newName, key, labels, $0) }) else {
          throw ContainerdError.alreadyExists("snapshot \(newName)")
        }
        do {
          try await renamed(intent.oldBackendKey, key) {
            try await renamed(intent.backendName, newName) {
              try await backend.commit(intent.backendName, key: intent.oldBackendKey, labels: inherited(labels))
            }
          }
        } catch {
          // Nothing happened, or the answer was lost: the backend is asked which. If it cannot say, a collection asks again, for the
          // intention stays until then.
          do { try await store.settle(intent, backend) } catch {}
          throw error
        }
        let finished = try await store.write { db in
          let finished = try SnapshotIntent.finish(db, intent, at: store.now())
          if finished { try db.addToLease(scope, type: leaseType, id: newName) }
          return finished
        }
        if !finished { throw ContainerdError.notFound("snapshot \(key)") }
      }
    }
    store.publish(.snapshotCommit(key: key, name: newName, snapshotter: name), in: scope.namespace)
  }

  /// nil if the name is taken; it is in use by this lease all the same.
  private func intend(_ newName: String, _ key: String, _ labels: Labels, _ db: Database) throws -> SnapshotIntent? {
    try db.requireLease(scope)
    let old = try entry(db, key)
    if try row(db, newName) != nil {
      try db.addToLease(scope, type: leaseType, id: newName)
      return nil
    }
    if old.info.kind != .active { throw ContainerdError.failedPrecondition("snapshot \(key) is not active") }
    let intent = SnapshotIntent(
      namespace: scope.namespace, snapshotter: name, key: key, name: newName, oldBackendKey: old.backendKey,
      backendName: "\(scope.namespace)/\(try db.nextSequence())/\(newName)", labels: try Codec.encode(labels))
    try intent.store(db)
    return intent
  }
}
