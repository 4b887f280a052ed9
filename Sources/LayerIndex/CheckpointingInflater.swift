import CZlib
import Hashing
import Protocols

/// Unpacks gzip from beginning to end and finds places on the way where one can begin again: in front of a block of deflate, or of a member.
///
/// Not safe for several threads; calls of the source block.
final class CheckpointingInflater: ArchiveBytes {
  static let windowSize = 32 << 10

  private let source: any BlobBytes
  private let spanSize: Int64
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  /// The window, and behind it room for what comes next.
  private let memory: UnsafeMutablePointer<UInt8>
  private static let room = 256 << 10
  private var filled = 0
  private var input = UnsafeRawBufferPointer(start: nil, count: 0)
  private var used = 0
  private(set) var consumed: Int64 = 0
  private(set) var produced: Int64 = 0
  private var lastByte: UInt8 = 0
  private var isBetweenMembers = false
  private var isOver = false
  private var spans: [LayerIndex.Span] = []
  private var span: Open

  private struct Open: ~Copyable {
    var blobStart: Int64
    var archiveStart: Int64
    var start: LayerIndex.Span.Start
    var hasher = Hasher()
  }

  init(_ source: any BlobBytes, spanSize: Int64) throws {
    self.source = source
    self.spanSize = spanSize
    memory = .allocate(capacity: Self.windowSize + Self.room)
    span = Open(blobStart: 0, archiveStart: 0, start: .fresh)
    stream.initialize(to: z_stream())
    // 15 bits of window, 16 more for gzip's header and trailer.
    let status = inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    if status != Z_OK { throw ContainerdError(.resourceExhausted, "zlib: no memory for an inflater") }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
    memory.deallocate()
  }

  /// The next bytes of the archive, valid until the next call; nil at the end.
  func next() throws -> UnsafeRawBufferPointer? {
    while !isOver {
      if used == input.count {
        guard let bytes = try source.next() else {
          if !isBetweenMembers { throw ContainerdError.invalidArgument("gzip stream ends too early, after \(consumed) bytes") }
          isOver = true
          close(at: consumed)
          return nil
        }
        (input, used) = (bytes, 0)
      }
      if isBetweenMembers {
        // Zero bytes behind a member are padding (RFC 1952 says nothing; gzip and Go take them so).
        let start = used
        while used < input.count, input[used] == 0 { used += 1 }
        take(start..<used)
        if used == input.count { continue }
        if input[used] != 0x1f { throw ContainerdError.invalidArgument("gzip stream has bytes after its end that are no gzip, at \(consumed)") }
        inflateReset(stream)
        isBetweenMembers = false
        if produced - span.archiveStart >= spanSize { begin(.fresh, blobStart: consumed) }
      }
      if filled == Self.windowSize + Self.room { keepWindow() }
      let before = filled
      try inflate()
      if filled > before { return UnsafeRawBufferPointer(start: memory + before, count: filled - before) }
    }
    return nil
  }

  /// What was found, once `next` has given nil.
  func finished() -> [LayerIndex.Span] { spans }

  /// To the end of the input or of a block.
  private func inflate() throws {
    let start = used
    stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.advanced(by: used).assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(input.count - used)
    stream.pointee.next_out = memory + filled
    stream.pointee.avail_out = UInt32(Self.windowSize + Self.room - filled)
    let status = CZlib.inflate(stream, Z_BLOCK)
    used = input.count - Int(stream.pointee.avail_in)
    let count = Self.windowSize + Self.room - filled - Int(stream.pointee.avail_out)
    filled += count
    take(start..<used)
    produced += Int64(count)
    switch status {
    case Z_STREAM_END: isBetweenMembers = true
    case Z_OK, Z_BUF_ERROR:
      let state = stream.pointee.data_type
      // In front of a block (128) that is not behind the last one (64).
      if state & 128 != 0, state & 64 == 0, produced - span.archiveStart >= spanSize {
        let bits = Int(state & 7)
        let count = Int(min(produced, Int64(Self.windowSize), Int64(filled)))
        begin(
          .block(bits: bits, window: Array(UnsafeBufferPointer(start: memory + filled - count, count: count))), blobStart: bits == 0 ? consumed : consumed - 1)
      }
    default:
      let reason = stream.pointee.msg.map { String(cString: $0) } ?? "error \(status)"
      throw ContainerdError.invalidArgument("gzip stream is broken near byte \(consumed): \(reason)")
    }
  }

  private func take(_ range: Range<Int>) {
    if range.isEmpty { return }
    span.hasher.update(UnsafeRawBufferPointer(rebasing: input[range]))
    consumed += Int64(range.count)
    lastByte = input[range.upperBound - 1]
  }

  private func begin(_ start: LayerIndex.Span.Start, blobStart: Int64) {
    close(at: consumed)
    span = Open(blobStart: blobStart, archiveStart: produced, start: start)
    if blobStart < consumed { span.hasher.update([lastByte]) }
  }

  private func close(at end: Int64) {
    spans.append(
      LayerIndex.Span(
        blobRange: span.blobStart..<end, archiveRange: span.archiveStart..<produced, digest: span.hasher.digest(), start: span.start))
  }

  private func keepWindow() {
    memory.update(from: memory + filled - Self.windowSize, count: Self.windowSize)
    filled = Self.windowSize
  }
}
