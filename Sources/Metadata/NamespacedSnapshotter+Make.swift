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

  private enum Answer: Sendable {
    case free(Plan)
    /// What is there already, in words.
    case taken(String)
  }

  /// The backend's snapshot first, then the row and the lease: a row never names a snapshot that is not there.
  private func make(
    _ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels, _ create: (String, String?, Labels) async throws -> [Mount]
  ) async throws -> [Mount] {
    if key.isEmpty { throw ContainerdError.invalidArgument("snapshot key must not be empty") }
    try labels.validateLabels()
    return try await gates.making.passing {
      let target = Self.target(labels)
      let plan: Plan
      switch try await store.write({ try self.plan($0, key, parent, target) }) {
      case .free(let free): plan = free
      case .taken(let what): throw ContainerdError.alreadyExists(what)
      }
      let mounts = try await made(plan, key, parent, labels, target) {
        try await renamed(plan.backendKey, key) { try await create(plan.backendKey, plan.backendParent, inherited(labels)) }
      }
      do {
        let now = store.now()
        let info = SnapshotInfo(kind: kind, name: key, parent: parent, labels: labels, createdAt: now, updatedAt: now)
        if try await !insert(Entry(backendKey: plan.backendKey, info: info), backendParent: plan.backendParent) {
          throw ContainerdError.alreadyExists("snapshot \(key)")
        }
        return mounts
      } catch {
        // Somebody was faster, or the parent or the lease is gone: what was made serves nobody. If it cannot be removed now the next
        // collection does it; the caller wants the first error.
        do { try await backend.remove(plan.backendKey) } catch {}
        throw error
      }
    }
  }

  /// What the backend makes; or, if it has the target without the client's help, a name for that, and `alreadyExists`.
  private func made(
    _ plan: Plan, _ key: String, _ parent: String?, _ labels: Labels, _ target: String?, _ create: () async throws -> [Mount]
  ) async throws -> [Mount] {
    var attempts = 2
    while true {
      do { return try await create() } catch let error as ContainerdError where error.code == .alreadyExists {
        guard let target else {
          // The key is numbered, and new: this is no answer that a client could act on.
          throw ContainerdError(.unknown, "snapshotter \(name) has the new snapshot \(key) already: \(error)")
        }
        if try await link(target, parent, backendParent: plan.backendParent, labels) {
          throw ContainerdError.alreadyExists("target snapshot \(target)")
        }
        attempts -= 1
        // A collection may have come between the backend's answer and our look.
        if attempts == 0 {
          throw ContainerdError(.unknown, "snapshotter \(name) says that it has the snapshot \(target), but there is none on \(parent ?? "nothing"): \(error)")
        }
      }
    }
  }

  /// What is taken is in use by this lease all the same, for the caller goes on with the snapshot that is there.
  private func plan(_ db: Database, _ key: String, _ parent: String?, _ target: String?) throws -> Answer {
    try db.ensureNamespace(scope.namespace)
    try db.requireLease(scope)
    if let target, try row(db, target) != nil {
      try db.addToLease(scope, type: leaseType, id: target)
      return .taken("target snapshot \(target)")
    }
    if try row(db, key) != nil {
      try db.addToLease(scope, type: leaseType, id: key)
      return .taken("snapshot \(key)")
    }
    let backendParent = try backendParent(db, parent)
    return .free(Plan(backendKey: "\(scope.namespace)/\(try db.nextSequence())/\(key)", backendParent: backendParent))
  }

  /// The row for what the backend has. False if the name has been taken since the plan; then it is in use by this lease.
  func insert(_ entry: Entry, backendParent: String?) async throws -> Bool {
    while true {
      switch try await store.write({ db in try insert(db, entry, backendParent) }) {
      case .inserted: return true
      case .taken: return false
      case .promised: try await settleCommits(concerning: entry.info.name)
      }
    }
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

  private func insert(_ db: Database, _ entry: Entry, _ expectedParent: String?) throws -> Insertion {
    let info = entry.info
    if try !SnapshotIntent.concerning(db, namespace: scope.namespace, snapshotter: name, key: info.name).isEmpty { return .promised }
    try db.addToLease(scope, type: leaseType, id: info.name)
    if try row(db, info.name) != nil { return .taken }
    // Removals do not wait for us: the parent may have lost its row since the plan, or be another snapshot of the same name.
    if try backendParent(db, info.parent) != expectedParent { throw ContainerdError.notFound("parent snapshot \(info.parent ?? "")") }
    try db.ensureNamespace(scope.namespace)
    try db.execute(
      sql: "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      arguments: [
        scope.namespace, name, info.name, entry.backendKey, info.parent ?? "", info.kind.rawValue, Codec.encode(info.labels), info.createdAt.description,
        info.updatedAt.description,
      ])
    return .inserted
  }

  private func backendParent(_ db: Database, _ parent: String?) throws -> String? {
    guard let parent, !parent.isEmpty else { return nil }
    guard let row = try row(db, parent) else { throw ContainerdError.notFound("parent snapshot \(parent)") }
    let entry = try Self.entry(row)
    if entry.info.kind != .committed { throw ContainerdError.invalidArgument("parent \(parent) is not a committed snapshot") }
    return entry.backendKey
  }
}
