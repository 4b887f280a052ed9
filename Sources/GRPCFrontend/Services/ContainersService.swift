import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct ContainersService: Containerd_Services_Containers_V1_Containers.SimpleServiceProtocol {
  let metadata: any MetadataStore
  let scheduleCollection: @Sendable () -> Void

  private func store() throws -> any ContainerStore { try metadata.containers(in: RequestScope.required()) }

  func get(
    request: Containerd_Services_Containers_V1_GetContainerRequest, context: ServerContext
  ) async throws -> Containerd_Services_Containers_V1_GetContainerResponse {
    let container = try await store().get(request.id)
    return .with { $0.container = container.wire }
  }

  func list(
    request: Containerd_Services_Containers_V1_ListContainersRequest, context: ServerContext
  ) async throws -> Containerd_Services_Containers_V1_ListContainersResponse {
    let containers = try await store().list(FilterSet(parsing: request.filters))
    return .with { $0.containers = containers.map(\.wire) }
  }

  func listStream(
    request: Containerd_Services_Containers_V1_ListContainersRequest,
    response: RPCWriter<Containerd_Services_Containers_V1_ListContainerMessage>, context: ServerContext
  ) async throws {
    for container in try await store().list(FilterSet(parsing: request.filters)) {
      try await response.write(.with { $0.container = container.wire })
    }
  }

  func create(
    request: Containerd_Services_Containers_V1_CreateContainerRequest, context: ServerContext
  ) async throws -> Containerd_Services_Containers_V1_CreateContainerResponse {
    let container = try await store().create(ContainerRecord(wire: request.container))
    return .with { $0.container = container.wire }
  }

  func update(
    request: Containerd_Services_Containers_V1_UpdateContainerRequest, context: ServerContext
  ) async throws -> Containerd_Services_Containers_V1_UpdateContainerResponse {
    let container = try await store().update(ContainerRecord(wire: request.container), fields: FieldMask(wire: request.updateMask))
    return .with { $0.container = container.wire }
  }

  func delete(request: Containerd_Services_Containers_V1_DeleteContainerRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await store().delete(request.id)
    scheduleCollection()
    return Google_Protobuf_Empty()
  }
}
