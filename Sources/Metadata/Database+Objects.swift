import GRDB
import Protocols

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

  /// `notFound` if the call names a lease that does not exist: told before a backend does work in vain.
  func requireLease(_ scope: Scope) throws {
    guard let lease = scope.lease else { return }
    if try Int.fetchOne(self, sql: "SELECT 1 FROM lease WHERE namespace = ? AND id = ?", arguments: [scope.namespace, lease]) == nil {
      throw ContainerdError.notFound("lease \"\(lease)\"")
    }
  }

  /// Adds the object to the call's lease, if it has one, in the call's transaction. `notFound` for an unknown lease.
  func addToLease(_ scope: Scope, type: String, id: String) throws {
    guard let lease = scope.lease else { return }
    try requireLease(scope)
    try execute(
      sql: "INSERT OR IGNORE INTO leaseResource (namespace, lease, type, id) VALUES (?, ?, ?, ?)",
      arguments: [scope.namespace, lease, type, id])
  }

  /// An object that is gone is held by nobody: an object of the same name made later starts without holders.
  func removeFromLeases(_ namespace: String, type: String, id: String) throws {
    try execute(sql: "DELETE FROM leaseResource WHERE namespace = ? AND type = ? AND id = ?", arguments: [namespace, type, id])
  }

  /// Whoever held the object under its old name holds it under the new one.
  func renameInLeases(_ namespace: String, type: String, from old: String, to new: String) throws {
    try execute(
      sql: "UPDATE OR IGNORE leaseResource SET id = ? WHERE namespace = ? AND type = ? AND id = ?", arguments: [new, namespace, type, old])
    try removeFromLeases(namespace, type: type, id: old)
  }
}

extension ContainerdError {
  /// The error with our name for the object in the place of the backend's numbered one.
  func renaming(_ backendName: String, to name: String) -> ContainerdError {
    ContainerdError(code, message.replacing(backendName, with: name))
  }
}

/// Runs what asks a backend, and lets its errors speak of our names.
func renamed<Value>(_ backendName: String, _ name: String, _ body: () async throws -> Value) async throws -> Value {
  do { return try await body() } catch let error as ContainerdError { throw error.renaming(backendName, to: name) }
}
