import BlockingIO
import CLinux
import FuseSnapshotter
import Hashing
import LayerIndex
import LazyLayers
import OCI
import Protocols
import Synchronization
import SystemKit

/// What a lazy snapshotter asks about images: out of a content store, a registry, and the indexes on this machine.
public final class ImageLibrary: LazyImages {
  /// The content store of a namespace.
  public typealias Content = @Sendable (_ namespace: String) -> any ImageContent
  /// Makes the index of a layer out of the content store of a namespace and puts it on the shelf, by a process that is in nobody's way. Blocking.
  /// - Returns: its length in bytes.
  public typealias Maker = @Sendable (_ layer: Descriptor, _ namespace: String) throws -> Int

  private let resolver: any Resolver
  private let content: Content
  private let shelf: IndexShelf
  private let pool = BlockingPool(label: "indexes", width: 2)
  private let scratch: String
  private let work: WorkPlace
  private let maker: Maker?
  private let smallest: Int64
  private let trust: IndexTrust
  private let referred: ReferredIndexes?
  private let repositories: [String]
  private let log: @Sendable (String) -> Void
  private let making = Mutex<Set<Digest>>([])
  private let memory = ImageSearchMemory()

  /// - Parameters:
  ///   - smallest: layers with fewer bytes alone make no image lazy: fetching them is as quick as asking for them.
  ///   - work: where indexes are read.
  ///   - maker: makes indexes; without one this process does.
  ///   - referred: what refers to images in their registries; nil asks none.
  ///   - repositories: others that may hold what refers to an image, `registry/repository`. They are asked under `IndexTrust.any` only.
  public init(
    resolver: any Resolver, content: @escaping Content, indexes: String, smallest: Int64 = 0, referred: ReferredIndexes? = nil,
    trust: IndexTrust = .repository, repositories: [String] = [], work: WorkPlace = .here, maker: Maker? = nil,
    log: @escaping @Sendable (String) -> Void
  ) {
    self.work = work
    self.maker = maker
    // Nobody else has a name there. What cannot be removed is in nobody's way.
    scratch = "\(indexes)/read"
    try? Files.removeTree(scratch)
    self.referred = referred
    self.trust = trust
    self.repositories = repositories
    self.resolver = resolver
    self.content = content
    self.smallest = smallest
    self.log = log
    shelf = IndexShelf(root: indexes)
  }

  public func find(_ request: LazyRequest) async throws -> LazyAnswer {
    let images = try await images(request)
    if images.isEmpty { return .declined("no image on this machine has it", .unknownImage) }
    var answer: LazyAnswer?
    for image in images {
      switch try await offers(image, depth: image.depth(of: request.reference) ?? 0, but: request.placed) {
      case .layers(let name, let offers): return .layers(image: name, offers)
      case let declined: answer = answer ?? declined
      }
    }
    return answer ?? .declined("no image on this machine has it", .unknownImage)
  }

  /// The image's lowest layers, or what is wrong with the first that cannot be lazy.
  private func offers(_ image: KnownImage, depth: Int, but placed: Set<Digest>) async throws -> LazyAnswer {
    var offers: [LazyOffer] = []
    for (layer, diffID) in zip(image.layers, image.diffIDs).prefix(depth) {
      if placed.contains(layer.digest) {
        offers.append(LazyOffer(blob: layer, diffID: diffID))
        continue
      }
      var reasons: [String] = []
      guard let (found, accesses) = try await index(of: layer, diffID, image, &reasons) else {
        return .declined("there is no index of layer \(layer.digest) of \(image.reference): \(reasons.joined(separator: "; "))", .noIndex)
      }
      if let told = found.diffID, told != diffID {
        return .declined("the index of layer \(layer.digest) is of an archive \(told), the image says \(diffID)", .wrongIndex)
      }
      if !found.isSeekable { return .declined("layer \(layer.digest) of \(image.reference) can only be unpacked whole", .notSeekable) }
      offers.append(found.offer(layer, diffID, accesses))
    }
    return .layers(image: image.reference, offers)
  }

  public func source(of layer: Descriptor, image: String) throws -> any LayerSource { FetchedBlob(layer, from: try resolver.fetcher(for: image)) }

