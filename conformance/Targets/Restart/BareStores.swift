import Protocols

/// One content store and one snapshotter as they are, where a metadata store is asked for: so that the services can serve them without namespaces.
struct BareStores: MetadataStore {
  var store: (any ContentStore)?
  var snapshots: (any Snapshotter)?

  private var absent: ContainerdError { ContainerdError(.notImplemented, "a bare store keeps no metadata") }

  var namespaces: any NamespaceStore { NoNamespaces() }
  func images(in scope: Scope) throws -> any ImageStore { throw absent }
  func containers(in scope: Scope) throws -> any ContainerStore { throw absent }
  func leases(in scope: Scope) throws -> any LeaseStore { throw absent }
  func content(in scope: Scope) throws -> any ContentStore {
    guard let store else { throw absent }
    return store
  }
  func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter {
    guard let snapshots else { throw absent }
    return snapshots
  }
  var snapshotterNames: [String] { snapshots == nil ? [] : ["overlayfs"] }
  func collectGarbage() async throws -> GarbageReport { GarbageReport() }

  private struct NoNamespaces: NamespaceStore {
    private var absent: ContainerdError { ContainerdError(.notImplemented, "a bare store has no namespaces") }
    func get(_ name: String) async throws -> NamespaceRecord { throw absent }
    func list() async throws -> [NamespaceRecord] { [] }
    func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord { throw absent }
    func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord { throw absent }
    func delete(_ name: String) async throws { throw absent }
  }
}
