import Foundation
import GRDB
import Protocols

/// What a snapshotter knows about its snapshots, in one SQLite file: kinds, parents, labels, usage.
///
/// It enforces the contract of `Snapshotter` that is not about files. Every change takes a closure that runs inside the
/// transaction, before it commits: there the backend moves its directory into place, and a throw undoes the row. Numbers are never used twice, so that a
/// directory left by a crash can never be taken for a new snapshot's.
///
/// Methods block; call them off the cooperative pool. Safe from several threads.
public final class SnapshotIndex: Sendable {
  private let database: DatabaseQueue

  public init(path: String) throws {
    do {
      database = try DatabaseQueue(path: path)
      try database.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA journal_mode = WAL")
        try db.execute(sql: "PRAGMA synchronous = FULL")
        try db.execute(sql: "PRAGMA foreign_keys = ON")
        try db.execute(sql: "PRAGMA busy_timeout = 10000")
      }
      try Self.migrator.migrate(database)
    } catch { throw ContainerdError(.internalError, "snapshot index \(path): \(error)") }
  }

  private static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("snapshots") { db in
      try db.execute(
        sql: """
          CREATE TABLE snapshot (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            parent INTEGER REFERENCES snapshot(id),
            labels TEXT NOT NULL,
            created TEXT NOT NULL,
            updated TEXT NOT NULL,
            inodes INTEGER NOT NULL DEFAULT 0,
            size INTEGER NOT NULL DEFAULT 0
          );
          CREATE INDEX snapshot_by_parent ON snapshot(parent);
          """)
    }
    return migrator
  }

  /// The value of `PRAGMA synchronous`: 2 is FULL.
  public func synchronousLevel() throws -> Int { try read { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 } }

  /// Adds an active snapshot or a view. Errors as `Snapshotter.prepare`.
  public func create(
    _ kind: SnapshotInfo.Kind, key: String, parent: String?, labels: Labels, beforeCommit: (SnapshotEntry) throws -> Void
  ) throws -> SnapshotEntry {
    if key.isEmpty { throw ContainerdError.invalidArgument("snapshot key must not be empty") }
    try labels.validateLabels()
    return try write { db in
      if try Row.fetchOne(db, sql: "SELECT id FROM snapshot WHERE key = ?", arguments: [key]) != nil {
        throw ContainerdError.alreadyExists("snapshot \(key)")
      }
      var parentID: Int64?
      if let parent, !parent.isEmpty {
        guard let row = try Row.fetchOne(db, sql: "SELECT id, kind FROM snapshot WHERE key = ?", arguments: [parent]) else {
          throw ContainerdError.notFound("parent snapshot \(parent)")
        }
        if row["kind"] != SnapshotInfo.Kind.committed.rawValue {
          throw ContainerdError.failedPrecondition("parent \(parent) is not a committed snapshot")
        }
        parentID = row["id"]
      }
      let now = Timestamp.now().description
      try db.execute(
        sql: "INSERT INTO snapshot (key, kind, parent, labels, created, updated) VALUES (?, ?, ?, ?, ?, ?)",
        arguments: [key, kind.rawValue, parentID, encode(labels), now, now])
      let entry = try Self.entry(db, key)
      try beforeCommit(entry)
      return entry
    }
  }

  /// `notFound` if there is no such key.
  public func get(_ key: String) throws -> SnapshotEntry { try read { try Self.entry($0, key) } }

  public func update(_ info: SnapshotInfo, fields: FieldMask) throws -> SnapshotEntry {
    try fields.validate(object: "snapshot \(info.name)")
    return try write { db in
      let old = try Self.entry(db, info.name)
      let labels = fields.updatedLabels(of: old.info.labels, from: info.labels)
      try labels.validateLabels()
      try db.execute(
        sql: "UPDATE snapshot SET labels = ?, updated = ? WHERE id = ?", arguments: [encode(labels), Timestamp.now().description, old.id])
      return try Self.entry(db, info.name)
    }
  }

  /// Turns the active `key` into the committed `name`.
  public func commit(_ name: String, key: String, labels: Labels, usage: SnapshotUsage) throws {
    if name.isEmpty { throw ContainerdError.invalidArgument("snapshot name must not be empty") }
    try labels.validateLabels()
    try write { db in
      let entry = try Self.entry(db, key)
      if entry.info.kind != .active { throw ContainerdError.failedPrecondition("snapshot \(key) is not active") }
      if name != key, try Row.fetchOne(db, sql: "SELECT id FROM snapshot WHERE key = ?", arguments: [name]) != nil {
        throw ContainerdError.alreadyExists("snapshot \(name)")
      }
      let now = Timestamp.now().description
      try db.execute(
        sql: "UPDATE snapshot SET key = ?, kind = ?, labels = ?, created = ?, updated = ?, inodes = ?, size = ? WHERE id = ?",
        arguments: [name, SnapshotInfo.Kind.committed.rawValue, encode(labels), now, now, usage.inodes, usage.size, entry.id])
    }
  }

  /// Forgets a snapshot without children and returns its number.
  public func remove(_ key: String) throws -> Int64 {
    try write { db in
      let entry = try Self.entry(db, key)
      if try Row.fetchOne(db, sql: "SELECT id FROM snapshot WHERE parent = ? LIMIT 1", arguments: [entry.id]) != nil {
        throw ContainerdError.failedPrecondition("snapshot \(key) has children")
      }
      try db.execute(sql: "DELETE FROM snapshot WHERE id = ?", arguments: [entry.id])
      return entry.id
    }
  }

  public func all() throws -> [SnapshotInfo] {
    try read { db in
      try Row.fetchAll(db, sql: "SELECT s.*, p.key AS parentKey FROM snapshot s LEFT JOIN snapshot p ON p.id = s.parent ORDER BY s.id").map(Self.info)
    }
  }

  public func numbers() throws -> Set<Int64> { try read { Set(try Int64.fetchAll($0, sql: "SELECT id FROM snapshot")) } }

  // MARK: rows

  private static func entry(_ db: Database, _ key: String) throws -> SnapshotEntry {
    let sql = "SELECT s.*, p.key AS parentKey FROM snapshot s LEFT JOIN snapshot p ON p.id = s.parent WHERE s.key = ?"
    guard let row = try Row.fetchOne(db, sql: sql, arguments: [key]) else { throw ContainerdError.notFound("snapshot \(key)") }
    var parents: [Int64] = []
    var next: Int64? = row["parent"]
    while let id = next {
      parents.append(id)
      next = try Int64?.fetchOne(db, sql: "SELECT parent FROM snapshot WHERE id = ?", arguments: [id]) ?? nil
    }
    return SnapshotEntry(
      id: row["id"], parents: parents, info: try info(row), usage: SnapshotUsage(inodes: row["inodes"], size: row["size"]))
  }

  private static func info(_ row: Row) throws -> SnapshotInfo {
    let kind: String = row["kind"]
    return SnapshotInfo(
      kind: SnapshotInfo.Kind(rawValue: kind) ?? .active, name: row["key"], parent: row["parentKey"], labels: try decode(row["labels"]),
      createdAt: Timestamp(rfc3339: row["created"]) ?? .never, updatedAt: Timestamp(rfc3339: row["updated"]) ?? .never)
  }

  private func read<Value>(_ body: (Database) throws -> Value) throws -> Value {
    do { return try database.read(body) } catch let error as DatabaseError { throw ContainerdError(.internalError, "snapshot index: \(error)") }
  }

  private func write<Value>(_ body: (Database) throws -> Value) throws -> Value {
    do { return try database.write(body) } catch let error as DatabaseError { throw ContainerdError(.internalError, "snapshot index: \(error)") }
  }
}

public struct SnapshotEntry: Sendable {
  public let id: Int64
  /// Numbers of the parents, nearest first.
  public let parents: [Int64]
  public let info: SnapshotInfo
  /// What a committed snapshot took when it was committed.
  public let usage: SnapshotUsage
}

private func encode(_ labels: Labels) throws -> String { String(decoding: try JSONEncoder().encode(labels), as: UTF8.self) }
private func decode(_ text: String) throws -> Labels { try JSONDecoder().decode(Labels.self, from: Data(text.utf8)) }
