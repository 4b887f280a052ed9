import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct LeasesService: Containerd_Services_Leases_V1_Leases.SimpleServiceProtocol {
  let metadata: any MetadataStore
  let scheduleCollection: @Sendable () -> Void

  /// Leases are made and ended whatever lease the call itself carries: `ctr` deletes its lease with that lease's header.
  private func store() throws -> any LeaseStore { try metadata.leases(in: Scope(namespace: RequestScope.required().namespace)) }

  func create(request: Containerd_Services_Leases_V1_CreateRequest, context: ServerContext) async throws -> Containerd_Services_Leases_V1_CreateResponse {
    let id = request.id.isEmpty ? "\(Timestamp.now().nanoseconds)-\(String(UInt32.random(in: 0...UInt32.max), radix: 36))" : request.id
    let lease = try await store().create(LeaseRecord(id: id, labels: request.labels))
    return .with { $0.lease = lease.wire }
  }

  func delete(request: Containerd_Services_Leases_V1_DeleteRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await store().delete(request.id)
    if request.sync { try await metadata.collectGarbage() } else { scheduleCollection() }
    return Google_Protobuf_Empty()
  }

  func list(request: Containerd_Services_Leases_V1_ListRequest, context: ServerContext) async throws -> Containerd_Services_Leases_V1_ListResponse {
    let leases = try await store().list(FilterSet(parsing: request.filters))
    return .with { $0.leases = leases.map(\.wire) }
  }

  func addResource(request: Containerd_Services_Leases_V1_AddResourceRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await store().addResource(LeaseResource(type: request.resource.type, id: request.resource.id), to: request.id)
    return Google_Protobuf_Empty()
  }

  func deleteResource(request: Containerd_Services_Leases_V1_DeleteResourceRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await store().deleteResource(LeaseResource(type: request.resource.type, id: request.resource.id), from: request.id)
    return Google_Protobuf_Empty()
  }

  func listResources(
    request: Containerd_Services_Leases_V1_ListResourcesRequest, context: ServerContext
  ) async throws -> Containerd_Services_Leases_V1_ListResourcesResponse {
    let resources = try await store().resources(of: request.id)
    return .with {
      $0.resources = resources.map { resource in
        .with {
          $0.type = resource.type
          $0.id = resource.id
        }
      }
    }
  }
}

extension LeaseRecord {
  var wire: Containerd_Services_Leases_V1_Lease {
    .with {
      $0.id = id
      $0.createdAt = createdAt.wire
      $0.labels = labels
    }
  }
}
