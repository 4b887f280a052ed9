import Hashing
import Protocols

extension LayerIndex {
  /// The most that a span of another's index may make, what is skipped included.
  static let mostForeignSpan: Int64 = 1 << 30
  /// The most that the files of a layer may have together, holes included: so that those of a stack of layers can be added up.
  static let mostOfFiles: Int64 = 1 << 56

  /// Compares the index with the whole blob: every span by itself, the archive, and the blob's digest. `dataLoss` says what is wrong.
  ///
  /// Where the spans do not make the archive, the blob is read once more for it.
  /// - Parameter progress: spans done, of all.
  public func verify(fetch: Fetch, progress: (Int, Int) -> Void = { _, _ in }) throws {
    try check()
    var hasher = Hasher(diffID?.algorithm ?? .sha256)
    for (number, span) in spans.enumerated() {
      hasher.update(try unpack(span, from: try fetch(span.blobRange)))
      progress(number + 1, spans.count)
    }
    if archive == .tar {
      try compare(diffID: hasher.digest())
    } else {
      try verifyWhole(fetch: fetch)
    }
  }

  /// Reads the blob from beginning to end and compares its digest, and its archive's if the index has one. Spans do not matter.
  public func verifyWhole(fetch: Fetch) throws {
    try withoutActuallyEscaping(fetch) { fetch in
      let blob = HashedBytes(FetchedBytes(size: size, fetch: fetch), self.blob.algorithm)
      var failure: (any Error)?
      do {
        let bytes = try packing.archive(of: blob, spanSize: .max)
        var hasher = Hasher(diffID?.algorithm ?? .sha256)
        while let part = try bytes.next() { hasher.update(part) }
        try compare(diffID: hasher.digest())
      } catch { failure = error }
      // Of a blob that is another one, that is what is said.
      while try blob.next() != nil {}
      if blob.digest != self.blob { throw ContainerdError(.dataLoss, "blob \(self.blob): the \(size) bytes that were read have the digest \(blob.digest)") }
      if let failure { throw failure }
    }
  }

  private func compare(diffID digest: Digest) throws {
    if let diffID, digest != diffID { throw ContainerdError(.dataLoss, "the archive in \(blob): expected \(diffID), got \(digest)") }
  }

  /// Whether the index is sound in itself: spans without gaps, files within the archive. Who reads one that others made asks first.
  public func check() throws(ContainerdError) {
    if size < 0 || archiveSize < 0 { throw wrong("negative sizes") }
    var (blobEnd, archiveEnd): (Int64, Int64) = (0, 0)
    for (number, span) in spans.enumerated() {
      try check(span, number)
      let (begin, end) = (span.blobRange.lowerBound, span.blobRange.upperBound)
      switch archive {
      case .tar, .beginning:
        var shared: Int64 = 0
        if case .block(let bits, _) = span.start, bits > 0 { shared = 1 }
        // In front of the first may stand a header of gzip that is not needed.
        let follows = begin == blobEnd - shared || (archive == .beginning && number == 0 && begin >= 0)
        if !follows || begin < 0 { throw wrong("span \(number) does not begin where the one before it ends") }
      case .contents:
        // `blobEnd` is where the one before it begins.
        if begin < blobEnd || end > size { throw wrong("span \(number) is from \(begin) to \(end), behind one from \(blobEnd), in \(size) bytes") }
      }
      if span.archiveRange.lowerBound != archiveEnd { throw wrong("span \(number) does not begin where the one before it ends") }
      (blobEnd, archiveEnd) = (archive == .contents ? begin : end, span.archiveRange.upperBound)
    }
    if archiveEnd != archiveSize { throw wrong("its spans end at \(archiveEnd), the archive at \(archiveSize)") }
    if archive != .contents, blobEnd != size { throw wrong("its spans end at \(blobEnd), the blob at \(size)") }
    var bytes: Int64 = 0
    for entry in entries {
      try check(entry)
      if entry.size > Self.mostOfFiles - bytes { throw wrong("its files have more than \(Self.mostOfFiles) bytes, with \"\(entry.text)\"") }
      bytes += entry.size
    }
    for place in prefetch where !entries.indices.contains(place) || entries[place].kind != .file {
      throw wrong("entry \(place), which is to be fetched first, is no file")
    }
  }

  private func wrong(_ why: String) -> ContainerdError { .invalidArgument("index of \(blob): \(why)") }

  private func check(_ span: Span, _ number: Int) throws(ContainerdError) {
    // `SpanTable` has room for no other.
    if span.digest.algorithm != .sha256 { throw wrong("span \(number) has a digest of \(span.digest.algorithm), not of sha256") }
    if case .block(let bits, let window) = span.start, !(0...7).contains(bits) || window.count > CheckpointingInflater.windowSize || packing != .gzip {
      throw wrong("span \(number) begins at \(bits) bits with a window of \(window.count) bytes")
    }
    let (packed, unpacked) = (span.blobRange.upperBound - span.blobRange.lowerBound, span.archiveRange.upperBound - span.archiveRange.lowerBound)
    if span.skip < 0 || span.skip > (archive == .contents ? Self.mostForeignSpan : 0) || (archive != .tar && unpacked > Self.mostForeignSpan - span.skip) {
      throw wrong("span \(number) makes \(unpacked) bytes behind \(span.skip) others")
    }
    // Deflate makes at most 1032 bytes of one (zlib's technical notes, "Maximum Compression Factor"); zstd 128 KiB of a block of four (RFC 8878, 3.1.1.2).
    let isPossible =
      switch packing {
      case .plain: packed == unpacked && span.skip == 0
      case .gzip: (unpacked + span.skip) / 1032 <= packed
      case .zstd: (unpacked + span.skip) / (128 << 10) <= packed / 4
      }
    if !isPossible { throw wrong("span \(number) makes \(unpacked) bytes of \(packed)") }
  }

  private func check(_ entry: Entry) throws(ContainerdError) {
    // What the kernel has room for (include/linux/kdev_t.h).
    if entry.major >= 1 << 12 || entry.minor >= 1 << 20 { throw wrong("\"\(entry.text)\" is device \(entry.major):\(entry.minor)") }
    if entry.size < 0 || (entry.kind != .file && entry.size != 0) { throw wrong("\"\(entry.text)\" is a \(entry.kind.rawValue) of \(entry.size) bytes") }
    var end: Int64 = 0
    for piece in entry.pieces {
      if piece.offset < end || piece.count <= 0 || piece.place < 0 || piece.offset > entry.size - piece.count || piece.place > archiveSize - piece.count {
        throw wrong("\"\(entry.text)\" has \(piece.count) bytes at \(piece.offset) that lie at \(piece.place)")
      }
      end = piece.offset + piece.count
    }
  }
}

/// A blob out of the pieces that somebody fetches.
private final class FetchedBytes: BlobBytes {
  private let size: Int64
  private let fetch: LayerIndex.Fetch
  private var place: Int64 = 0
  private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)

  init(size: Int64, fetch: @escaping LayerIndex.Fetch) {
    self.size = size
    self.fetch = fetch
  }
  deinit { memory.deallocate() }

  func next() throws -> UnsafeRawBufferPointer? {
    let count = min(Int64(memory.count), size - place)
    if count <= 0 { return nil }
    let bytes = try fetch(place..<place + count)
    if bytes.count != Int(count) { throw ContainerdError(.dataLoss, "\(count) bytes from \(place) on were wanted, \(bytes.count) came") }
    bytes.withUnsafeBytes { memory.copyMemory(from: $0) }
    place += count
    return UnsafeRawBufferPointer(rebasing: memory[0..<Int(count)])
  }
}
