import GRDB
import Protocols

/// A name in the metadata whose bytes or files are not there.
public struct MissingObject: Hashable, Sendable {
  /// `content` or `snapshots/NAME`.
  public var kind: String
  public var namespace: String
  /// Digest or key, as clients know it.
  public var id: String
  /// What the backend should have.
  public var backendID: String
}

extension SQLiteMetadataStore {
  /// Every row whose backend object is missing, in order of kind, namespace and id; empty on a sound store. Changes nothing.
  public func verify() async throws -> [MissingObject] {
    var missing = try await contentGate.closing { try await self.missingContent() }
    for (name, backend) in backends.sorted(by: { $0.key < $1.key }) {
      guard let gates = snapshotGates[name] else { continue }
      missing += try await gates.making.closing { try await self.missingSnapshots(name, backend) }
    }
    return missing
  }

  private func missingContent() async throws -> [MissingObject] {
    let walked = Walked<ContentInfo>()
    try await backendContent.walk(.all) { await walked.append($0) }
    let present = Set(await walked.items.map(\.digest.description))
    return try await read { db in
      try Row.fetchAll(db, sql: "SELECT namespace, digest FROM content ORDER BY namespace, digest").map {
        MissingObject(kind: "content", namespace: $0["namespace"], id: $0["digest"], backendID: $0["digest"])
      }
    }.filter { !present.contains($0.backendID) }
  }

  private func missingSnapshots(_ name: String, _ backend: any Snapshotter) async throws -> [MissingObject] {
    let walked = Walked<SnapshotInfo>()
    try await backend.walk(.all) { await walked.append($0) }
    let present = Set(await walked.items.map(\.name))
    return try await read { db in
      try Row.fetchAll(
        db, sql: "SELECT namespace, key, backendKey FROM snapshot WHERE snapshotter = ? ORDER BY namespace, key", arguments: [name]
      ).map { MissingObject(kind: "snapshots/\(name)", namespace: $0["namespace"], id: $0["key"], backendID: $0["backendKey"]) }
    }.filter { !present.contains($0.backendID) }
  }
}
