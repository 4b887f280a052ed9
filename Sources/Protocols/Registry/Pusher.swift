/// Brings blobs and manifests into one repository of a registry: blobs first, then the manifests that refer to them.
public protocol Pusher: Sendable {
  /// Puts a blob there; false if the registry had it. `open` may be called several times, each time for all of the blob's bytes.
  ///
  /// `permissionDenied` and `unauthenticated` if we may not, `unavailable` when the registry cannot be reached after the retries; what the registry says against
  /// it is in the message. What `open` and its stream throw ends the push.
  @discardableResult
  func push(_ blob: Descriptor, from open: @escaping @Sendable () async throws -> any ByteStream) async throws -> Bool

  /// Puts a manifest or an index there as it is, under a tag too if there is one. Where the registry keeps no account of what refers to a subject, the
  /// account is kept for it in the tag that the distribution-spec names; writers who do so at the same moment may undo each other's.
  @discardableResult
  func push(manifest: [UInt8], mediaType: String, tag: String?) async throws -> Descriptor
}

/// What refers to a manifest: signatures, lists of materials, indexes for lazy pulling (distribution-spec 1.1, "Listing Referrers").
public protocol ReferrerSource: Sendable {
  /// Descriptors of manifests whose subject this is, all of them or those of a type; empty if there are none or the repository does not know the subject.
  func referrers(of subject: Digest, artifactType: String?) async throws -> [Descriptor]
}

/// Knows the registries that can be asked what refers to a manifest.
public protocol ReferrerResolver: Sendable {
  /// For what refers to manifests of the repository that the reference names. Does no network call.
  func referrers(for reference: String) throws -> any ReferrerSource
}

extension Pusher {
  @discardableResult
  public func push(_ blob: Descriptor, bytes: [UInt8]) async throws -> Bool { try await push(blob) { ByteArrayStream(bytes) } }
}

/// Bytes that are there already.
private actor ByteArrayStream: ByteStream {
  private static let piece = 256 << 10
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  func next() -> [UInt8]? {
    if rest.isEmpty { return nil }
    let piece = Array(rest.prefix(Self.piece))
    rest = rest.dropFirst(piece.count)
    return piece
  }

  func cancel() { rest = [] }
}
