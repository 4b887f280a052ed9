import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// The containers of a daemon: what to run, not what runs.
struct RemoteContainerStore: ContainerStore {
  typealias API = Containerd_Services_Containers_V1_Containers
  let connection: ContainerdClient

  private var api: API.Client<ContainerdClient.Transport> { API.Client(wrapping: connection.client) }
  private var metadata: Metadata { connection.metadata }

  func get(_ id: String) async throws -> ContainerRecord {
    try await connection.call { ContainerRecord(wire: try await api.get(.with { $0.id = id }, metadata: metadata).container) }
  }

  func list(_ filters: FilterSet) async throws -> [ContainerRecord] {
    try await connection.call { try await api.list(.init(), metadata: metadata).containers.map(ContainerRecord.init(wire:)) }.filter(filters.matches)
  }

  func create(_ container: ContainerRecord) async throws -> ContainerRecord {
    try await connection.call { ContainerRecord(wire: try await api.create(.with { $0.container = container.wire }, metadata: metadata).container) }
  }

  func update(_ container: ContainerRecord, fields: FieldMask) async throws -> ContainerRecord {
    try await connection.call {
      ContainerRecord(
        wire: try await api.update(
          .with {
            $0.container = container.wire
            $0.updateMask.paths = fields.paths
          }, metadata: metadata
        ).container)
    }
  }

  func delete(_ id: String) async throws {
    _ = try await connection.call { try await api.delete(.with { $0.id = id }, metadata: metadata) }
  }
}
