import GRDB

/// The tables. Everything is namespaced but the sequence that numbers backend objects. A later form is a migration of its own, never a
/// change to an earlier one.
enum Schema {
  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 objects") { db in
      try db.execute(
        sql: """
          CREATE TABLE namespace (name TEXT PRIMARY KEY, labels TEXT NOT NULL DEFAULT '{}') WITHOUT ROWID;
          CREATE TABLE sequence (id INTEGER PRIMARY KEY AUTOINCREMENT);
          CREATE TABLE image (
            namespace TEXT NOT NULL REFERENCES namespace(name), name TEXT NOT NULL, labels TEXT NOT NULL,
            mediaType TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, annotations TEXT NOT NULL,
            created TEXT NOT NULL, updated TEXT NOT NULL, PRIMARY KEY (namespace, name)) WITHOUT ROWID;
          CREATE TABLE container (
            namespace TEXT NOT NULL REFERENCES namespace(name), id TEXT NOT NULL, labels TEXT NOT NULL, image TEXT NOT NULL,
            runtime TEXT NOT NULL, options BLOB, optionsType TEXT, spec BLOB, specType TEXT, snapshotter TEXT NOT NULL,
            snapshotKey TEXT NOT NULL, extensions TEXT NOT NULL, sandbox TEXT NOT NULL,
            created TEXT NOT NULL, updated TEXT NOT NULL, PRIMARY KEY (namespace, id)) WITHOUT ROWID;
          CREATE TABLE lease (
            namespace TEXT NOT NULL REFERENCES namespace(name), id TEXT NOT NULL, labels TEXT NOT NULL, created TEXT NOT NULL,
            PRIMARY KEY (namespace, id)) WITHOUT ROWID;
          CREATE TABLE leaseResource (
            namespace TEXT NOT NULL, lease TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
            PRIMARY KEY (namespace, lease, type, id),
            FOREIGN KEY (namespace, lease) REFERENCES lease(namespace, id) ON DELETE CASCADE) WITHOUT ROWID;
          CREATE TABLE content (
            namespace TEXT NOT NULL REFERENCES namespace(name), digest TEXT NOT NULL, size INTEGER NOT NULL, labels TEXT NOT NULL,
            created TEXT NOT NULL, updated TEXT NOT NULL, PRIMARY KEY (namespace, digest)) WITHOUT ROWID;
          CREATE TABLE ingest (
            namespace TEXT NOT NULL REFERENCES namespace(name), ref TEXT NOT NULL, backendRef TEXT NOT NULL UNIQUE,
            expected TEXT, expires TEXT NOT NULL, PRIMARY KEY (namespace, ref)) WITHOUT ROWID;
          CREATE TABLE snapshot (
            namespace TEXT NOT NULL REFERENCES namespace(name), snapshotter TEXT NOT NULL, key TEXT NOT NULL, backendKey TEXT NOT NULL,
            parent TEXT NOT NULL, kind TEXT NOT NULL, labels TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
            PRIMARY KEY (namespace, snapshotter, key), UNIQUE (snapshotter, backendKey)) WITHOUT ROWID;
          CREATE INDEX snapshotByParent ON snapshot (namespace, snapshotter, parent);
          """)
    }
    // A commit has two halves, the backend's and ours. The intention is on disk before either, so that a crash between them is healed.
    migrator.registerMigration("2 snapshot commits") { db in
      try db.execute(
        sql: """
          CREATE TABLE snapshotCommit (
            namespace TEXT NOT NULL, snapshotter TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, backendName TEXT NOT NULL,
            labels TEXT NOT NULL, PRIMARY KEY (namespace, snapshotter, key),
            FOREIGN KEY (namespace, snapshotter, key) REFERENCES snapshot(namespace, snapshotter, key) ON DELETE CASCADE) WITHOUT ROWID;
          """)
    }
    // Namespaces share what a remote snapshotter has, so one backend key may have several rows.
    migrator.registerMigration("3 shared snapshots") { db in
      try db.execute(
        sql: """
          CREATE TABLE sharedSnapshot (
            namespace TEXT NOT NULL REFERENCES namespace(name), snapshotter TEXT NOT NULL, key TEXT NOT NULL, backendKey TEXT NOT NULL,
            parent TEXT NOT NULL, kind TEXT NOT NULL, labels TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
            PRIMARY KEY (namespace, snapshotter, key)) WITHOUT ROWID;
          INSERT INTO sharedSnapshot SELECT namespace, snapshotter, key, backendKey, parent, kind, labels, created, updated FROM snapshot;
          DROP TABLE snapshot;
          ALTER TABLE sharedSnapshot RENAME TO snapshot;
          CREATE INDEX snapshotByParent ON snapshot (namespace, snapshotter, parent);
          CREATE INDEX snapshotByBackendKey ON snapshot (snapshotter, backendKey);
          """)
    }
    return migrator
  }
}
