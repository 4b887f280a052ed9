import BlockingIO
import NIOCore
import NIOHTTP1
import OCI
import Protocols
import Synchronization
import SystemKit

/// Uploads: whole, in chunks, or by mounting what another repository has (distribution-spec, "Pushing Blobs").
extension RegistryService {
  func startUpload(_ name: String, _ query: Query, _ head: HTTPRequestHead, _ body: RequestReader) async throws -> Response {
    if let text = query["mount"], let from = query["from"] {
      let digest = try Route.digest(text)
      guard RepositoryName.isRepository(from) else { throw RegistryError(.nameInvalid, "repository name \"\(from)\"") }
      let isMounted = try await pool.run { [storage] in
        guard storage.hasBlob(from, digest) else { return false }
        try storage.linkBlob(name, digest)
        return true
      }
      if isMounted { return created(name, digest) }
    }
    let wanted = try query["digest"].map { text throws in try Route.digest(text) }
    let id = try await pool.run { [storage] in try storage.startUpload(name) }
    guard let wanted else { return accepted(name, id, size: 0) }
    return try await exclusively(id) {
      do { try await self.receive(id, body) } catch {
        // Nobody knows this upload's name: it cannot be gone on with.
        try await self.pool.run { [storage = self.storage] in try storage.cancelUpload(id) }
        throw error
      }
      return try await self.finish(name, id, wanted)
    }
  }

  func uploadStatus(_ name: String, _ id: String) async throws -> Response {
    let size = try await size(name, id)
    return Response(.noContent, Self.headers(name, id, size: size))
  }

  func continueUpload(_ name: String, _ id: String, _ head: HTTPRequestHead, _ body: RequestReader) async throws -> Response {
    try await exclusively(id) {
      try await self.checkPlace(name, id, head)
      try await self.receive(id, body)
      return self.accepted(name, id, size: try await self.size(name, id))
    }
  }

  func finishUpload(_ name: String, _ id: String, _ query: Query, _ head: HTTPRequestHead, _ body: RequestReader) async throws -> Response {
    guard let text = query["digest"] else { throw RegistryError(.digestInvalid, "upload \(id) ends with ?digest=") }
    let digest = try Route.digest(text)
    return try await exclusively(id) {
      try await self.checkPlace(name, id, head)
      try await self.receive(id, body)
      return try await self.finish(name, id, digest)
    }
  }

  func cancelUpload(_ name: String, _ id: String) async throws -> Response {
    try await exclusively(id) {
      _ = try await self.size(name, id)
      try await self.pool.run { [storage = self.storage] in try storage.cancelUpload(id) }
      return Response(.noContent)
    }
  }

  /// One request at a time writes to an upload.
  private func exclusively(_ id: String, _ body: () async throws -> Response) async throws -> Response {
    guard busyUploads.withLock({ $0.insert(id).inserted }) else {
      throw RegistryError(.blobUploadInvalid, "upload \(id): another request is writing to it", status: .conflict)
    }
    defer { _ = busyUploads.withLock { $0.remove(id) } }
    return try await body()
  }

  /// A chunk that says where it belongs must belong at the end.
  private func checkPlace(_ name: String, _ id: String, _ head: HTTPRequestHead) async throws {
    let size = try await size(name, id)
    guard let header = head.headers.first(name: "Content-Range") else { return }
    let length = head.headers.first(name: "Content-Length").flatMap(Int64.init)
    guard let chunk = ByteRange.chunk(header), chunk.lowerBound == size, length == nil || length == chunk.upperBound - chunk.lowerBound + 1 else {
      throw RegistryError(
        .blobUploadInvalid, "upload \(id) has \(size) bytes, the chunk is \(header)", status: .rangeNotSatisfiable, headers: Self.headers(name, id, size: size))
    }
  }

  private func receive(_ id: String, _ body: RequestReader) async throws {
    let file = try await pool.run { [storage] in try storage.openUpload(id) }
    while let buffer = try await body.next() {
      if buffer.readableBytes > 0 { try await pool.run { try buffer.withUnsafeReadableBytes { try file.append($0) } } }
    }
  }

  private func finish(_ name: String, _ id: String, _ digest: Digest) async throws -> Response {
    try await pool.run { [storage] in try storage.finishUpload(name, id, digest) }
    return created(name, digest)
  }

  private func size(_ name: String, _ id: String) async throws -> Int64 { try await pool.run { [storage] in try storage.uploadSize(name, id) } }

  private func created(_ name: String, _ digest: Digest) -> Response {
    Response(.created, [("Location", "/v2/\(name)/blobs/\(digest)"), ("Docker-Content-Digest", digest.description)])
  }

  private func accepted(_ name: String, _ id: String, size: Int64) -> Response { Response(.accepted, Self.headers(name, id, size: size)) }

  /// `Range` names the last byte that is there, `0-0` also where there is none.
  private static func headers(_ name: String, _ id: String, size: Int64) -> [(String, String)] {
    [("Location", "/v2/\(name)/blobs/uploads/\(id)"), ("Range", "0-\(max(0, size - 1))"), ("Docker-Upload-UUID", id)]
  }
}
