import Hashing
import Protocols

extension LayerIndex {
  /// Gives the bytes of the blob in a range, exactly so many.
  public typealias Fetch = (Range<Int64>) throws -> [UInt8]

  /// A part of the archive, out of no more spans than it lies in.
  public func archive(_ range: Range<Int64>, fetch: Fetch) throws -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= archiveSize else {
      throw ContainerdError(.outOfRange, "bytes \(range) of an archive of \(archiveSize)")
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(range.upperBound - range.lowerBound))
    for number in spans(holding: range) {
      let span = spans[number]
      let unpacked = try unpack(span, from: try fetch(span.blobRange))
      let part = range.clamped(to: span.archiveRange)
      bytes += unpacked[Int(part.lowerBound - span.archiveRange.lowerBound)..<Int(part.upperBound - span.archiveRange.lowerBound)]
    }
    return bytes
  }

  /// The bytes of a file in the layer. Its digest is checked too, if the index has one.
  /// - Parameter limit: `resourceExhausted` for a file with more bytes.
  public func contents(of entry: Entry, limit: Int64 = 1 << 32, fetch: Fetch) throws -> [UInt8] {
    guard entry.kind == .file else { throw ContainerdError.invalidArgument("\"\(entry.text)\" is a \(entry.kind.rawValue), not a file") }
    if entry.size > limit {
      throw ContainerdError(.resourceExhausted, "\"\(entry.text)\" has \(entry.size) bytes; \(limit) are the most that are read at once")
    }
    var bytes = [UInt8](repeating: 0, count: Int(entry.size))
    for piece in entry.pieces {
      let part = try archive(piece.place..<piece.place + piece.count, fetch: fetch)
      bytes.replaceSubrange(Int(piece.offset)..<Int(piece.offset + piece.count), with: part)
    }
    if let digest = entry.digest, Digest.of(bytes, digest.algorithm) != digest {
      throw ContainerdError(.dataLoss, "\"\(entry.text)\" in \(blob): expected \(digest), got \(Digest.of(bytes, digest.algorithm))")
    }
    return bytes
  }

  /// Compares the index with the whole blob: every span by itself, and the archive that they make together. `dataLoss` says what is wrong.
  /// - Parameter progress: spans done, of all.
  public func verify(fetch: Fetch, progress: (Int, Int) -> Void = { _, _ in }) throws {
    try check()
    var hasher = Hasher(diffID.algorithm)
    for (number, span) in spans.enumerated() {
      hasher.update(try unpack(span, from: try fetch(span.blobRange)))
      progress(number + 1, spans.count)
    }
    if hasher.digest() != diffID { throw ContainerdError(.dataLoss, "the archive in \(blob): expected \(diffID), got \(hasher.digest())") }
  }

  /// Whether the index is sound in itself: spans without gaps, files within the archive. Who reads one that others made asks first.
  public func check() throws(ContainerdError) {
    func wrong(_ why: String) -> ContainerdError { .invalidArgument("index of \(blob): \(why)") }
    if size < 0 || archiveSize < 0 { throw wrong("negative sizes") }
    var (blobEnd, archiveEnd): (Int64, Int64) = (0, 0)
    for (number, span) in spans.enumerated() {
      let shared: Int64 = if case .block(let bits, _) = span.start, bits > 0 { 1 } else { 0 }
      if case .block(let bits, let window) = span.start, !(0...7).contains(bits) || window.count > CheckpointingInflater.windowSize || packing == .plain {
        throw wrong("span \(number) begins at \(bits) bits with a window of \(window.count) bytes")
      }
      if span.blobRange.lowerBound != blobEnd - shared || span.archiveRange.lowerBound != archiveEnd || span.blobRange.lowerBound < 0 {
        throw wrong("span \(number) does not begin where the one before it ends")
      }
      // Deflate makes at most 1032 bytes of one (zlib's technical notes, "Maximum Compression Factor").
      let (packed, unpacked) = (span.blobRange.upperBound - span.blobRange.lowerBound, span.archiveRange.upperBound - span.archiveRange.lowerBound)
      if packing == .plain ? packed != unpacked : unpacked / 1032 > packed {
        throw wrong("span \(number) makes \(unpacked) bytes of \(packed)")
      }
      (blobEnd, archiveEnd) = (span.blobRange.upperBound, span.archiveRange.upperBound)
    }
    if archiveEnd != archiveSize { throw wrong("its spans end at \(archiveEnd), the archive at \(archiveSize)") }
    if blobEnd != size { throw wrong("its spans end at \(blobEnd), the blob at \(size)") }
    for entry in entries {
      var end: Int64 = 0
      for piece in entry.pieces {
        if piece.offset < end || piece.count <= 0 || piece.place < 0 || piece.offset > entry.size - piece.count || piece.place > archiveSize - piece.count {
          throw wrong("\"\(entry.text)\" has \(piece.count) bytes at \(piece.offset) that lie at \(piece.place)")
        }
        end = piece.offset + piece.count
      }
      if entry.size < 0 || (entry.kind != .file && entry.size != 0) { throw wrong("\"\(entry.text)\" is a \(entry.kind.rawValue) of \(entry.size) bytes") }
    }
  }
}