  public func unpacked(_ request: LazyRequest) async {
    do {
      let content = content(Self.namespace(request.key))
      for image in try await images(request) {
        guard let depth = image.depth(of: request.reference) else { continue }
        try await learn(image.layers[depth - 1], content, Self.namespace(request.key))
        return
      }
    } catch { log("no index was made of the layer of \(request.reference): \(error)") }
  }

  public func remember(_ accesses: [UInt8], of layer: Digest) throws { try shelf.writeAccesses(accesses, for: layer) }

  public func distrust(_ layer: Digest) async {
    do { try await pool.run { [shelf] in try shelf.distrust(layer) } } catch { log("the index of \(layer) is wrong, and could not be put away: \(error)") }
  }

  // MARK: parts

  private func images(_ request: LazyRequest) async throws -> [KnownImage] {
    let namespace = Self.namespace(request.key)
    let search = ImageSearch(content: content(namespace), namespace: namespace, memory: memory, labels: request.labels)
    return try await search.images(with: request.reference)
  }

  /// In this order: the one on this machine, one that refers to the image, the one in the layer itself. Without one, the reasons say what was looked for.
  private func index(
    of layer: Descriptor, _ diffID: Digest, _ image: KnownImage, _ reasons: inout [String]
  ) async throws -> (LazyOffer.Index, accesses: [UInt8]?)? {
    let (known, isDistrusted) = try await pool.run { [self] in (try shelved(layer.digest), shelf.isDistrusted(layer.digest)) }
    if let known, known.size == layer.size { return (.ready(known), await accesses(of: layer)) }
    reasons.append("none was made on this machine")
    if trust == .local {
      reasons.append("and none of others is believed")
      return nil
    }
    if isDistrusted {
      reasons.append("and one of others was wrong")
      return nil
    }
    var isLeftOut = false
    if let referred {
      for repository in [image.repository] + (trust == .any ? repositories : []) {
        let found = try await referred.index(of: layer, diffID, image, in: repository, reasons: &reasons) { [self] bytes, form in
          try await pool.run { [self] in try ready(bytes, form) }
        }
        switch found {
        case .index(let index, let accesses): return (.ready(index), accesses)
        case .leftOut: isLeftOut = true
        case .nothing: break
        }
      }
    }
    if let found = try await table(of: layer, diffID, image, &reasons) { return (found, nil) }
    return isLeftOut ? try await fetched(layer, image, &reasons).map { (.ready($0), nil) } : nil
  }

  /// Whoever makes indexes of an image may leave its small layers out, as SOCI does with those below 10 MiB. They are fetched as they are, and get theirs here.
  private func fetched(_ layer: Descriptor, _ image: KnownImage, _ reasons: inout [String]) async throws -> ReadyIndex? {
    // Of what has no packing that we know there is no index.
    if layer.size > Self.mostFetched || (try? LayerIndex.Packing(mediaType: layer.mediaType)) == nil { return nil }
    do {
      let bytes = try await resolver.fetcher(for: image.reference).read(layer, 0..<layer.size)
      let index = try await pool.run { [self] in
        let index = try ready(bytes, .layer(mediaType: layer.mediaType, digest: "\(layer.digest)"))
        try shelf.write(try index.bytes(), for: layer.digest)
        return index
      }
      log("layer \(layer.digest): nobody has made an index of it, it was made of its \(layer.size) bytes")
      return index
    } catch let error as ContainerdError where error.code != .canceled {
      reasons.append("it is small, and could not be fetched whole: \(error.message)")
      return nil
    }
  }
  /// Takes seconds at most where an image is pulled at all.
  private static let mostFetched: Int64 = 16 << 20

  /// Without it a layer is as lazy as with it.
  private func accesses(of layer: Descriptor) async -> [UInt8]? {
    do { return try await pool.run { [shelf] in try shelf.readAccesses(layer.digest) } } catch {
      log("layer \(layer.digest): what an earlier start needed first cannot be read: \(error)")
      return nil
    }
  }

