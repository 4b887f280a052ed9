import Protocols

/// An empty content store, and a way to know what a blob must be called.
public struct ContentSubject: Sendable {
  public var store: any ContentStore
  public var digest: @Sendable ([UInt8], Digest.Algorithm) -> Digest
  /// What the contract leaves open, and this store decides.
  public var rules = ContentRules.store
  /// Whatever must live as long as the store: its directory, its server.
  public var keep: (any Sendable)?

  public init(
    store: any ContentStore, rules: ContentRules = .store, keep: (any Sendable)? = nil, digest: @escaping @Sendable ([UInt8], Digest.Algorithm) -> Digest
  ) {
    self.store = store
    self.rules = rules
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

/// Where content stores that keep the contract differ: by what stands between the caller and the bytes.
public struct ContentRules: Hashable, Sendable {
  public enum Linking: Hashable, Sendable {
    case never
    /// The bytes of a deleted blob stay until they are collected: an opening that names them may begin complete, and holds its ref.
    case afterDeletion
    /// Other namespaces may have the bytes, and what may be done with a writer that begins complete is the store's own.
    case unknown
  }
  /// Each writer is a stream: a message that names a blob that is there already ends it with `alreadyExists` and drops the ingest, and a
  /// writer's status tells the size that its own opening expected.
  public var wire = false
  public var linking = Linking.never
  /// The open writer of an aborted ingest fails from then on. Otherwise it may go on, holding the ref, until it is closed or commits.
  public var abortsWin = true
  /// An ingest that is opened with another size than before keeps nothing of what it had.
  public var startsAnew = true

  /// A store of its own.
  public static let store = ContentRules()
  /// A namespace over shared bytes.
  public static let namespace = ContentRules(linking: .afterDeletion)
  /// A content service of which nothing else is known.
  public static let service = ContentRules(wire: true, linking: .unknown, abortsWin: false, startsAnew: false)

  public init(wire: Bool = false, linking: Linking = .never, abortsWin: Bool = true, startsAnew: Bool = true) {
    self.wire = wire
    self.linking = linking
    self.abortsWin = abortsWin
    self.startsAnew = startsAnew
  }
}

/// The contract of `ContentStore`.
public enum ContentStoreSuite {
  public static let cases = ingests + commits + aborts + reads + labels + walks + concurrency
}
