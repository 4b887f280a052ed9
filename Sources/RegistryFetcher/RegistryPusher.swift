import AsyncHTTPClient
import Hashing
import NIOHTTP1
import OCI
import Protocols

/// Pushes to one repository (distribution-spec, "Push"): what is there is not sent again, what is not is sent in one piece.
struct RegistryPusher: Pusher {
  let session: RegistrySession
  let image: ImageReference

  func push(_ blob: Descriptor, from open: @escaping @Sendable () async throws -> any ByteStream) async throws -> Bool {
    let object = "\(image.registry)/\(image.repository)@\(blob.digest)"
    if try await has("blobs/\(blob.digest)", object, accept: []) != nil { return false }
    let start = call("blobs/uploads/", .POST, Payload(.bytes([]), type: "application/octet-stream"), object)
    let end = call("", .PUT, Payload(.stream(length: blob.size, open), type: "application/octet-stream"), object)
    // One attempt is an upload from its beginning: the registry may have forgotten one that broke off.
    try await session.onEndpoint(start) { endpoint in
      let (response, asked) = try await session.authorized(start, endpoint, at: endpoint.address(image.repository, start.path))
      await RegistrySession.discard(response)
      guard let location = response.headers.first(name: "Location"), let address = asked.resolving(location) else {
        throw ContainerdError.failedPrecondition("\(object): the registry does not say where to upload to")
      }
      if endpoint.root.origin.scheme == .https && address.origin.scheme == .http {
        throw ContainerdError(.permissionDenied, "\(object): the registry wants the upload in plain HTTP, to \(address.origin)")
      }
      let (done, _) = try await session.authorized(end, endpoint, at: address.adding(query: [("digest", blob.digest.description)]))
      await RegistrySession.discard(done)
      try checkDigest(done.headers, blob.digest, object)
    }
    return true
  }

  func push(manifest: [UInt8], mediaType: String, tag: String?) async throws -> Descriptor {
    let document = try PushedManifest(manifest, mediaType: mediaType)
    let digest = Digest.of(manifest)
    let reference = tag ?? digest.description
    let object = "\(image.registry)/\(image.repository)" + (tag.map { ":\($0)" } ?? "@\(digest)")
    if let tag, !RepositoryName.isTag(tag) { throw ContainerdError.invalidArgument("\(object): tag \"\(tag)\" is malformed") }
    let descriptor = document.descriptor(digest, size: Int64(manifest.count), mediaType: mediaType)
    // One with a subject is sent again: whether its referral was noted too cannot be seen.
    if document.subject == nil, try await has("manifests/\(reference)", object, accept: [mediaType]) == digest { return descriptor }
    let headers = try await put(manifest, mediaType, reference, object)
    try checkDigest(headers, digest, object)
    if let subject = document.subject, headers.first(name: "OCI-Subject") == nil {
      try await ReferrerTag(session: session, image: image).add(descriptor, to: subject) { bytes, tag in
        _ = try await put(bytes, MediaType.ociIndex, tag, "\(image.registry)/\(image.repository):\(tag)")
      }
    }
    return descriptor
  }

  private func put(_ bytes: [UInt8], _ mediaType: String, _ reference: String, _ object: String) async throws -> HTTPHeaders {
    let call = call("manifests/\(reference)", .PUT, Payload(.bytes(bytes), type: mediaType), object)
    return try await session.onEndpoint(call) { endpoint in
      let (response, _) = try await session.authorized(call, endpoint, at: endpoint.address(image.repository, call.path))
      await RegistrySession.discard(response)
      return response.headers
    }
  }

  /// The digest of what is there, nil if there is nothing. A registry need not say the digest of a blob: then it is what was asked for.
  private func has(_ path: String, _ object: String, accept: [String]) async throws -> Digest? {
    var call = call(path, .HEAD, nil, object)
    call.accept = accept
    do {
      let headers = try await session.open(call) { $0.headers }.value
      return try? Digest(parsing: headers.first(name: "Docker-Content-Digest") ?? String(path.drop { $0 != "/" }.dropFirst()))
    } catch let error as ContainerdError where error.code == .notFound { return nil }
  }

  private func call(_ path: String, _ method: HTTPMethod, _ payload: Payload?, _ object: String) -> RegistrySession.Call {
    RegistrySession.Call(image: image, path: path, method: method, payload: payload, capability: .push, object: object)
  }

  private func checkDigest(_ headers: HTTPHeaders, _ digest: Digest, _ object: String) throws {
    let said = headers.first(name: "Docker-Content-Digest").flatMap { try? Digest(parsing: $0) }
    if let said, said.algorithm == digest.algorithm, said != digest {
      throw ContainerdError.failedPrecondition("\(object): the registry has taken it as \(said)")
    }
  }
}
