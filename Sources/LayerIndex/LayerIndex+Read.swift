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
}