  /// nil if there is none, or none that can be read: another is made then. Blocking.
  private func shelved(_ layer: Digest) throws -> ReadyIndex? {
    if !shelf.has(layer) { return nil }
    do { return try ReadyIndex(file: shelf.path(layer), scratch: scratch, by: work) } catch let error as ContainerdError {
      if error.code == .notFound { return nil }
      if error.code != .invalidArgument { throw error }
      try shelf.remove(layer)
      return nil
    }
  }

  /// Blocking.
  private func ready(_ bytes: [UInt8], _ form: ReadyIndex.Form) throws -> ReadyIndex {
    try Files.makeDirectories(scratch, mode: 0o700)
    let file = "\(scratch)/\(UInt64.random(in: 0...UInt64.max)).fetched"
    try Files.writeAtomically(bytes, to: file)
    defer { unlink(file) }
    return try ReadyIndex(file: file, form: form, scratch: scratch, by: work)
  }

  private func table(of layer: Descriptor, _ diffID: Digest, _ image: KnownImage, _ reasons: inout [String]) async throws -> LazyOffer.Index? {
    let fetcher = try resolver.fetcher(for: image.reference)
    let annotations = (image.annotations[layer.digest] ?? [:]).filter { ForeignIndex.isOfInterest(annotation: $0.key) }
    let file = "\(scratch)/\(UInt64.random(in: 0...UInt64.max)).table"
    defer { unlink(file) }
    do {
      try await pool.run { [scratch] in try Files.makeDirectories(scratch, mode: 0o700) }
      guard let found = try await LayerTable.fetch(layer, annotations: annotations, fetcher, to: file) else {
        reasons.append("the layer has no table of its own")
        return nil
      }
      let index = try await pool.run { [self] in
        let form = ReadyIndex.Form.table(
          mediaType: layer.mediaType, digest: "\(layer.digest)", size: layer.size, annotations: annotations, diffID: "\(diffID)")
        return try ReadyIndex(file: file, form: form, scratch: scratch, by: work)
      }
      if !found.isBound {
        log("layer \(layer.digest): its own \(found.form.rawValue) table is believed until the layer is complete: no annotation vouches for it")
      }
      return .ready(index)
    } catch let error as ContainerdError where [.invalidArgument, .dataLoss, .notImplemented].contains(error.code) {
      log("layer \(layer.digest) has a table that cannot be used: \(error.message)")
      reasons.append("the layer's own table cannot be used: \(error.message)")
      return nil
    }
  }

  /// Makes an index once, however many ask for it.
  private func learn(_ layer: Descriptor, _ content: any ContentProvider, _ namespace: String) async throws {
    if await pool.run({ [shelf] in shelf.has(layer.digest) }) { return }
    if !making.withLock({ $0.insert(layer.digest).inserted }) { return }
    defer { _ = making.withLock { $0.remove(layer.digest) } }
    let began = ContinuousClock.now
    let count: Int
    if let maker {
      count = try await DedicatedThread.run { try maker(layer, namespace) }
    } else {
      let bytes = try await IndexMaker.make(layer, from: content)
      try await pool.run { [shelf] in try shelf.write(bytes, for: layer.digest) }
      count = bytes.count
    }
    log("layer \(layer.digest): index of \(count) bytes for \(layer.size), made in \(began.duration(to: .now))")
  }

  /// containerd's metadata store begins its keys with the namespace: `default/5/extract-…`. Others are in containerd's own default.
  static func namespace(_ key: String) -> String {
    let parts = key.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
    return parts.count == 3 && Int(parts[1]) != nil && !parts[0].isEmpty ? String(parts[0]) : "default"
  }
}

extension LazyOffer.Index {
  fileprivate var diffID: Digest? {
    switch self {
    case .made(let index, _): index.diffID
    case .ready(let index): index.diffID
    }
  }
  fileprivate var isSeekable: Bool {
    switch self {
    case .made(let index, _): index.isSeekable
    case .ready(let index): index.isSeekable
    }
  }
  fileprivate func offer(_ layer: Descriptor, _ diffID: Digest, _ accesses: [UInt8]?) -> LazyOffer {
    switch self {
    case .made(let index, let bytes): LazyOffer(blob: layer, diffID: diffID, index: index, bytes: bytes, accesses: accesses)
    case .ready(let index): LazyOffer(blob: layer, diffID: diffID, index: index, accesses: accesses)
    }
  }
}
