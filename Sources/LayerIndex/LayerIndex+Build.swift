import Hashing
import Protocols

extension LayerIndex {
  /// Reads the blob once, as an ordinary pull does, and makes its index on the way. Blocking: for a thread of its own.
  ///
  /// - Parameters:
  ///   - mediaType: the layer's; `notImplemented` for what is neither plain nor gzip nor zstd. zstd can only be begun at a frame: what is in a single one
  ///     has an index of one span, which is not `isSeekable`.
  ///   - expected: the blob's digest, whose algorithm is used. `dataLoss` if the bytes have another.
  ///   - spanSize: bytes of the archive that are unpacked for one, at least; a span ends with the block of deflate that it is full in.
  public static func build(
    from blob: any BlobBytes, mediaType: String, expected: Digest? = nil, spanSize: Int64 = 1 << 20
  ) throws -> LayerIndex {
    if spanSize < 4096 { throw ContainerdError.invalidArgument("spans of \(spanSize) bytes are too small: at least 4096") }
    let packing = try Packing(mediaType: mediaType)
    let hashed = HashedBytes(blob, expected?.algorithm ?? .sha256)
    let archive = try packing.archive(of: hashed, spanSize: spanSize)
    var counted = Counted()
    let entries = try withUnsafeMutablePointer(to: &counted) { counted in
      func next() throws -> UnsafeRawBufferPointer? {
        guard let bytes = try archive.next() else { return nil }
        counted.pointee.hasher.update(bytes)
        counted.pointee.size += Int64(bytes.count)
        return bytes
      }
      let entries = try TarScanner.entries { try next() }
      // Bytes behind the archive's end mark belong to the layer as well.
      while try next() != nil {}
      return entries
    }
    if let expected, hashed.digest != expected {
      throw ContainerdError(.dataLoss, "blob \(expected): the \(hashed.size) bytes that were read have the digest \(hashed.digest)")
    }
    return LayerIndex(
      blob: hashed.digest, size: hashed.size, packing: packing, diffID: counted.hasher.digest(), archiveSize: counted.size, spans: archive.finished(),
      entries: entries)
  }

  private struct Counted: ~Copyable {
    var hasher = Hasher()
    var size: Int64 = 0
  }
}

extension LayerIndex.Packing {
  /// By the layer's media type (OCI image-spec, layer.md; Docker schema 2).
  public init(mediaType: String) throws(ContainerdError) {
    if mediaType.hasSuffix(".tar") {
      self = .plain
    } else if mediaType.hasSuffix(".tar+gzip") || mediaType.hasSuffix(".tar.gzip") {
      self = .gzip
    } else if mediaType.hasSuffix(".tar+zstd") || mediaType.hasSuffix(".tar.zstd") {
      self = .zstd
    } else {
      throw .notImplemented("an index of media type \"\(mediaType)\"")
    }
  }

  func archive(of blob: any BlobBytes, spanSize: Int64) throws -> any ArchiveBytes {
    switch self {
    case .plain: PlainSpans(blob, spanSize: spanSize)
    case .gzip: try CheckpointingInflater(blob, spanSize: spanSize)
    case .zstd: try FrameSpans(blob, spanSize: spanSize)
    }
  }
}
