import GRDB

/// The table. A later form is a migration of its own, never a change to this one.
enum Schema {
  static var migrator: DatabaseMigrator {
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
}
