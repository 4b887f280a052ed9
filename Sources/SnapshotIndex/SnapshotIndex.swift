import GRDB
import Protocols
import Synchronization
import SystemKit

/// What a snapshotter knows about its snapshots, in one SQLite file: kinds, parents, labels, usage.
///
///     let index = try SnapshotIndex.open(path: "\(root)/index.db")
///     let entry = try index.create(kind: .active, key: "a", parent: nil, labels: [:]) { entry in
///       try rename("\(root)/new-\(entry.id)", "\(root)/\(entry.id)")
///     }
///
/// It enforces the contract of `Snapshotter` that is not about files. Every change takes a closure that runs inside the transaction,
/// before it commits: there the backend moves its directory into place, and a throw undoes the change.
///
/// Numbers only grow, and the number of a snapshot that was removed never comes back. A creation that was undone gives its number back
/// only to the next process: so a directory that it left behind must be removed at the start, or replaced in `beforeCommit`.
///
/// Calls follow one another, reads too: a row that a closure is at work on is never half seen. They block; make them off the
/// cooperative pool. Every error is a `ContainerdError`. When a change returns it is on disk (WAL, `synchronous=FULL`).
public final class SnapshotIndex: Sendable {
  private let database: DatabaseQueue
  private let now: @Sendable () -> Timestamp
  /// The highest number given out by this process, whether its transaction came to anything or not.
  private let issued = Mutex<Int64>(0)

