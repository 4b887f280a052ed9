import BlockingIO
import NIOCore
import NIOHTTP1
import Protocols
import Synchronization

/// The endpoints of the distribution-spec over a directory: a request in, an answer out.
final class RegistryService: Sendable {
  let configuration: EmbeddedRegistry.Configuration
  let storage: RegistryStorage
  let pool: BlockingPool
  let gatekeeper: Gatekeeper
  /// Uploads that a request is writing to.
  let busyUploads = Mutex<Set<String>>([])
  private let origin: String

  init(configuration: EmbeddedRegistry.Configuration, origin: String, storage: RegistryStorage, pool: BlockingPool, gatekeeper: Gatekeeper) {
    self.configuration = configuration
    self.origin = origin
    self.storage = storage
    self.pool = pool
    self.gatekeeper = gatekeeper
  }

  /// Refusals are answers; what is thrown is the loss of the connection.
  func respond(to head: HTTPRequestHead, body: RequestReader) async throws -> Response {
    do {
      var response = try await handle(head, body)
      response.headers.replaceOrAdd(name: "Docker-Distribution-Api-Version", value: "registry/2.0")
      return response
    } catch let error as RegistryError {
      return error.response
    } catch let error as RequestReader.ConnectionLost { throw error } catch let error as CancellationError { throw error } catch {
      return RegistryError(.unknown, "\(error)").response
    }
  }

  private func handle(_ head: HTTPRequestHead, _ body: RequestReader) async throws -> Response {
    let query = Query(head.uri)
    let route = try Route.parse(String(head.uri.prefix { $0 != "?" }))
    if case .token = route { return try gatekeeper.token(head, head.method == .POST ? try await form(body) : query) }
    try gatekeeper.check(head, route, origin: origin)
    // HEAD is GET whose body is not sent.
    let method = head.method == .HEAD ? .GET : head.method
    switch (method, route) {
    case (.GET, .ping): return .json([String: String]())
    case (.GET, .catalog): return try await list(query, key: "repositories", path: "/v2/_catalog") { try $0.repositories() }
    case (.GET, .tags(let name)):
      return try await list(query, key: "tags", name: name, path: "/v2/\(name)/tags/list") { storage in
        guard storage.hasRepository(name) else { throw RegistryError(.nameUnknown, "no repository \(name)") }
        return try storage.tags(name)
      }
    case (.GET, .manifest(let name, let reference)): return try await manifest(name, reference, head)
    case (.PUT, .manifest(let name, let reference)): return try await putManifest(name, reference, head, body)
    case (.DELETE, .manifest(let name, let reference)):
      try await pool.run { [storage] in try storage.deleteManifest(name, reference) }
      return Response(.accepted)
    case (.GET, .referrers(let name, let subject)): return try await referrers(name, subject, query)
    case (.GET, .blob(let name, let digest)): return try await blob(name, digest, head)
    case (.DELETE, .blob(let name, let digest)):
      try await pool.run { [storage] in try storage.deleteBlob(name, digest) }
      return Response(.accepted)
    case (.POST, .uploads(let name)): return try await startUpload(name, query, head, body)
    case (.GET, .upload(let name, let id)): return try await uploadStatus(name, id)
    case (.PATCH, .upload(let name, let id)): return try await continueUpload(name, id, head, body)
    case (.PUT, .upload(let name, let id)): return try await finishUpload(name, id, query, head, body)
    case (.DELETE, .upload(let name, let id)): return try await cancelUpload(name, id)
    default: throw RegistryError(.unsupported, "\(head.method.rawValue) \(head.uri)")
    }
  }

  /// What a client sends as a form, small as forms are.
  private func form(_ body: RequestReader) async throws -> Query {
    var bytes: [UInt8] = []
    while let buffer = try await body.next() {
      bytes += buffer.readableBytesView
      if bytes.count > 64 << 10 { throw RegistryError(.sizeInvalid, "a form may have 65536 bytes", status: .payloadTooLarge) }
    }
    return Query("?" + String(decoding: bytes, as: UTF8.self))
  }

  // MARK: blobs

  private func blob(_ name: String, _ digest: Digest, _ head: HTTPRequestHead) async throws -> Response {
    let file = try await pool.run { [storage] in try storage.blob(name, digest) }
    let tag = "\"\(digest)\""
    var headers = [
      ("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest.description), ("ETag", tag), ("Accept-Ranges", "bytes"),
      ("Cache-Control", "max-age=31536000"),
    ]
    if head.headers.first(name: "If-None-Match") == tag { return Response(.notModified, headers) }
    // A condition that does not hold asks for the whole (RFC 9110, If-Range).
    let condition = head.headers.first(name: "If-Range")
    let range = condition == nil || condition == tag ? head.headers.first(name: "Range") : nil
    switch ByteRange.wanted(range, size: file.size) {
    case .whole: return Response(.ok, headers, body: .file(file, 0..<file.size))
    case .part(let part):
      headers.append(("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)"))
      return Response(.partialContent, headers, body: .file(file, part))
    case .unsatisfiable:
      throw RegistryError(
        .sizeInvalid, "blob \(digest) has \(file.size) bytes", status: .rangeNotSatisfiable, headers: [("Content-Range", "bytes */\(file.size)")])
    }
  }

  // MARK: lists

  /// A page of names in order: at most `n`, after `last`; a `Link` leads to the next (distribution-spec, "Listing Tags").
  private func list(
    _ query: Query, key: String, name: String? = nil, path: String, _ names: @escaping @Sendable (RegistryStorage) throws -> [String]
  ) async throws -> Response {
    struct Answer: Encodable {
      var name: String?
      var tags: [String]?
      var repositories: [String]?
    }
    var limit: Int?
    if let text = query["n"] {
      guard let number = Int(text), number >= 0 else { throw RegistryError(.unsupported, "n=\(text) is no number of results", status: .badRequest) }
      limit = number
    }
    var page = try await pool.run { [storage] in try names(storage) }
    if let last = query["last"] { page.removeAll { !Names.isOrdered(last, before: $0) } }
    let isCut = limit.map { page.count > $0 } ?? false
    if let limit { page = Array(page.prefix(limit)) }
    var response = Response.json(Answer(name: name, tags: key == "tags" ? page : nil, repositories: key == "tags" ? nil : page))
    if isCut, let limit, let last = page.last { response.headers.add(name: "Link", value: "<\(path)?n=\(limit)&last=\(last)>; rel=\"next\"") }
    return response
  }
}
