import ConformanceWireSuites
import ContainerdAPI
import ContainerdClient
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// A metadata store at the other end of a socket.
struct RemoteMetadata: MetadataStore {
  let client: ContainerdClient
  let wire: WireConnection
  let snapshotterName: String
  /// The namespace of the lease whose end makes it collect.
  var collecting = "conformance-collects"

  var namespaces: any NamespaceStore { RemoteNamespaces(wire: wire) }
  func images(in scope: Scope) throws -> any ImageStore { of(scope).images }
  func containers(in scope: Scope) throws -> any ContainerStore { of(scope).containers }
  func leases(in scope: Scope) throws -> any LeaseStore { RemoteLeases(wire: wire, scope: scope) }
  func content(in scope: Scope) throws -> any ContentStore { of(scope).content }
  func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter { of(scope).snapshotter(name) }
  var snapshotterNames: [String] { [snapshotterName] }

  /// A lease that is deleted, and waited for. What was collected is not told.
  func collectGarbage() async throws -> GarbageReport {
    let leases = RemoteLeases(wire: wire, scope: Scope(namespace: collecting))
    // One may be there, of a collection that was killed.
    do { _ = try await leases.create(LeaseRecord(id: "collects")) } catch let error as ContainerdError where error.code == .alreadyExists {}
    try await leases.delete("collects", sync: true)
    return GarbageReport()
  }

  private func of(_ scope: Scope) -> ContainerdClient {
    var client = client
    client.scope = scope
    return client
  }
}

private func call<Value>(_ body: () async throws -> Value) async throws -> Value {
  do { return try await body() } catch let error as RPCError { throw ContainerdError(error) }
}

struct RemoteLeases: LeaseStore {
  let wire: WireConnection
  let scope: Scope
  private var leases: Containerd_Services_Leases_V1_Leases.Client<WireConnection.Transport> { .init(wrapping: wire.client) }
  private var metadata: Metadata { ["containerd-namespace": "\(scope.namespace)"] }

  func create(_ lease: LeaseRecord) async throws -> LeaseRecord {
    _ = try await call {
      try await leases.create(
        .with {
          $0.id = lease.id
          $0.labels = lease.labels
        }, metadata: metadata)
    }
    return lease
  }
  func delete(_ id: String) async throws { try await delete(id, sync: true) }
  func delete(_ id: String, sync: Bool) async throws {
    _ = try await call {
      try await leases.delete(
        .with {
          $0.id = id
          $0.sync = sync
        }, metadata: metadata)
    }
  }
  func list(_ filters: FilterSet) async throws -> [LeaseRecord] {
    try await call { try await leases.list(.with { $0.filters = filters.texts }, metadata: metadata).leases }.map {
      LeaseRecord(id: $0.id, labels: $0.labels, createdAt: Timestamp(seconds: $0.createdAt.seconds, nanoseconds: $0.createdAt.nanos))
    }
  }
  func addResource(_ resource: LeaseResource, to lease: String) async throws {
    _ = try await call {
      try await leases.addResource(
        .with {
          $0.id = lease
          $0.resource = .with {
            $0.id = resource.id
            $0.type = resource.type
          }
        }, metadata: metadata)
    }
  }
  func deleteResource(_ resource: LeaseResource, from lease: String) async throws {
    _ = try await call {
      try await leases.deleteResource(
        .with {
          $0.id = lease
          $0.resource = .with {
            $0.id = resource.id
            $0.type = resource.type
          }
        }, metadata: metadata)
    }
  }
  func resources(of lease: String) async throws -> [LeaseResource] {
    try await call { try await leases.listResources(.with { $0.id = lease }, metadata: metadata).resources }.map { LeaseResource(type: $0.type, id: $0.id) }
  }
}

struct RemoteNamespaces: NamespaceStore {
  let wire: WireConnection
  private var spaces: Containerd_Services_Namespaces_V1_Namespaces.Client<WireConnection.Transport> { .init(wrapping: wire.client) }

  func get(_ name: String) async throws -> NamespaceRecord {
    let space = try await call { try await spaces.get(.with { $0.name = name }, metadata: metadata(name)).namespace }
    return NamespaceRecord(name: space.name, labels: space.labels)
  }
  func list() async throws -> [NamespaceRecord] {
    try await call { try await spaces.list(.init()).namespaces }.map { NamespaceRecord(name: $0.name, labels: $0.labels) }
  }
  func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord {
    _ = try await call { try await spaces.create(.with { $0.namespace = message(namespace) }, metadata: metadata(namespace.name)) }
    return namespace
  }
  func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord {
    let space = try await call {
      try await spaces.update(
        .with {
          $0.namespace = message(namespace)
          $0.updateMask = .with { $0.paths = fields.paths }
        }, metadata: metadata(namespace.name)
      ).namespace
    }
    return NamespaceRecord(name: space.name, labels: space.labels)
  }
  func delete(_ name: String) async throws { _ = try await call { try await spaces.delete(.with { $0.name = name }, metadata: metadata(name)) } }

  /// containerd announces changes in the namespace of the call.
  private func metadata(_ name: String) -> Metadata { ["containerd-namespace": "\(name)"] }

  private func message(_ record: NamespaceRecord) -> Containerd_Services_Namespaces_V1_Namespace {
    .with {
      $0.name = record.name
      $0.labels = record.labels
    }
  }
}
