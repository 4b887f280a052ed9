import Foundation
import GRDB
import Protocols

/// Rows of the table, read inside a transaction.
enum Rows {
  static func exists(_ db: Database, _ key: String) throws -> Bool {
    try Int64.fetchOne(db, sql: "SELECT id FROM snapshot WHERE key = ?", arguments: [key]) != nil
  }

  static func hasChildren(_ db: Database, _ id: Int64) throws -> Bool {
    try Int64.fetchOne(db, sql: "SELECT id FROM snapshot WHERE parent = ? LIMIT 1", arguments: [id]) != nil
  }

  /// The number of a snapshot that may be a parent.
  static func committedParent(_ db: Database, _ key: String) throws -> Int64 {
    guard let row = try Row.fetchOne(db, sql: "SELECT id, kind FROM snapshot WHERE key = ?", arguments: [key]) else {
      throw ContainerdError.notFound("parent snapshot \(key)")
    }
    if row["kind"] != SnapshotInfo.Kind.committed.rawValue {
      throw ContainerdError.invalidArgument("parent \(key) is not a committed snapshot")
    }
    return row["id"]
  }

  static func entry(_ db: Database, _ key: String) throws -> SnapshotEntry {
    let sql = "SELECT s.*, p.key AS parentKey FROM snapshot s LEFT JOIN snapshot p ON p.id = s.parent WHERE s.key = ?"
    guard let row = try Row.fetchOne(db, sql: sql, arguments: [key]) else { throw ContainerdError.notFound("snapshot \(key)") }
    return SnapshotEntry(
      id: row["id"], parentIDs: try ancestors(db, of: row["parent"]), info: try info(row),
      usage: SnapshotUsage(inodes: row["inodes"], size: row["size"]))
  }

  static func all(_ db: Database) throws -> [SnapshotInfo] {
    try Row.fetchAll(db, sql: "SELECT s.*, p.key AS parentKey FROM snapshot s LEFT JOIN snapshot p ON p.id = s.parent ORDER BY s.id").map(info)
  }

  private static func ancestors(_ db: Database, of nearest: Int64?) throws -> [Int64] {
    guard let nearest else { return [] }
    return try Int64.fetchAll(
      db,
      sql: """
        WITH RECURSIVE chain(id, depth) AS (
          SELECT ?, 0 UNION ALL SELECT s.parent, depth + 1 FROM chain JOIN snapshot s ON s.id = chain.id WHERE s.parent IS NOT NULL)
        SELECT id FROM chain ORDER BY depth
        """, arguments: [nearest])
  }

  private static func info(_ row: Row) throws -> SnapshotInfo {
    let name: String = row["key"]
    let kindText: String = row["kind"]
    guard let kind = SnapshotInfo.Kind(rawValue: kindText), let created = Timestamp(rfc3339: row["created"]),
      let updated = Timestamp(rfc3339: row["updated"])
    else { throw ContainerdError(.dataLoss, "snapshot \(name): the index has a row that makes no sense") }
    return SnapshotInfo(
      kind: kind, name: name, parent: row["parentKey"], labels: try labels(row["labels"], of: name), createdAt: created, updatedAt: updated)
  }

  static func encode(_ labels: Labels) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return String(decoding: try encoder.encode(labels), as: UTF8.self)
  }

  private static func labels(_ text: String, of name: String) throws -> Labels {
    do { return try JSONDecoder().decode(Labels.self, from: Data(text.utf8)) } catch {
      throw ContainerdError(.dataLoss, "snapshot \(name): labels in the index: \(error)")
    }
  }
}
