import ConformanceSuites
import ContainerdAPI
import ContainerdClient
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

extension DaemonSubject {
  /// The daemon's collections as the contracts' stores. Leases and namespaces are asked for by the wire's messages: the client has no words for them.
  public var collections: CollectionSubject {
    CollectionSubject(
      images: client.images, containers: client.containers, leases: DaemonLeases(daemon: self), namespaces: DaemonNamespaces(daemon: self),
      prefix: "\(namespace)-", keep: self)
  }
}

private struct DaemonLeases: LeaseStore {
  let daemon: DaemonSubject

  func create(_ lease: LeaseRecord) async throws -> LeaseRecord {
    try await daemon.call {
      record(
        try await daemon.leases.create(
          .with {
            $0.id = lease.id
            $0.labels = lease.labels
          }, metadata: daemon.metadata()
        ).lease)
    }
  }
  func delete(_ id: String) async throws { _ = try await daemon.call { try await daemon.leases.delete(.with { $0.id = id }, metadata: daemon.metadata()) } }
  func list(_ filters: FilterSet) async throws -> [LeaseRecord] {
    try await daemon.call { try await daemon.leases.list(.init(), metadata: daemon.metadata()).leases.map(record) }.filter(filters.matches)
  }
  func addResource(_ resource: LeaseResource, to lease: String) async throws {
    _ = try await daemon.call {
      try await daemon.leases.addResource(
        .with {
          $0.id = lease
          $0.resource.type = resource.type
          $0.resource.id = resource.id
        }, metadata: daemon.metadata())
    }
  }
  func deleteResource(_ resource: LeaseResource, from lease: String) async throws {
    _ = try await daemon.call {
      try await daemon.leases.deleteResource(
        .with {
          $0.id = lease
          $0.resource.type = resource.type
          $0.resource.id = resource.id
        }, metadata: daemon.metadata())
    }
  }
  func resources(of lease: String) async throws -> [LeaseResource] {
    try await daemon.call {
      try await daemon.leases.listResources(.with { $0.id = lease }, metadata: daemon.metadata()).resources.map { LeaseResource(type: $0.type, id: $0.id) }
    }
  }

  private func record(_ lease: Containerd_Services_Leases_V1_Lease) -> LeaseRecord {
    LeaseRecord(id: lease.id, labels: lease.labels, createdAt: Timestamp(wire: lease.createdAt))
  }
}

/// The header is sent with these too: containerd publishes what it does in the namespace of whoever asked.
private struct DaemonNamespaces: NamespaceStore {
  let daemon: DaemonSubject

  func get(_ name: String) async throws -> NamespaceRecord {
    try await daemon.call { record(try await daemon.spaces.get(.with { $0.name = name }, metadata: daemon.metadata()).namespace) }
  }
  func list() async throws -> [NamespaceRecord] {
    try await daemon.call { try await daemon.spaces.list(.init(), metadata: daemon.metadata()).namespaces.map(record) }
  }
  func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord {
    try await daemon.call { record(try await daemon.spaces.create(.with { $0.namespace = message(namespace) }, metadata: daemon.metadata()).namespace) }
  }
  func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord {
    try await daemon.call {
      record(
        try await daemon.spaces.update(
          .with {
            $0.namespace = message(namespace)
            $0.updateMask.paths = fields.paths
          }, metadata: daemon.metadata()
        ).namespace)
    }
  }
  func delete(_ name: String) async throws {
    _ = try await daemon.call { try await daemon.spaces.delete(.with { $0.name = name }, metadata: daemon.metadata()) }
  }

  private func record(_ namespace: Containerd_Services_Namespaces_V1_Namespace) -> NamespaceRecord {
    NamespaceRecord(name: namespace.name, labels: namespace.labels)
  }
  private func message(_ namespace: NamespaceRecord) -> Containerd_Services_Namespaces_V1_Namespace {
    .with {
      $0.name = namespace.name
      $0.labels = namespace.labels
    }
  }
}
