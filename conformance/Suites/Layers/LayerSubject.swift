import Protocols

/// An applier and a differ, with a content store and a snapshotter to work on.
public struct LayerSubject: Sendable {
  public var applier: any LayerApplier
  public var differ: any LayerDiffer
  public var content: any ContentStore
  public var snapshotter: any Snapshotter
  public var trees: (any TreeAccess)?
  public var digest: @Sendable ([UInt8]) -> Digest
  public var keep: (any Sendable)?

  public init(
    applier: any LayerApplier, differ: any LayerDiffer, content: any ContentStore, snapshotter: any Snapshotter, trees: (any TreeAccess)? = nil,
    keep: (any Sendable)? = nil, digest: @escaping @Sendable ([UInt8]) -> Digest
  ) {
    self.applier = applier
    self.differ = differ
    self.content = content
    self.snapshotter = snapshotter
    self.trees = trees
    self.keep = keep
    self.digest = digest
  }

  package static let plain = "application/vnd.oci.image.layer.v1.tar"

  /// Puts the bytes into the store, and says what they are.
  package func stored(_ bytes: [UInt8], mediaType: String = plain) async throws -> Descriptor {
    let digest = digest(bytes)
    do {
      let writer = try await content.writer(ref: "\(digest)", expected: IngestExpectation(digest: digest))
      // A store that has the bytes for another namespace begins where they end.
      let offset = try await writer.status().offset
      if offset < Int64(bytes.count) { try await writer.write(Array(bytes[Int(offset)...]), at: offset) }
      _ = try await writer.commit(IngestExpectation(), labels: [:])
      await writer.close()
    } catch let error as ContainerdError where error.code == .alreadyExists {}
    return Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count))
  }

  @discardableResult
  package func apply(_ layer: Descriptor, to mounts: [Mount], diffID: Digest? = nil) async throws -> Descriptor {
    try await applier.apply(layer, from: content, to: mounts, options: ApplyOptions(diffID: diffID, sync: false))
  }

  package func tree(_ key: String = "a", on parent: String? = nil) async throws -> [Mount] { try await snapshotter.prepare(key, parent: parent, labels: [:]) }

  /// Applies the archives one above the other, each to a snapshot of its own, and gives the mounts of the top one.
  package func unpack(_ archives: [[UInt8]]) async throws -> [Mount] {
    var parent: String?
    for (number, archive) in archives.enumerated() {
      try await apply(try await stored(archive), to: try await tree("k\(number)", on: parent))
      try await snapshotter.commit("n\(number)", key: "k\(number)", labels: [:])
      parent = "n\(number)"
    }
    return try await snapshotter.view("top", parent: parent, labels: [:])
  }

  package func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    guard let trees else { throw Mismatch(description: "the case needs files, the subject has none") }
    try await trees.enter(mounts, body)
  }
}

/// Gives the same bytes whatever is asked for: a content store that is broken, or lies.
struct OneAnswer: ContentProvider, ContentReader {
  let bytes: [UInt8]
  var size: Int64 { Int64(bytes.count) }
  package func reader(_ digest: Digest) async throws -> any ContentReader { self }
  package func read(at offset: Int64, count: Int) async throws -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(count)) }
  package func close() async {}
}

extension Capability {
  /// The applier is told from where to read, and which DiffID to find. (Behind a socket it reads from its own daemon's store, and nobody tells it.)
  public static let handedContent = Capability("handedContent")
}

/// The contracts of `LayerApplier` and `LayerDiffer`.
public enum LayerSuite {
  public static let cases = applying + unpacking + compressing + diffing
}
