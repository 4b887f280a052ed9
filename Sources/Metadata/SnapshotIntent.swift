import GRDB
import Protocols

/// A commit that has begun: what the active `key` is to be called, by us and by the backend.
struct SnapshotIntent: Sendable {
  var namespace: String
  var snapshotter: String
  var key: String
  var name: String
  var oldBackendKey: String
  var backendName: String
  /// Encoded.
  var labels: String

  func store(_ db: Database) throws {
    try db.execute(
      sql: "INSERT OR REPLACE INTO snapshotCommit (namespace, snapshotter, key, name, backendName, labels) VALUES (?, ?, ?, ?, ?, ?)",
      arguments: [namespace, snapshotter, key, name, backendName, labels])
  }

  static func all(_ db: Database, snapshotter: String) throws -> [SnapshotIntent] {
    try fetch(db, "c.snapshotter = ?", [snapshotter])
  }

  /// Those that are about to take the key away, or to give something this name.
  static func concerning(_ db: Database, namespace: String, snapshotter: String, key: String) throws -> [SnapshotIntent] {
    try fetch(db, "c.namespace = ? AND c.snapshotter = ? AND (c.key = ? OR c.name = ?)", [namespace, snapshotter, key, key])
  }

  private static func fetch(_ db: Database, _ condition: String, _ arguments: StatementArguments) throws -> [SnapshotIntent] {
    try Row.fetchAll(
      db,
      sql: """
        SELECT c.*, s.backendKey AS oldBackendKey FROM snapshotCommit c JOIN snapshot s USING (namespace, snapshotter, key)
        WHERE \(condition) ORDER BY c.namespace, c.key
        """, arguments: arguments
    ).map {
      SnapshotIntent(
        namespace: $0["namespace"], snapshotter: $0["snapshotter"], key: $0["key"], name: $0["name"], oldBackendKey: $0["oldBackendKey"],
        backendName: $0["backendName"], labels: $0["labels"])
    }
  }

  func forget(_ db: Database) throws {
    try db.execute(
      sql: "DELETE FROM snapshotCommit WHERE namespace = ? AND snapshotter = ? AND key = ?", arguments: [namespace, snapshotter, key])
  }

  /// The backend has committed: the row follows. False if the key has lost its row meanwhile, or the name has got one: then what the
  /// backend has is garbage, and so is the key.
  static func finish(_ db: Database, _ intent: SnapshotIntent, at time: Timestamp) throws -> Bool {
    try intent.forget(db)
    let place: StatementArguments = [intent.namespace, intent.snapshotter]
    let type = "snapshots/\(intent.snapshotter)"
    let taken = try Int.fetchOne(
      db, sql: "SELECT 1 FROM snapshot WHERE namespace = ? AND snapshotter = ? AND key = ?", arguments: place + [intent.name])
    if taken != nil {
      try db.execute(
        sql: "DELETE FROM snapshot WHERE namespace = ? AND snapshotter = ? AND key = ? AND backendKey = ?",
        arguments: place + [intent.key, intent.oldBackendKey])
      if db.changesCount > 0 { try db.removeFromLeases(intent.namespace, type: type, id: intent.key) }
      return false
    }
    try db.execute(
      sql: """
        UPDATE snapshot SET key = ?, backendKey = ?, kind = ?, labels = ?, created = ?, updated = ?
        WHERE namespace = ? AND snapshotter = ? AND key = ? AND backendKey = ?
        """,
      arguments: [intent.name, intent.backendName, SnapshotInfo.Kind.committed.rawValue, intent.labels, time.description, time.description] + place
        + [intent.key, intent.oldBackendKey])
    if db.changesCount == 0 { return false }
    try db.renameInLeases(intent.namespace, type: type, from: intent.key, to: intent.name)
    return true
  }
}
