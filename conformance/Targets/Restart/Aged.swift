import GRDB

/// A database as a later version of this package would leave it.
enum Aged {
  static func database(_ path: String) throws {
    let database = try DatabaseQueue(path: path)
    try database.write { try $0.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES ('9999 of a later version')") }
    try database.close()
  }
}
