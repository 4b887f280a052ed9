import ConformanceSuites
import Hashing
import Protocols

/// A client that pulls images, whatever program it is; each case has one with an empty store.
public struct PullSubject: Sendable {
  /// How a pull ended.
  public struct Ending: Sendable {
    public var succeeded: Bool
    /// Everything that the client said.
    public var said: String
    /// It failed in this process, with an error that is none of the contract's.
    public var untyped: Bool
    public init(succeeded: Bool, said: String, untyped: Bool = false) {
      self.succeeded = succeeded
      self.said = said
      self.untyped = untyped
    }
  }
  /// Pulls `127.0.0.1:PORT/case/image:1` over plain HTTP.
  public var pull: @Sendable (_ reference: String) async throws -> Ending
  /// What the client's store has under a digest; nil if nothing. Without it only the ending is judged.
  public var stored: (@Sendable (Digest) async throws -> [UInt8]?)?
  /// The most blobs that it fetches at once, where it promises a number.
  public var parallelism: Int?
  /// Whether silence is taken for an end within seconds.
  public var endsSilence = false
  /// The same client, in this process, around another registry's client and another store: where faults of clients are put in.
  public var around: (@Sendable (_ resolver: (any Resolver) -> any Resolver, _ content: (any ContentStore) -> any ContentStore) -> PullSubject)?
  /// Seconds after which a pull that does not end is hanging.
  public var limit: Int
  public var keep: (any Sendable)?

  public init(
    parallelism: Int? = nil, limit: Int = 60, keep: (any Sendable)? = nil, stored: (@Sendable (Digest) async throws -> [UInt8]?)? = nil,
    pull: @escaping @Sendable (String) async throws -> Ending
  ) {
    self.pull = pull
    self.stored = stored
    self.parallelism = parallelism
    self.limit = limit
    self.keep = keep
  }

  func pulling(_ reference: String) async throws -> Ending {
    try await inTime("the pull of \(reference)", seconds: limit) { try await pull(reference) }
  }

  /// Whatever became of the pull: nothing wrong is in the store.
  func expectNothingWrong(_ what: String, _ blobs: [(descriptor: Descriptor, bytes: [UInt8])]) async throws {
    guard let stored else { return }
    for (descriptor, bytes) in blobs {
      if let found = try await stored(descriptor.digest), found != bytes {
        throw Mismatch(
          description:
            "\(what): the store has \(found.count) bytes under \(descriptor.digest), which are not the blob's \(bytes.count) (they are \(Digest.of(found)))",
          expected: "\(descriptor.digest) whole or not at all", actual: "\(found.count) other bytes")
      }
    }
  }

  func expectWhole(_ ending: Ending, _ what: String, _ image: TestImage) async throws {
    try expect(ending.succeeded, "\(what): expected the pull to succeed, but it failed: \(ending.said.suffix(600))")
    guard let stored else { return }
    for (descriptor, bytes) in image.everything {
      let found = try await stored(descriptor.digest)
      try expect(found == bytes, "\(what): the pull succeeded, but of \(descriptor.digest) the store has \(found.map { "\($0.count) bytes" } ?? "nothing")")
    }
  }

  func expectFailure(_ ending: Ending, _ what: String, _ image: TestImage) async throws {
    try expect(!ending.succeeded, "\(what): expected the pull to fail, but it succeeded: \(ending.said.suffix(300))")
    try await expectNothingWrong(what, image.everything)
  }

  /// Either outcome will do, as long as it is true.
  func expectTruth(_ ending: Ending, _ what: String, _ image: TestImage) async throws {
    if ending.succeeded { try await expectWhole(ending, what, image) } else { try await expectNothingWrong(what, image.everything) }
  }
}

extension Capability {
  /// Silence is taken for an end within seconds.
  public static let idleTimeout = Capability("idleTimeout")
}
