import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// The image names of a daemon.
struct RemoteImageStore: ImageStore {
  typealias API = Containerd_Services_Images_V1_Images
  let connection: ContainerdClient

  private var api: API.Client<ContainerdClient.Transport> { API.Client(wrapping: connection.client) }
  private var metadata: Metadata { connection.metadata }

  func get(_ name: String) async throws -> ImageRecord {
    try await connection.call { try ImageRecord(reading: await api.get(.with { $0.name = name }, metadata: metadata).image) }
  }

  func list(_ filters: FilterSet) async throws -> [ImageRecord] {
    try await connection.call { try await api.list(.init(), metadata: metadata).images.map(ImageRecord.init(reading:)) }.filter(filters.matches)
  }

  func create(_ image: ImageRecord) async throws -> ImageRecord {
    try await connection.call { try ImageRecord(reading: await api.create(.with { $0.image = image.message }, metadata: metadata).image) }
  }

  func update(_ image: ImageRecord, fields: FieldMask) async throws -> ImageRecord {
    try await connection.call {
      try ImageRecord(
        reading: await api.update(
          .with {
            $0.image = image.message
            $0.updateMask.paths = fields.paths
          }, metadata: metadata
        ).image)
    }
  }

  func delete(_ name: String) async throws {
    _ = try await connection.call { try await api.delete(.with { $0.name = name }, metadata: metadata) }
  }
}

extension ImageRecord {
  fileprivate init(reading wire: Containerd_Services_Images_V1_Image) throws {
    self.init(
      name: wire.name, labels: wire.labels, target: try Descriptor(wire: wire.target), createdAt: Timestamp(wire: wire.createdAt),
      updatedAt: Timestamp(wire: wire.updatedAt))
  }

  fileprivate var message: Containerd_Services_Images_V1_Image {
    .with {
      $0.name = name
      $0.labels = labels
      $0.target = target.wire
    }
  }
}
