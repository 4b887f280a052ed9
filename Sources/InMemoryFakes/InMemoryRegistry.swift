import Hashing
import Protocols
import Synchronization

/// A registry and its client in one: what was registered can be resolved and fetched.
///
///     let registry = InMemoryRegistry(trace: trace)
///     let layer = registry.add(blob: bytes, mediaType: "application/vnd.oci.image.layer.v1.tar")
///     registry.add(manifest: json, mediaType: "application/vnd.oci.image.manifest.v1+json", as: "registry.test/a:1")
///
/// References are compared as they are, without defaults filled in; `NAME@DIGEST` finds a registered manifest whatever the name.
/// Trace and fault names: `registry.resolve`, `.fetcher`, `.fetch`. A `drop` fault on `fetch` breaks the stream, for good: the contract's
/// promise of retries inside the fetcher is what the fake lets tests of callers break.
public final class InMemoryRegistry: Resolver {
  struct State {
    var blobs: [Digest: [UInt8]] = [:]
    var names: [String: Descriptor] = [:]
    var manifests: [Digest: Descriptor] = [:]
  }
  let instrument: Instrument
  let state = Mutex(State())
  let chunk: Int

  /// `chunk` is how many bytes a stream delivers at a time.
  public init(trace: CallTrace = CallTrace(), faults: FaultPlan = FaultPlan(), chunk: Int = 64 << 10) {
    self.instrument = Instrument(component: "registry", trace: trace, faults: faults)
    self.chunk = chunk
  }

  @discardableResult
  public func add(blob bytes: [UInt8], mediaType: String) -> Descriptor {
    let descriptor = Descriptor(mediaType: mediaType, digest: Digest.of(bytes), size: Int64(bytes.count))
    state.withLock { $0.blobs[descriptor.digest] = bytes }
    return descriptor
  }

  /// Without names it can be reached by digest only, as a manifest below an index.
  @discardableResult
  public func add(manifest bytes: [UInt8], mediaType: String, as names: String...) -> Descriptor {
    let descriptor = add(blob: bytes, mediaType: mediaType)
    state.withLock { state in
      state.manifests[descriptor.digest] = descriptor
      for name in names { state.names[name] = descriptor }
    }
    return descriptor
  }

  /// A registry gone bad: these bytes are sent in place of the blob's own.
  public func corrupt(_ digest: Digest, with bytes: [UInt8]) { state.withLock { $0.blobs[digest] = bytes } }

  public func remove(_ digest: Digest) { state.withLock { $0.blobs[digest] = nil } }

  public func resolve(_ reference: String) async throws -> ResolvedImage {
    try await instrument.enter("resolve", reference)
    try Self.validate(reference)
    return try state.withLock { state in
      if let target = state.names[reference] { return ResolvedImage(name: reference, target: target) }
      if let at = reference.lastIndex(of: "@") {
        let digest = try Digest(parsing: String(reference[reference.index(after: at)...]))
        if let target = state.manifests[digest] { return ResolvedImage(name: reference, target: target) }
      }
      throw ContainerdError.notFound("image \(reference)")
    }
  }

  public func fetcher(for reference: String) throws -> any Fetcher {
    try instrument.enterNow("fetcher", reference)
    try Self.validate(reference)
    return InMemoryFetcher(registry: self)
  }

  private static func validate(_ reference: String) throws {
    if reference.isEmpty || reference.contains(" ") { throw ContainerdError.invalidArgument("reference \"\(reference)\"") }
  }
}
