import ContainerdAPI
import Foundation
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// A content store at the other end of a socket.
struct RemoteContentStore: ContentStore {
  typealias API = Containerd_Services_Content_V1_Content
  let connection: ContainerdClient

  private var api: API.Client<ContainerdClient.Transport> { API.Client(wrapping: connection.client) }
  private var metadata: Metadata { connection.metadata }

  func info(_ digest: Digest) async throws -> ContentInfo {
    try await connection.call { try ContentInfo(wire: await api.info(.with { $0.digest = digest.description }, metadata: metadata).info) }
  }

  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    try await connection.call {
      try ContentInfo(
        wire: await api.update(
          .with {
            $0.info.digest = info.digest.description
            $0.info.labels = info.labels
            $0.updateMask.paths = fields.paths
          }, metadata: metadata
        ).info)
    }
  }

  /// The other end filters.
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    let gathered = Gathered<ContentInfo>()
    try await connection.call {
      try await api.list(.with { $0.filters = filters.texts }, metadata: metadata) { response in
        for try await message in response.messages { await gathered.append(contentsOf: try message.info.map(ContentInfo.init(wire:))) }
      }
    }
    for info in await gathered.items { try await visit(info) }
  }

  func delete(_ digest: Digest) async throws {
    _ = try await connection.call { try await api.delete(.with { $0.digest = digest.description }, metadata: metadata) }
  }

  func status(ref: String) async throws -> IngestStatus {
    try await connection.call { try IngestStatus(wire: await api.status(.with { $0.ref = ref }, metadata: metadata).status) }
  }

  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    try await connection.call {
      try await api.listStatuses(.with { $0.filters = filters.texts }, metadata: metadata).statuses.map(IngestStatus.init(wire:))
    }
  }

  func abort(ref: String) async throws {
    _ = try await connection.call { try await api.abort(.with { $0.ref = ref }, metadata: metadata) }
  }

  func reader(_ digest: Digest) async throws -> any ContentReader {
    RemoteContentReader(store: self, digest: digest, size: try await info(digest).size)
  }

  func read(_ digest: Digest, at offset: Int64, count: Int) async throws -> [UInt8] {
    let gathered = Gathered<UInt8>()
    try await connection.call {
      try await api.read(
        .with {
          $0.digest = digest.description
          $0.offset = offset
          $0.size = Int64(count)
        }, metadata: metadata
      ) { response in
        for try await message in response.messages { await gathered.append(contentsOf: [UInt8](message.data)) }
      }
    }
    return await gathered.items
  }

  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    let writer = RemoteContentWriter(api: api, metadata: metadata, ref: ref, expected: expected)
    try await writer.open()
    return writer
  }
}

struct RemoteContentReader: ContentReader {
  let store: RemoteContentStore
  let digest: Digest
  let size: Int64

  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    if offset < 0 { throw ContainerdError.outOfRange("content \(digest): read at \(offset)") }
    if offset >= size || count <= 0 { return [] }
    return try await store.read(digest, at: offset, count: Int(min(Int64(count), size - offset)))
  }

  func close() async {}
}

extension ContentInfo {
  init(wire: Containerd_Services_Content_V1_Info) throws {
    self.init(
      digest: try Digest(parsing: wire.digest), size: wire.size, createdAt: Timestamp(wire: wire.createdAt), updatedAt: Timestamp(wire: wire.updatedAt),
      labels: wire.labels)
  }
}

extension IngestStatus {
  init(wire: Containerd_Services_Content_V1_Status) throws {
    self.init(
      ref: wire.ref, offset: wire.offset, total: wire.total, expected: try optionalDigest(wire.expected), startedAt: Timestamp(wire: wire.startedAt),
      updatedAt: Timestamp(wire: wire.updatedAt))
  }
}
