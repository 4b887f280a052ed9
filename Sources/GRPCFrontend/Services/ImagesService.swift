import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct ImagesService: Containerd_Services_Images_V1_Images.SimpleServiceProtocol {
  let metadata: any MetadataStore
  let scheduleCollection: @Sendable () -> Void

  private func store() throws -> any ImageStore { try metadata.images(in: RequestScope.required()) }

  func get(request: Containerd_Services_Images_V1_GetImageRequest, context: ServerContext) async throws -> Containerd_Services_Images_V1_GetImageResponse {
    let image = try await store().get(request.name)
    return .with { $0.image = image.wire }
  }

  func list(request: Containerd_Services_Images_V1_ListImagesRequest, context: ServerContext) async throws -> Containerd_Services_Images_V1_ListImagesResponse {
    let images = try await store().list(FilterSet(parsing: request.filters))
    return .with { $0.images = images.map(\.wire) }
  }

  func create(request: Containerd_Services_Images_V1_CreateImageRequest, context: ServerContext) async throws
    -> Containerd_Services_Images_V1_CreateImageResponse
  {
    let image = try await store().create(ImageRecord(wire: request.image))
    return .with { $0.image = image.wire }
  }

  func update(request: Containerd_Services_Images_V1_UpdateImageRequest, context: ServerContext) async throws
    -> Containerd_Services_Images_V1_UpdateImageResponse
  {
    let image = try await store().update(ImageRecord(wire: request.image), fields: FieldMask(wire: request.updateMask))
    return .with { $0.image = image.wire }
  }

  func delete(request: Containerd_Services_Images_V1_DeleteImageRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    let store = try store()
    if request.hasTarget {
      let present = try await store.get(request.name)
      if present.target.digest.description != request.target.digest {
        throw ContainerdError.notFound("image \"\(request.name)\" with target \(request.target.digest)")
      }
    }
    try await store.delete(request.name)
    if request.sync { try await metadata.collectGarbage() } else { scheduleCollection() }
    return Google_Protobuf_Empty()
  }
}

extension ImageRecord {
  init(wire: Containerd_Services_Images_V1_Image) throws {
    if wire.name.isEmpty { throw ContainerdError.invalidArgument("image name must not be empty") }
    self.init(name: wire.name, labels: wire.labels, target: try Descriptor(wire: wire.target))
  }

  var wire: Containerd_Services_Images_V1_Image {
    .with {
      $0.name = name
      $0.labels = labels
      $0.target = target.wire
      $0.createdAt = createdAt.wire
      $0.updatedAt = updatedAt.wire
    }
  }
}
