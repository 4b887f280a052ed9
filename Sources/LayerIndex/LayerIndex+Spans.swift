import CZlib
import Hashing
import Protocols

extension LayerIndex {
  /// Unpacks a span and checks its digest; where that covers the blob, before anything is unpacked.
  /// - Parameter blob: the bytes of the blob in the span's `blobRange`.
  /// - Throws: `dataLoss` if they are not those that were indexed; nothing of them is given then.
  public func unpack(_ span: Span, from blob: [UInt8]) throws(ContainerdError) -> [UInt8] {
    let what = "blob \(self.blob), bytes \(span.blobRange.lowerBound) to \(span.blobRange.upperBound)"
    if blob.count != Int(span.blobRange.upperBound - span.blobRange.lowerBound) {
      throw ContainerdError(.dataLoss, "\(what): \(blob.count) bytes came")
    }
    if span.covers == .blob { try Self.compare(blob, span.digest, what) }
    if packing == .plain, span.skip == 0 {
      if span.covers == .archive { try Self.compare(blob, span.digest, what) }
      return blob
    }
    let count = Int(span.archiveRange.upperBound - span.archiveRange.lowerBound)
    var archive = [UInt8](repeating: 0, count: Int(span.skip) + count)
    let packing = packing
    var problem: String?
    archive.withUnsafeMutableBufferPointer { output in
      blob.withUnsafeBufferPointer { input in
        switch packing {
        case .plain: problem = "plain bytes have nothing in front of them"
        case .gzip: problem = Self.inflate(span.start, input, output)
        case .zstd: problem = span.covers == .blob ? Zstd.unpackFrames(input, output) : Zstd.unpackBeginning(input, output)
        }
      }
    }
    if let problem {
      throw ContainerdError(.dataLoss, "\(what): \(problem)" + (span.covers == .blob ? ", though the digest is right: the index is not this blob's" : ""))
    }
    if span.skip > 0 { archive.removeFirst(Int(span.skip)) }
    if span.covers == .archive { try Self.compare(archive, span.digest, "\(what), unpacked") }
    return archive
  }

  private static func compare(_ bytes: [UInt8], _ expected: Digest, _ what: String) throws(ContainerdError) {
    let digest = Digest.of(bytes, expected.algorithm)
    if digest != expected { throw ContainerdError(.dataLoss, "\(what): expected \(expected), got \(digest)") }
  }

  /// - Returns: what went wrong; nil if the output is full.
  private static func inflate(_ start: Span.Start, _ input: UnsafeBufferPointer<UInt8>, _ output: UnsafeMutableBufferPointer<UInt8>) -> String? {
    if output.isEmpty { return nil }
    var stream = z_stream()
    var place = 0
    // Raw deflate where a block is begun with; gzip's own header and trailer where a member is.
    var isRaw = false
    switch start {
    case .fresh:
      if inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) != Z_OK { return "no memory for an inflater" }
    case .block(let bits, let window):
      isRaw = true
      if inflateInit2_(&stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) != Z_OK { return "no memory for an inflater" }
      if bits > 0 {
        guard let first = input.first else { return "no bytes" }
        inflatePrime(&stream, Int32(bits), Int32(first >> (8 - UInt8(bits))))
        place = 1
      }
      let status = window.withUnsafeBufferPointer { inflateSetDictionary(&stream, $0.baseAddress, UInt32($0.count)) }
      if status != Z_OK {
        inflateEnd(&stream)
        return "the window cannot be used"
      }
    }
    defer { inflateEnd(&stream) }
    stream.next_out = output.baseAddress
    stream.avail_out = UInt32(output.count)
    while stream.avail_out > 0 {
      if place >= input.count { return "the span ends after \(output.count - Int(stream.avail_out)) of \(output.count) bytes" }
      stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.advanced(by: place))
      stream.avail_in = UInt32(input.count - place)
      let status = CZlib.inflate(&stream, Z_NO_FLUSH)
      place = input.count - Int(stream.avail_in)
      switch status {
      case Z_OK: break
      case Z_STREAM_END:
        if stream.avail_out == 0 { break }
        // The next member: behind the trailer of a raw one, and behind padding.
        if isRaw { place += 8 }
        while place < input.count, input[place] == 0 { place += 1 }
        isRaw = false
        if inflateReset2(&stream, 15 + 16) != Z_OK { return "no memory for an inflater" }
      case Z_BUF_ERROR: return "the span ends after \(output.count - Int(stream.avail_out)) of \(output.count) bytes"
      default: return stream.msg.map { String(cString: $0) } ?? "inflate error \(status)"
      }
    }
    return nil
  }
}
