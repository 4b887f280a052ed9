/// # Registries
///
/// A resolver turns a name into a descriptor; a fetcher delivers the bytes behind a descriptor. Neither stores anything: whoever
/// calls them owns the content store (OCI distribution-spec; law 2 of docs/architecture.md: pulling never spills into storage).
public protocol Resolver: Sendable {
  /// `docker.io/library/busybox:1.36` or `…@sha256:…` to the descriptor of its manifest or index.
  ///
  /// `notFound` if the registry has no such name; `unauthenticated` or `permissionDenied` if it will not tell us;
  /// `unavailable` when it cannot be reached after the retries; `invalidArgument` for a name that is none.
  func resolve(_ reference: String) async throws -> ResolvedImage

  /// A fetcher for blobs and manifests of the repository that the reference names. Does no network call.
  func fetcher(for reference: String) throws -> any Fetcher
}

public struct ResolvedImage: Hashable, Sendable {
  /// The reference with its defaults filled in.
  public var name: String
  public var target: Descriptor
  public init(name: String, target: Descriptor) {
    self.name = name
    self.target = target
  }
}

public protocol Fetcher: Sendable {
  /// Opens the blob or manifest from byte `offset` on.
  ///
  /// The stream delivers exactly `descriptor.size - offset` bytes or throws; interruptions are retried inside by ranged requests.
  /// It does not verify the digest when `offset > 0`: the content writer, which has seen all bytes, does. `notFound`,
  /// `unauthenticated`, `permissionDenied`, `unavailable` as `resolve`; `outOfRange` if the registry cannot resume there.
  func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream

  /// Exactly the bytes of `range`, or an error: what lazy pulling reads by.
  ///
  /// Interruptions are retried inside, from where they happened; cancelling the task ends the transfer. Nothing is kept, and no digest is verified: whoever
  /// asks for a part knows the digest of that part, or must not trust it. `outOfRange` if the range is not within `descriptor.size`, or if the registry
  /// cannot deliver it without an absurd number of other bytes; otherwise errors as `fetch`.
  func read(_ descriptor: Descriptor, _ range: Range<Int64>) async throws -> [UInt8]
}

extension Fetcher {
  /// For fetchers that know no ranges: opens the stream there and stops it when enough has come.
  public func read(_ descriptor: Descriptor, _ range: Range<Int64>) async throws -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= descriptor.size else {
      throw ContainerdError.outOfRange("\(descriptor.digest): bytes \(range.lowerBound) to \(range.upperBound) of \(descriptor.size)")
    }
    if range.isEmpty { return [] }
    let stream = try await fetch(descriptor, from: range.lowerBound)
    var bytes: [UInt8] = []
    do {
      while bytes.count < range.count, let piece = try await stream.next() { bytes += piece.prefix(range.count - bytes.count) }
    } catch {
      await stream.cancel()
      throw error
    }
    await stream.cancel()
    guard bytes.count == range.count else {
      throw ContainerdError.unavailable("\(descriptor.digest): the transfer ended at byte \(range.lowerBound + Int64(bytes.count)) of \(descriptor.size)")
    }
    return bytes
  }
}

/// Bytes in order, pulled by the reader: nothing is buffered beyond what was asked for.
public protocol ByteStream: Sendable {
  /// The next chunk, never empty; nil at the end. Not to be called concurrently.
  func next() async throws -> [UInt8]?
  /// Stops the transfer; harmless after the end.
  func cancel() async
}
