import GRDB
import Protocols

extension NamespacedSnapshotter {
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let mounts = try await make(.active, key, parent, labels) { try await backend.prepare($0, parent: $1, labels: $2) }
    store.publish(.snapshotPrepare(key: key, parent: parent ?? "", snapshotter: name), in: scope.namespace)
    return mounts
  }

  /// Announced to nobody, as in containerd.
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await make(.view, key, parent, labels) { try await backend.view($0, parent: $1, labels: $2) }
  }

  private struct Plan: Sendable {
    var backendKey: String
    var backendParent: String?
  }

  /// The backend's snapshot first, then the row and the lease: a row never names a snapshot that is not there.
  private func make(
    _ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels, _ create: (String, String?, Labels) async throws -> [Mount]
  ) async throws -> [Mount] {
    if key.isEmpty { throw ContainerdError.invalidArgument("snapshot key must not be empty") }
    try labels.validateLabels()
    return try await gates.making.passing {
      guard let plan = try await store.write({ try plan($0, key, parent) }) else { throw ContainerdError.alreadyExists("snapshot \(key)") }
      let mounts = try await renamed(plan.backendKey, key) { try await create(plan.backendKey, plan.backendParent, inherited(labels)) }
      do {
        while true {
          switch try await store.write({ db in try insert(db, kind, key, parent, labels, plan) }) {
          case .inserted: return mounts
          case .taken: throw ContainerdError.alreadyExists("snapshot \(key)")
          case .promised: try await settleCommits(concerning: key)
          }
        }
      } catch {
        // Somebody was faster, or the parent or the lease is gone: what was made serves nobody. If it cannot be removed now the next
        // collection does it; the caller wants the first error.
        do { try await backend.remove(plan.backendKey) } catch {}
        throw error
      }
    }
  }

  /// nil if the key is taken: even so it is in use by this lease, for the caller goes on with the snapshot that is there.
  private func plan(_ db: Database, _ key: String, _ parent: String?) throws -> Plan? {
    try db.ensureNamespace(scope.namespace)
    try db.requireLease(scope)
    if try row(db, key) != nil {
      try db.addToLease(scope, type: leaseType, id: key)
      return nil
    }
    let backendParent = try backendParent(db, parent)
    return Plan(backendKey: "\(scope.namespace)/\(try db.nextSequence())/\(key)", backendParent: backendParent)
  }

  /// Waits for the commit that is under way, and ends those that a crash has left half done.
  private func settleCommits(concerning key: String) async throws {
    try await gates.committing.passing {
      let left = try await store.read { try SnapshotIntent.concerning($0, namespace: scope.namespace, snapshotter: name, key: key) }
      for intent in left { try await store.settle(intent, backend) }
    }
  }

  private enum Insertion: Sendable {
    case inserted
    /// The key has been taken since the plan.
    case taken
    /// A commit is about to give it to another snapshot.
    case promised
  }

  private func insert(
    _ db: Database, _ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels, _ plan: Plan
  ) throws -> Insertion {
    if try !SnapshotIntent.concerning(db, namespace: scope.namespace, snapshotter: name, key: key).isEmpty { return .promised }
    try db.addToLease(scope, type: leaseType, id: key)
    if try row(db, key) != nil { return .taken }
    // Removals do not wait for us: the parent may have lost its row since the plan, or be another snapshot of the same name.
    if try backendParent(db, parent) != plan.backendParent { throw ContainerdError.notFound("parent snapshot \(parent ?? "")") }
    let now = store.now().description
    try db.ensureNamespace(scope.namespace)
    try db.execute(
      sql: "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      arguments: [scope.namespace, name, key, plan.backendKey, parent ?? "", kind.rawValue, Codec.encode(labels), now, now])
    return .inserted
  }

  private func backendParent(_ db: Database, _ parent: String?) throws -> String? {
    guard let parent, !parent.isEmpty else { return nil }
    guard let row = try row(db, parent) else { throw ContainerdError.notFound("parent snapshot \(parent)") }
    let entry = try Self.entry(row)
    if entry.info.kind != .committed { throw ContainerdError.failedPrecondition("parent \(parent) is not a committed snapshot") }
    return entry.backendKey
  }
}
