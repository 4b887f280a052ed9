import ContainerdAPI
import Foundation
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct ContentService: Containerd_Services_Content_V1_Content.SimpleServiceProtocol {
  typealias API = Containerd_Services_Content_V1_Content
  let metadata: any MetadataStore
  let scheduleCollection: @Sendable () -> Void

  /// Bytes in one message of a read: large enough to be cheap, far below the message limit.
  static let readChunk = 1 << 20

  private func store() throws -> any ContentStore { try metadata.content(in: RequestScope.required()) }

  func info(request: Containerd_Services_Content_V1_InfoRequest, context: ServerContext) async throws -> Containerd_Services_Content_V1_InfoResponse {
    let info = try await store().info(Digest(parsing: request.digest))
    return .with { $0.info = info.wire }
  }

  func update(request: Containerd_Services_Content_V1_UpdateRequest, context: ServerContext) async throws -> Containerd_Services_Content_V1_UpdateResponse {
    let info = try await store().update(
      ContentInfo(digest: Digest(parsing: request.info.digest), labels: request.info.labels), fields: FieldMask(wire: request.updateMask))
    return .with { $0.info = info.wire }
  }

  func list(
    request: Containerd_Services_Content_V1_ListContentRequest, response: RPCWriter<Containerd_Services_Content_V1_ListContentResponse>,
    context: ServerContext
  ) async throws {
    let collected = Collected<ContentInfo>()
    try await store().walk(FilterSet(parsing: request.filters)) { await collected.append($0) }
    for batch in await collected.items.batches(of: listBatch) {
      try await response.write(.with { $0.info = batch.map(\.wire) })
    }
  }

  func delete(request: Containerd_Services_Content_V1_DeleteContentRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await store().delete(Digest(parsing: request.digest))
    scheduleCollection()
    return Google_Protobuf_Empty()
  }

  func read(
    request: Containerd_Services_Content_V1_ReadContentRequest, response: RPCWriter<Containerd_Services_Content_V1_ReadContentResponse>,
    context: ServerContext
  ) async throws {
    let digest = try Digest(parsing: request.digest)
    let reader = try await store().reader(digest)
    defer { Task { await reader.close() } }
    if request.offset < 0 { throw ContainerdError.invalidArgument("content \(digest): negative read offset \(request.offset)") }
    if request.offset > reader.size {
      throw ContainerdError.outOfRange("content \(digest): read offset \(request.offset) is past the end at \(reader.size)")
    }
    var left = request.size > 0 ? min(request.size, reader.size - request.offset) : reader.size - request.offset
    var done: Int64 = 0
    while left > 0 {
      let bytes = try await reader.read(at: request.offset + done, count: Int(min(left, Int64(Self.readChunk))))
      if bytes.isEmpty { throw ContainerdError.dataLoss("content \(digest): ends at \(request.offset + done) of \(reader.size) bytes") }
      // The offset counts from the beginning of this request: what Go clients expect.
      try await response.write(
        .with {
          $0.offset = done
          $0.data = Data(bytes)
        })
      done += Int64(bytes.count)
      left -= Int64(bytes.count)
    }
  }

  func status(request: Containerd_Services_Content_V1_StatusRequest, context: ServerContext) async throws -> Containerd_Services_Content_V1_StatusResponse {
    let status = try await store().status(ref: request.ref)
    return .with { $0.status = status.wire }
  }

  func listStatuses(
    request: Containerd_Services_Content_V1_ListStatusesRequest, context: ServerContext
  ) async throws -> Containerd_Services_Content_V1_ListStatusesResponse {
    let statuses = try await store().statuses(FilterSet(parsing: request.filters))
    return .with { $0.statuses = statuses.map(\.wire) }
  }

  func abort(request: Containerd_Services_Content_V1_AbortRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await store().abort(ref: request.ref)
    return Google_Protobuf_Empty()
  }

  func write(
    request: RPCAsyncSequence<Containerd_Services_Content_V1_WriteContentRequest, any Error>,
    response: RPCWriter<Containerd_Services_Content_V1_WriteContentResponse>, context: ServerContext
  ) async throws {
    try await ContentWriteStream(store: store(), response: response).serve(request)
  }
}

/// Gathers what a walk visits.
actor Collected<Item: Sendable> {
  private(set) var items: [Item] = []
  func append(_ item: Item) { items.append(item) }
}

extension ContentInfo {
  var wire: Containerd_Services_Content_V1_Info {
    .with {
      $0.digest = digest.description
      $0.size = size
      $0.createdAt = createdAt.wire
      $0.updatedAt = updatedAt.wire
      $0.labels = labels
    }
  }
}

extension IngestStatus {
  var wire: Containerd_Services_Content_V1_Status {
    .with {
      $0.ref = ref
      $0.offset = offset
      $0.total = total
      $0.expected = expected?.description ?? ""
      $0.startedAt = startedAt.wire
      $0.updatedAt = updatedAt.wire
    }
  }
}