  public init(path: String, now: @escaping @Sendable () -> Timestamp = Timestamp.now) throws {
    self.now = now
    do {
      database = try DatabaseQueue(path: path)
      try database.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
      }
      if try database.read(Schema.migrator.hasBeenSuperseded) {
        throw ContainerdError.failedPrecondition("snapshot index \(path): written by a newer version")
      }
      try Schema.migrator.migrate(database)
    } catch let error as ContainerdError {
      throw error
    } catch { throw ContainerdError(.internalError, "snapshot index \(path): \(error)") }
    let level = try synchronousLevel()
    // GRDB and distributions have their own defaults; less than FULL would lose commits on power failure.
    guard level == 2 else { throw ContainerdError.internalError("snapshot index \(path): synchronous is \(level), not FULL") }
  }

  public static func open(path: String) throws -> SnapshotIndex { try SnapshotIndex(path: path) }

  /// The value of `PRAGMA synchronous` on the connection that writes: 2 is FULL.
  public func synchronousLevel() throws -> Int { try read { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 } }

  /// Adds an active snapshot or a view. Errors as `Snapshotter.prepare`.
  public func create(
    kind: SnapshotInfo.Kind, key: String, parent: String?, labels: Labels, beforeCommit: (SnapshotEntry) throws -> Void = { _ in }
  ) throws -> SnapshotEntry {
    if key.isEmpty { throw ContainerdError.invalidArgument("snapshot key must not be empty") }
    if kind == .committed { throw ContainerdError.invalidArgument("snapshot \(key): only commit makes a committed snapshot") }
    return try insert(kind, key, parent, labels, beforeCommit)
  }

  /// Adds a committed snapshot that nobody has written: one whose contents are elsewhere. Errors as `Snapshotter.prepare`.
  public func adopt(_ name: String, parent: String?, labels: Labels, beforeCommit: (SnapshotEntry) throws -> Void) throws -> SnapshotEntry {
    if name.isEmpty { throw ContainerdError.invalidArgument("snapshot name must not be empty") }
    return try insert(.committed, name, parent, labels, beforeCommit)
  }

  private func insert(
    _ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels, _ beforeCommit: (SnapshotEntry) throws -> Void
  ) throws -> SnapshotEntry {
    try labels.validateLabels()
    return try write { db in
      if try Rows.exists(db, key) { throw ContainerdError.alreadyExists("snapshot \(key)") }
      var parentID: Int64?
      if let parent, !parent.isEmpty { parentID = try Rows.committedParent(db, parent) }
      let id = try nextNumber(db)
      let now = now().description
      try db.execute(
        sql: "INSERT INTO snapshot (id, key, kind, parent, labels, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?)",
        arguments: [id, key, kind.rawValue, parentID, Rows.encode(labels), now, now])
      let entry = try Rows.entry(db, key)
      try beforeCommit(entry)
      return entry
    }
  }

  /// `notFound` if there is no such key.
  public func get(_ key: String) throws -> SnapshotEntry { try read { try Rows.entry($0, key) } }

  /// Every snapshot as it was at one moment, oldest first.
  public func entries() throws -> [SnapshotEntry] { try read { db in try Rows.all(db).map { try Rows.entry(db, $0.name) } } }

  /// Changes labels as the mask says and returns what is stored.
  public func update(_ info: SnapshotInfo, fields: FieldMask) throws -> SnapshotEntry {
    try fields.validate(object: "snapshot \(info.name)")
    return try write { db in
      let old = try Rows.entry(db, info.name)
      let labels = fields.updatedLabels(of: old.info.labels, from: info.labels)
      try labels.validateLabels()
      try db.execute(
        sql: "UPDATE snapshot SET labels = ?, updated = ? WHERE id = ?", arguments: [Rows.encode(labels), now().description, old.id])
      return try Rows.entry(db, info.name)
    }
  }

  /// Turns the active `key` into the committed `name`. Errors as `Snapshotter.commit`. The closure gets the entry as it will be.
  public func commit(
    _ name: String, key: String, labels: Labels, usage: SnapshotUsage, beforeCommit: (SnapshotEntry) throws -> Void = { _ in }
  ) throws {
    if name.isEmpty { throw ContainerdError.invalidArgument("snapshot name must not be empty") }
    try labels.validateLabels()
    try write { db in
      let entry = try Rows.entry(db, key)
      if entry.info.kind != .active { throw ContainerdError.failedPrecondition("snapshot \(key) is not active") }
      if try Rows.exists(db, name) { throw ContainerdError.alreadyExists("snapshot \(name)") }
      let now = now().description
      try db.execute(
        sql: "UPDATE snapshot SET key = ?, kind = ?, labels = ?, created = ?, updated = ?, inodes = ?, size = ? WHERE id = ?",
        arguments: [name, SnapshotInfo.Kind.committed.rawValue, Rows.encode(labels), now, now, usage.inodes, usage.size, entry.id])
      try beforeCommit(try Rows.entry(db, name))
    }
  }

  /// Forgets a snapshot and returns its number. `notFound`, or `failedPrecondition` while it has children.
  public func remove(_ key: String, beforeCommit: (SnapshotEntry) throws -> Void = { _ in }) throws -> Int64 {
    try write { db in
      let entry = try Rows.entry(db, key)
      if try Rows.hasChildren(db, entry.id) { throw ContainerdError.failedPrecondition("cannot remove snapshot \(key): it has children") }
      try db.execute(sql: "DELETE FROM snapshot WHERE id = ?", arguments: [entry.id])
      try beforeCommit(entry)
      return entry.id
    }
  }

  /// Stores what the snapshot takes.
  public func setUsage(_ usage: SnapshotUsage, of key: String) throws {
    try write { db in
      try db.execute(sql: "UPDATE snapshot SET inodes = ?, size = ? WHERE key = ?", arguments: [usage.inodes, usage.size, key])
      if db.changesCount == 0 { throw ContainerdError.notFound("snapshot \(key)") }
    }
  }

  /// Visits what the filters match as it was at the call, oldest first. The visitor may call the index.
  public func walk(_ filters: FilterSet = .all, _ visit: (SnapshotInfo) throws -> Void) throws {
    for info in try read(Rows.all) where filters.matches(info) { try visit(info) }
  }

  /// The numbers of every snapshot there is: a directory with another number is left over.
  public func allIDs() throws -> Set<Int64> { try read { Set(try Int64.fetchAll($0, sql: "SELECT id FROM snapshot")) } }

  /// Those of committed snapshots.
  public func committedIDs() throws -> Set<Int64> {
    try read { Set(try Int64.fetchAll($0, sql: "SELECT id FROM snapshot WHERE kind = ?", arguments: [SnapshotInfo.Kind.committed.rawValue])) }
  }

  // MARK: transactions

  private func nextNumber(_ db: Database) throws -> Int64 {
    let stored = try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'snapshot'") ?? 0
    return issued.withLock { issued in
      issued = max(issued, stored) + 1
      return issued
    }
  }

  private func read<Value>(_ body: (Database) throws -> Value) throws -> Value { try wrapped { try database.read(body) } }

  private func write<Value>(_ body: (Database) throws -> Value) throws -> Value {
    try wrapped {
      let value = try database.write { db in
        let value = try body(db)
        CrashPoint.pass("index.changed")
        return value
      }
      CrashPoint.pass("index.committed")
      return value
    }
  }

  /// SQLite's errors in the words of the contract; what a closure throws passes as it is.
  private func wrapped<Value>(_ body: () throws -> Value) throws -> Value {
    do { return try body() } catch let error as DatabaseError {
      throw ContainerdError(error.resultCode == .SQLITE_FULL ? .resourceExhausted : .internalError, "snapshot index: \(error)")
    }
  }
}
