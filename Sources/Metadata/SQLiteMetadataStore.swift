import BlockingIO
import GRDB
import Protocols
import SystemKit

/// The metadata store in one SQLite file, over one content store and any number of snapshotters.
///
///     let store = try SQLiteMetadataStore(path: "…/meta.db", content: blobs, snapshotters: ["overlayfs": overlay], events: bus)
///     let images = try store.images(in: Scope(namespace: "default", lease: "pull-1"))
///
/// Every commit is on disk when the call returns (WAL, `synchronous=FULL`). Each backend has a *gate*: calls that make or link its
/// objects hold it shared from their first row to their last, and a collection holds it alone while it decides what no row names.
/// So what is being made is never taken for garbage. SQLite runs on a pool of its own, never on the cooperative one.
public final class SQLiteMetadataStore: MetadataStore {
  let backendContent: any ContentStore
  let backends: [String: any Snapshotter]
  let events: any EventPublisher
  let now: @Sendable () -> Timestamp
  let contentGate = Gate()
  let snapshotGates: [String: SnapshotGates]
  /// Held alone by a collection: two of them would remove the same things.
  let collecting = Gate()
  let holds = IngestHolds()
  private let database: DatabaseQueue
  private let pool = BlockingPool(label: "metadata", width: 4)

  public init(
    path: String, content: any ContentStore, snapshotters: [String: any Snapshotter], events: any EventPublisher,
    now: @escaping @Sendable () -> Timestamp = Timestamp.now
  ) throws {
    do {
      database = try DatabaseQueue(path: path)
      try database.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
      }
      // A damaged page would come to light in the middle of a collection, which must not decide on half of the references.
      if let damage = try database.read({ try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }), damage != "ok" {
        throw ContainerdError(.dataLoss, "metadata \(path) is damaged: \(damage)")
      }
      if try database.read(Schema.migrator.hasBeenSuperseded) {
        throw ContainerdError.failedPrecondition("metadata \(path): written by a newer version")
      }
      try Schema.migrator.migrate(database)
    } catch let error as ContainerdError {
      throw error
    } catch let error as DatabaseError where [.SQLITE_NOTADB, .SQLITE_CORRUPT].contains(error.resultCode) {
      throw ContainerdError(.dataLoss, "metadata \(path) is damaged: \(error)")
    } catch { throw ContainerdError.internalError("metadata \(path): \(error)") }
    self.backendContent = content
    self.backends = snapshotters
    self.snapshotGates = snapshotters.mapValues { _ in SnapshotGates() }
    self.events = events
    self.now = now
    let level = try synchronousLevel()
    // GRDB and distributions have their own defaults; less than FULL would lose commits on power failure.
    guard level == 2 else { throw ContainerdError.internalError("metadata \(path): synchronous is \(level), not FULL") }
  }

  public var namespaces: any NamespaceStore { SQLiteNamespaceStore(store: self) }
  public func images(in scope: Scope) throws -> any ImageStore { SQLiteImageStore(store: self, scope: try checked(scope)) }
  public func containers(in scope: Scope) throws -> any ContainerStore { SQLiteContainerStore(store: self, scope: try checked(scope)) }
  public func leases(in scope: Scope) throws -> any LeaseStore { SQLiteLeaseStore(store: self, scope: try checked(scope)) }
  public func content(in scope: Scope) throws -> any ContentStore { NamespacedContentStore(store: self, scope: try checked(scope)) }

  public func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter {
    guard let backend = backends[name], let gates = snapshotGates[name] else {
      throw ContainerdError.invalidArgument("snapshotter not loaded: \(name)")
    }
    return NamespacedSnapshotter(store: self, scope: try checked(scope), name: name, backend: backend, gates: gates)
  }

  public var snapshotterNames: [String] { backends.keys.sorted() }

  /// `PRAGMA synchronous` on the connection that writes: 2 is FULL. Blocks.
  public func synchronousLevel() throws -> Int {
    try wrapped { try database.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 } }
  }

  private func checked(_ scope: Scope) throws -> Scope {
    try Identifiers.validate(scope.namespace, kind: "namespace")
    return scope
  }

  // MARK: transactions

  func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
    try await pool.run { try self.wrapped { try self.database.read(body) } }
  }

  /// One transaction, on disk when this returns; a throw undoes it.
  func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
    try await pool.run {
      try self.wrapped {
        let value = try self.database.write { db in
          let value = try body(db)
          CrashPoint.pass("metadata.changed")
          return value
        }
        CrashPoint.pass("metadata.committed")
        return value
      }
    }
  }

  /// SQLite's errors, and those of decoding a row, in the words of the contract.
  private func wrapped<Value>(_ body: () throws -> Value) throws -> Value {
    do { return try body() } catch let error as ContainerdError {
      throw error
    } catch let error as DatabaseError {
      throw ContainerdError(error.resultCode == .SQLITE_FULL ? .resourceExhausted : .internalError, "metadata: \(error)")
    } catch { throw ContainerdError(.dataLoss, "metadata: \(error)") }
  }

  /// Only to be called once the change is durable.
  func publish(_ event: Event, in namespace: String) {
    events.publish(EventEnvelope(timestamp: now(), namespace: namespace, event: event))
  }
}

/// What orders the work on one snapshotter.
struct SnapshotGates: Sendable {
  /// Shared by whoever makes snapshots, alone for a collection.
  let making = Gate()
  /// Commits go one by one: of two with the same name the second must fail before its backend has committed.
  let committing = Gate()
  /// Shared by whoever names a snapshot that the backend had before, alone for the removal of one that could be named so.
  let linking = Gate()
}
