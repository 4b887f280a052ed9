import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdClient
import Hashing
import Protocols

/// The metadata of a daemon that others use too: every namespace is one of the case's own, and is called by the case as if it were alone.
struct SharedMetadata: MetadataStore {
  let base: RemoteMetadata
  /// What the names of the case's namespaces begin with in the daemon.
  let prefix: String

  var namespaces: any NamespaceStore { SharedNamespaces(base: base.namespaces, prefix: prefix) }
  func images(in scope: Scope) throws -> any ImageStore { try base.images(in: there(scope)) }
  func containers(in scope: Scope) throws -> any ContainerStore { try base.containers(in: there(scope)) }
  func leases(in scope: Scope) throws -> any LeaseStore { try base.leases(in: there(scope)) }
  func content(in scope: Scope) throws -> any ContentStore { try base.content(in: there(scope)) }
  func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter { try base.snapshotter(name, in: there(scope)) }
  var snapshotterNames: [String] { base.snapshotterNames }
  func collectGarbage() async throws -> GarbageReport { try await base.collectGarbage() }

  private func there(_ scope: Scope) -> Scope { Scope(namespace: prefix + scope.namespace, lease: scope.lease) }
}

private struct SharedNamespaces: NamespaceStore {
  let base: any NamespaceStore
  let prefix: String

  func get(_ name: String) async throws -> NamespaceRecord { here(try await base.get(there(name))) }
  func list() async throws -> [NamespaceRecord] { try await base.list().filter { $0.name.hasPrefix(prefix) }.map(here) }
  func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord { here(try await base.create(there(namespace))) }
  func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord {
    here(try await base.update(there(namespace), fields: fields))
  }
  func delete(_ name: String) async throws { try await base.delete(there(name)) }

  /// What is no name is left as it is: with the prefix it might be one.
  private func there(_ name: String) -> String {
    do { try Identifiers.validate(name, kind: "namespace") } catch { return name }
    return prefix + name
  }
  private func there(_ record: NamespaceRecord) -> NamespaceRecord { NamespaceRecord(name: there(record.name), labels: record.labels) }
  private func here(_ record: NamespaceRecord) -> NamespaceRecord {
    NamespaceRecord(name: record.name.hasPrefix(prefix) ? String(record.name.dropFirst(prefix.count)) : record.name, labels: record.labels)
  }
}

extension Target {
  /// The names that a daemon keeps, in namespaces that are removed when the case is over.
  static func sharedMetadata(socket: String, snapshotter: String, in workspace: Workspace) async throws -> MetadataSubject {
    let prefix = Namespaces.fresh(in: workspace) + "-"
    let recorder = RecordedCalls(record: workspace.record)
    let client = try await Connection.open(socket: socket, namespace: prefix + "n", recorder: recorder, in: workspace)
    let wire = try WireConnection(socket: socket, interceptors: [recorder])
    workspace.endings.add {
      for space in try await RemoteNamespaces(wire: wire).list() where space.name.hasPrefix(prefix) {
        var inside = client
        inside.scope = Scope(namespace: space.name)
        try await DaemonLeftovers(client: inside, wire: wire, namespace: space.name, snapshotter: snapshotter).remove()
        try await Namespaces.remove(space.name, socket: socket)
      }
      wire.close()
    }
    return MetadataSubject(
      store: SharedMetadata(
        base: RemoteMetadata(client: client, wire: wire, snapshotterName: snapshotter, collecting: prefix + "collects"), prefix: prefix),
      snapshotter: snapshotter, published: { [] }, now: Timestamp.now
    ) {
      try await Task.sleep(for: .seconds($0))
    } digest: {
      Digest.of($0)
    }
  }
}
