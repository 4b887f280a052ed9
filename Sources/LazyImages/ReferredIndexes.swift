import BlockingIO
import Hashing
import LayerIndex
import LazyLayers
import OCI
import Protocols

/// Indexes that refer to an image in a registry, or that its manifest names: ours and SOCI's.
///
/// What a registry said of an image is remembered for a while, so that an image of many layers asks once. A registry that cannot be asked has none.
public actor ReferredIndexes {
  /// What is known of an image's referrers.
  public struct Listing: Sendable {
    public var artifacts: [IndexArtifact] = []
    /// In words, where it could not be asked, or where an artifact could not be read.
    public var failures: [String] = []

    /// Whether some layer of the image has an index here.
    func holdsAny(of image: KnownImage) -> Bool { artifacts.contains { artifact in image.layers.contains { artifact.indexes[$0.digest] != nil } } }

    /// For messages about a layer that has no index.
    var words: String {
      let known = artifacts.isEmpty ? "no artifact with indexes refers to the image" : "\(artifacts.count) artifacts with indexes refer to the image"
      return ([known] + failures).joined(separator: "; ")
    }
  }

  private let resolver: any Resolver
  private let source: any ReferrerResolver
  private let memory: Duration
  private let patience: Duration
  private let debug: @Sendable (String) -> Void
  private let pool = BlockingPool(label: "referred indexes", width: 1)

  private struct Asked {
    var listing: Task<Listing, Never>
    var at: ContinuousClock.Instant
  }
  private var asked: [String: Asked] = [:]
  private static let mostAsked = 1000
  private static let mostArtifacts = 16

  /// - Parameters:
  ///   - memory: for how long a registry's answer is good.
  ///   - patience: how long a registry may take to say what refers to an image.
  public init(
    resolver: any Resolver, source: any ReferrerResolver, memory: Duration = .seconds(60), patience: Duration = .seconds(5),
    debug: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.resolver = resolver
    self.source = source
    self.memory = memory
    self.patience = patience
    self.debug = debug
  }

  /// Everything in a repository that holds indexes of an image: ours before others, what the manifest names before what refers to it, the newest first.
  public func listing(of image: KnownImage, in repository: String) async -> Listing {
    let manifest = image.manifest.digest
    let key = "\(repository) \(manifest)"
    let now = ContinuousClock.now
    if let known = asked[key], now - known.at < memory { return await known.listing.value }
    if asked.count >= Self.mostAsked { asked = asked.filter { now - $0.value.at < memory } }
    // Not a child of ours: who asks may give up, and others wait for the same answer.
    let task = Task { [resolver, source, patience, debug] in
      let listing = await Self.ask(image, repository, resolver, source, patience)
      for failure in listing.failures { debug("image \(repository)@\(manifest): \(failure)") }
      return listing
    }
    if asked.count < Self.mostAsked { asked[key] = Asked(listing: task, at: now) }
    return await task.value
  }

  enum Found {
    case index(ReadyIndex, accesses: [UInt8]?)
    /// There are indexes of other layers of the image.
    case leftOut
    case nothing
  }

  /// An index of the layer that fits. Why others were not taken is added to the reasons.
  /// - Parameter read: reads what was fetched.
  func index(
    of layer: Descriptor, _ diffID: Digest, _ image: KnownImage, in repository: String, reasons: inout [String],
    read: @Sendable ([UInt8], ReadyIndex.Form) async throws -> ReadyIndex
  ) async throws -> Found {
    let listing = await listing(of: image, in: repository)
    var candidates = 0
    for artifact in listing.artifacts {
      guard let descriptor = artifact.indexes[layer.digest] else { continue }
      candidates += 1
      do {
        let bytes = try await bytes(of: descriptor, layer, repository)
        let index: ReadyIndex
        switch artifact.form {
        case .own:
          index = try await read(bytes, .own)
          try Self.check(index, layer, diffID)
        case .soci: index = try await read(bytes, .soci(blob: "\(layer.digest)", size: layer.size, diffID: "\(diffID)"))
        }
        return .index(index, accesses: await accesses(of: layer, artifact, repository))
      } catch let error as ContainerdError where error.code != .canceled {
        reasons.append("the index \(descriptor.digest) in artifact \(artifact.manifest.digest) cannot be used: \(error.message)")
      }
    }
    if candidates > 0 { return .nothing }
    reasons.append("in \(repository) \(listing.words)" + (listing.artifacts.isEmpty ? "" : ", and none has this layer"))
    return listing.holdsAny(of: image) ? .leftOut : .nothing
  }

  // MARK: parts

  private static func ask(
    _ image: KnownImage, _ repository: String, _ resolver: any Resolver, _ source: any ReferrerResolver, _ patience: Duration
  ) async -> Listing {
    let isNamed = image.named != nil && repository == image.repository
    async let named = inTime(patience, "artifact \(image.named?.description ?? ""), which the image names, cannot be read") {
      isNamed ? try await self.named(by: image, resolver) : Listing()
    }
    var listing = await inTime(patience, "its referrers could not be asked for") { try await list(image.manifest.digest, repository, resolver, source) }
    listing.artifacts.insert(contentsOf: await named.artifacts, at: listing.artifacts.firstIndex { $0.form != .own } ?? listing.artifacts.count)
    listing.failures = await named.failures + listing.failures
    return listing
  }

  /// - Parameter failure: what is said of one, before its cause.
  private static func inTime(_ patience: Duration, _ failure: String, _ body: @escaping @Sendable () async throws -> Listing) async -> Listing {
    do {
      return try await withThrowingTaskGroup(of: Listing.self) { group in
        group.addTask(operation: body)
        group.addTask {
          try await Task.sleep(for: patience)
          throw ContainerdError(.deadlineExceeded, "no answer within \(patience)")
        }
        defer { group.cancelAll() }
        return try await group.next() ?? Listing()
      }
    } catch { return Listing(failures: ["\(failure): \((error as? ContainerdError)?.message ?? "\(error)")"]) }
  }

  private static func list(_ manifest: Digest, _ repository: String, _ resolver: any Resolver, _ source: any ReferrerResolver) async throws -> Listing {
    let all = try await source.referrers(for: repository).referrers(of: manifest, artifactType: nil)
    var listing = Listing()
    let fetcher = try resolver.fetcher(for: repository)
    for form in IndexArtifact.Form.allCases {
      let created = "org.opencontainers.image.created"
      let ours = all.filter { $0.artifactType == form.artifactType }.sorted {
        let (left, right) = ($0.annotations[created] ?? "", $1.annotations[created] ?? "")
        return left == right ? "\($0.digest)" < "\($1.digest)" : left > right
      }
      for descriptor in ours.prefix(mostArtifacts) {
        do {
          listing.artifacts.append(try IndexArtifact(form, descriptor, parsing: try await read(descriptor, fetcher), subject: manifest))
        } catch let error as ContainerdError where error.code != .canceled {
          listing.failures.append("artifact \(descriptor.digest) cannot be read: \(error.message)")
        }
      }
    }
    return listing
  }

  /// The artifact that the image's manifest names, which is in the same repository.
  private static func named(by image: KnownImage, _ resolver: any Resolver) async throws -> Listing {
    guard let digest = image.named else { return Listing() }
    let descriptor = try await resolver.resolve("\(image.repository)@\(digest)").target
    let bytes = try await read(descriptor, try resolver.fetcher(for: image.repository))
    return Listing(artifacts: [try IndexArtifact(.soci, descriptor, parsing: bytes, subject: nil)])
  }

  private static func read(_ descriptor: Descriptor, _ fetcher: any Fetcher) async throws -> [UInt8] {
    guard MediaType.isManifest(descriptor.mediaType) else {
      throw ContainerdError.notImplemented("it is of media type \"\(descriptor.mediaType)\"")
    }
    if descriptor.size > IndexArtifact.mostManifest { throw ContainerdError.invalidArgument("its manifest has \(descriptor.size) bytes") }
    let bytes = try await fetcher.read(descriptor, 0..<descriptor.size)
    if Digest.of(bytes, descriptor.digest.algorithm) != descriptor.digest { throw ContainerdError(.dataLoss, "its bytes are others") }
    return bytes
  }

  private func bytes(of index: Descriptor, _ layer: Descriptor, _ repository: String) async throws -> [UInt8] {
    if !IndexArtifact.isReasonable(index, for: layer) {
      throw ContainerdError.invalidArgument("it has \(index.size) bytes, for a layer of \(layer.size)")
    }
    let bytes = try await resolver.fetcher(for: repository).read(index, 0..<index.size)
    if await pool.run({ Digest.of(bytes, index.digest.algorithm) }) != index.digest { throw ContainerdError(.dataLoss, "its bytes are others") }
    debug("layer \(layer.digest): the index \(index.digest) was fetched from \(repository)")
    return bytes
  }

  /// What was needed of the layer first, as whoever published the index has seen it. Without it the layer is as lazy as with it.
  private func accesses(of layer: Descriptor, _ artifact: IndexArtifact, _ repository: String) async -> [UInt8]? {
    guard let list = artifact.accesses[layer.digest] else { return nil }
    do {
      if list.size < 1 || list.size > AccessList.mostBytes {
        throw ContainerdError.invalidArgument("it has \(list.size) bytes, at most \(AccessList.mostBytes) expected")
      }
      let bytes = try await resolver.fetcher(for: repository).read(list, 0..<list.size)
      if Digest.of(bytes, list.digest.algorithm) != list.digest { throw ContainerdError(.dataLoss, "its bytes are others") }
      return bytes
    } catch {
      debug("layer \(layer.digest): the list \(list.digest) of what is needed first cannot be used: \((error as? ContainerdError)?.message ?? "\(error)")")
      return nil
    }
  }

  private static func check(_ index: ReadyIndex, _ layer: Descriptor, _ diffID: Digest) throws(ContainerdError) {
    if index.blob != layer.digest || index.size != layer.size {
      throw .invalidArgument("it is of \(index.blob), \(index.size) bytes; the layer is \(layer.digest), \(layer.size) bytes")
    }
    if let told = index.diffID, told != diffID { throw .invalidArgument("it is of an archive \(told), the image says \(diffID)") }
  }
}
