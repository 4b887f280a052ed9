import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct NamespacesService: Containerd_Services_Namespaces_V1_Namespaces.SimpleServiceProtocol {
  let store: any NamespaceStore

  func get(
    request: Containerd_Services_Namespaces_V1_GetNamespaceRequest, context: ServerContext
  ) async throws -> Containerd_Services_Namespaces_V1_GetNamespaceResponse {
    let namespace = try await store.get(request.name)
    return .with { $0.namespace = namespace.wire }
  }

  func list(
    request: Containerd_Services_Namespaces_V1_ListNamespacesRequest, context: ServerContext
  ) async throws -> Containerd_Services_Namespaces_V1_ListNamespacesResponse {
    let namespaces = try await store.list()
    return .with { $0.namespaces = namespaces.map(\.wire) }
  }

  func create(
    request: Containerd_Services_Namespaces_V1_CreateNamespaceRequest, context: ServerContext
  ) async throws -> Containerd_Services_Namespaces_V1_CreateNamespaceResponse {
    let namespace = try await store.create(NamespaceRecord(name: request.namespace.name, labels: request.namespace.labels))
    return .with { $0.namespace = namespace.wire }
  }

  func update(
    request: Containerd_Services_Namespaces_V1_UpdateNamespaceRequest, context: ServerContext
  ) async throws -> Containerd_Services_Namespaces_V1_UpdateNamespaceResponse {
    let namespace = try await store.update(
      NamespaceRecord(name: request.namespace.name, labels: request.namespace.labels), fields: FieldMask(wire: request.updateMask))
    return .with { $0.namespace = namespace.wire }
  }

  func delete(request: Containerd_Services_Namespaces_V1_DeleteNamespaceRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await store.delete(request.name)
    return Google_Protobuf_Empty()
  }
}

extension NamespaceRecord {
  var wire: Containerd_Services_Namespaces_V1_Namespace {
    .with {
      $0.name = name
      $0.labels = labels
    }
  }
}
