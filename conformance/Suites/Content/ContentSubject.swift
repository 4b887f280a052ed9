import Protocols

/// An empty content store, and a way to know what a blob must be called.
public struct ContentSubject: Sendable {
  public var store: any ContentStore
  public var digest: @Sendable ([UInt8], Digest.Algorithm) -> Digest
  /// Whatever must live as long as the store: its directory, its server.
  public var keep: (any Sendable)?

  public init(store: any ContentStore, keep: (any Sendable)? = nil, digest: @escaping @Sendable ([UInt8], Digest.Algorithm) -> Digest) {
    self.store = store
    self.keep = keep
    self.digest = digest
  }

  package func digest(_ bytes: [UInt8]) -> Digest { digest(bytes, .sha256) }

  package func open(_ ref: String, size: Int64? = nil, digest: Digest? = nil) async throws -> any ContentWriter {
    try await store.writer(ref: ref, expected: IngestExpectation(size: size, digest: digest))
  }

  /// Commits a blob.
  @discardableResult
  package func put(_ bytes: [UInt8], ref: String = "put", labels: Labels = [:]) async throws -> Digest {
    let writer = try await open(ref)
    try await writer.write(bytes, at: nil)
    let digest = try await writer.commit(IngestExpectation(size: Int64(bytes.count), digest: digest(bytes)), labels: labels)
    await writer.close()
    return digest
  }

  package func walked(_ filters: String...) async throws -> Set<Digest> {
    let seen = Visited<ContentInfo>()
    try await store.walk(FilterSet(parsing: filters)) { seen.append($0) }
    let digests = seen.items.map(\.digest)
    try expectEqual(digests.count, Set(digests).count, "blobs seen by one walk, each once")
    return Set(digests)
  }
}

/// The contract of `ContentStore`.
public enum ContentStoreSuite {
  public static let cases = ingests + commits + aborts + reads + labels + walks + concurrency
}
