import BlockingIO
import GRDB
import Protocols

/// The metadata store in one SQLite file, over one content store and any number of snapshotters.
///
/// Every commit is on disk when the call returns (WAL, `synchronous=FULL`). Calls that make or link backend objects hold the *gate* shared;
/// a collection holds it alone: between a blob's arrival and its row no collector ever runs.
public final class SQLiteMetadataStore: MetadataStore {
  let backendContent: any ContentStore
  let backends: [String: any Snapshotter]
  let events: any EventPublisher
  let now: @Sendable () -> Timestamp
  let database: DatabaseQueue
  let pool = BlockingPool(label: "metadata", width: 4)
  let gate = Gate()

  public init(
    path: String, content: any ContentStore, snapshotters: [String: any Snapshotter], events: any EventPublisher,
    now: @escaping @Sendable () -> Timestamp = Timestamp.now
  ) throws {
    do {
      database = try DatabaseQueue(path: path)
      try database.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000")
      }
      try Schema.migrator.migrate(database)
    } catch { throw ContainerdError.internalError("metadata \(path): \(error)") }
    self.backendContent = content
    self.backends = snapshotters
    self.events = events
    self.now = now
  }

  public var namespaces: any NamespaceStore { SQLiteNamespaceStore(store: self) }
  public func images(in scope: Scope) throws -> any ImageStore { SQLiteImageStore(store: self, scope: try checked(scope)) }
  public func containers(in scope: Scope) throws -> any ContainerStore { SQLiteContainerStore(store: self, scope: try checked(scope)) }
  public func leases(in scope: Scope) throws -> any LeaseStore { SQLiteLeaseStore(store: self, scope: try checked(scope)) }
  public func content(in scope: Scope) throws -> any ContentStore { NamespacedContentStore(store: self, scope: try checked(scope)) }

  public func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter {
    guard let backend = backends[name] else { throw ContainerdError.invalidArgument("snapshotter not loaded: \(name)") }
    return NamespacedSnapshotter(store: self, scope: try checked(scope), name: name, backend: backend)
  }

  public var snapshotterNames: [String] { backends.keys.sorted() }

  /// `PRAGMA synchronous` as the writer sees it: 2 is FULL.
  public func synchronousLevel() throws -> Int { try database.read { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 } }

  private func checked(_ scope: Scope) throws -> Scope {
    try Identifiers.validate(scope.namespace, kind: "namespace")
    return scope
  }

  // MARK: transactions

  func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
    try await pool.run { try self.wrapped { try self.database.read(body) } }
  }

  func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
    try await pool.run { try self.wrapped { try self.database.write(body) } }
  }

  private func wrapped<Value>(_ body: () throws -> Value) throws -> Value {
    do { return try body() } catch let error as DatabaseError { throw ContainerdError.internalError("metadata: \(error)") }
  }

  func publish(_ event: Event, in namespace: String) {
    events.publish(EventEnvelope(timestamp: now(), namespace: namespace, event: event))
  }
}

extension Database {
  /// Makes the namespace if need be: creating anything in it creates it.
  func ensureNamespace(_ name: String) throws { try execute(sql: "INSERT OR IGNORE INTO namespace (name) VALUES (?)", arguments: [name]) }

  /// A number that no backend object has had.
  func nextSequence() throws -> Int64 {
    try execute(sql: "INSERT INTO sequence DEFAULT VALUES")
    let id = lastInsertedRowID
    try execute(sql: "DELETE FROM sequence WHERE id < ?", arguments: [id])
    return id
  }

  /// Adds the object to the call's lease, in the call's transaction. `notFound` for an unknown lease.
  func addToLease(_ scope: Scope, type: String, id: String) throws {
    guard let lease = scope.lease else { return }
    guard try Row.fetchOne(self, sql: "SELECT 1 FROM lease WHERE namespace = ? AND id = ?", arguments: [scope.namespace, lease]) != nil else {
      throw ContainerdError.notFound("lease \"\(lease)\"")
    }
    try execute(
      sql: "INSERT OR IGNORE INTO leaseResource (namespace, lease, type, id) VALUES (?, ?, ?, ?)",
      arguments: [scope.namespace, lease, type, id])
  }
}
