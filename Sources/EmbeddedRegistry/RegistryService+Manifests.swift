import BlockingIO
import FoundationEssentials
import Hashing
import NIOCore
import NIOHTTP1
import OCI
import Protocols

/// Manifests: kept byte for byte, with the media type that they came with.
extension RegistryService {
  func manifest(_ name: String, _ reference: Route.ManifestReference, _ head: HTTPRequestHead) async throws -> Response {
    let (digest, mediaType, file) = try await pool.run { [storage] in try storage.manifest(name, reference) }
    let tag = "\"\(digest)\""
    let headers = [("Content-Type", mediaType), ("Docker-Content-Digest", digest.description), ("ETag", tag)]
    if head.headers.first(name: "If-None-Match") == tag { return Response(.notModified, headers) }
    return Response(.ok, headers, body: .file(file, 0..<file.size))
  }

  func putManifest(_ name: String, _ reference: Route.ManifestReference, _ head: HTTPRequestHead, _ body: RequestReader) async throws -> Response {
    let limit = configuration.maximumManifestSize
    let tooLarge = RegistryError(.sizeInvalid, "a manifest may have \(limit) bytes", status: .payloadTooLarge)
    if let length = head.headers.first(name: "Content-Length").flatMap(Int.init), length > limit { throw tooLarge }
    var bytes: [UInt8] = []
    while let buffer = try await body.next() {
      bytes += buffer.readableBytesView
      if bytes.count > limit { throw tooLarge }
    }
    let mediaType = head.headers.first(name: "Content-Type").map { String($0.prefix { $0 != ";" }) } ?? ""
    let document = try ManifestDocument(bytes, mediaType: mediaType)
    let content = bytes
    let digest = try await pool.run { [storage] in
      for digest in document.blobs where !storage.hasBlob(name, digest) { throw RegistryError(.manifestBlobUnknown, "\(name) has no blob \(digest)") }
      for digest in document.manifests where !storage.hasManifest(name, digest) {
        throw RegistryError(.manifestBlobUnknown, "\(name) has no manifest \(digest)")
      }
      switch reference {
      case .tag(let tag): return try storage.addManifest(name, content, mediaType: mediaType, tag: tag, subject: document.subject)
      case .digest(let wanted):
        let actual = Digest.of(content, wanted.algorithm)
        guard actual == wanted else { throw RegistryError(.digestInvalid, "the manifest has the digest \(actual), not \(wanted)") }
        return try storage.addManifest(name, content, mediaType: mediaType, tag: nil, algorithm: wanted.algorithm, subject: document.subject)
      }
    }
    var headers = [("Location", "/v2/\(name)/manifests/\(digest)"), ("Docker-Content-Digest", digest.description)]
    if let subject = document.subject { headers.append(("OCI-Subject", subject.description)) }
    return Response(.created, headers)
  }

  /// An index of the manifests whose subject is this one; empty where there are none (distribution-spec, "Listing Referrers").
  func referrers(_ name: String, _ subject: Digest, _ query: Query) async throws -> Response {
    struct Index: Encodable {
      var schemaVersion = 2
      var mediaType = MediaType.ociIndex
      var manifests: [Referrer]
    }
    let wanted = query["artifactType"]
    let found = try await pool.run { [storage] in
      try storage.referrers(name, subject).compactMap { digest -> Referrer? in
        guard storage.hasManifest(name, digest) else { return nil }
        let (_, mediaType, file) = try storage.manifest(name, .digest(digest))
        let document = try ManifestDocument(try file.read(at: 0, count: Int(file.size)), mediaType: mediaType)
        let referrer = Referrer(
          mediaType: mediaType, digest: digest.description, size: file.size, artifactType: document.artifactType, annotations: document.annotations)
        return wanted == nil || wanted == referrer.artifactType ? referrer : nil
      }
    }
    let rest = query["last"].map { last in Array(found.drop { $0.digest <= last }) } ?? found
    let page = configuration.referrersPerPage.map { Array(rest.prefix($0)) } ?? rest
    var response = Response.json(Index(manifests: page))
    if page.count < rest.count, let last = page.last {
      let filter = wanted.map { "&artifactType=\(Query.encode($0))" } ?? ""
      response.headers.add(name: "Link", value: "</v2/\(name)/referrers/\(subject)?last=\(last.digest)\(filter)>; rel=\"next\"")
    }
    response.headers.replaceOrAdd(name: "Content-Type", value: MediaType.ociIndex)
    if wanted != nil { response.headers.add(name: "OCI-Filters-Applied", value: "artifactType") }
    return response
  }
}

struct Referrer: Encodable, Sendable {
  var mediaType: String
  var digest: String
  var size: Int64
  var artifactType: String?
  var annotations: [String: String]?
}

/// What a manifest refers to, as far as a registry has to look.
struct ManifestDocument: Sendable {
  var blobs: [Digest] = []
  var manifests: [Digest] = []
  var subject: Digest?
  var artifactType: String?
  var annotations: [String: String]?

  private struct Reference: Decodable {
    var mediaType: String?
    var digest: String
    var urls: [String]?
  }
  private struct Wire: Decodable {
    var schemaVersion: Int
    var mediaType: String?
    var config: Reference?
    var layers: [Reference]?
    var manifests: [Reference]?
    var subject: Reference?
    var artifactType: String?
    var annotations: [String: String]?
  }

  init(_ bytes: [UInt8], mediaType: String) throws {
    guard MediaType.isManifest(mediaType) || MediaType.isIndex(mediaType) else {
      throw RegistryError(.manifestInvalid, "media type \"\(mediaType)\" is neither a manifest nor an index of OCI or Docker schema 2")
    }
    let wire: Wire
    do { wire = try JSONDecoder().decode(Wire.self, from: Data(bytes)) } catch { throw RegistryError(.manifestInvalid, "the manifest is malformed: \(error)") }
    if wire.schemaVersion != 2 { throw RegistryError(.manifestInvalid, "schemaVersion \(wire.schemaVersion)") }
    if let said = wire.mediaType, said != mediaType {
      throw RegistryError(.manifestInvalid, "the manifest says that it is \(said), the request that it is \(mediaType)")
    }
    if MediaType.isManifest(mediaType) {
      guard let config = wire.config, let layers = wire.layers else { throw RegistryError(.manifestInvalid, "an image manifest has a config and layers") }
      // Foreign layers are elsewhere.
      blobs = try ([config] + layers.filter { $0.urls?.isEmpty ?? true }).map { try Route.digest($0.digest) }
      artifactType = wire.artifactType ?? config.mediaType
    } else {
      guard let children = wire.manifests else { throw RegistryError(.manifestInvalid, "an index has manifests") }
      manifests = try children.map { try Route.digest($0.digest) }
      artifactType = wire.artifactType
    }
    subject = try wire.subject.map { try Route.digest($0.digest) }
    annotations = wire.annotations
  }
}
