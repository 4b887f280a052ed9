import CZstd
import Hashing
import Protocols

/// Unpacks zstd from beginning to end; a span is as many whole frames as it takes to be long enough (RFC 8878, 3: frames do not need each other).
///
/// Not safe for several threads; calls of the source block.
final class FrameSpans: ArchiveBytes {
  private let source: any BlobBytes
  private let spanSize: Int64
  private let stream: OpaquePointer
  private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
  private var input = UnsafeRawBufferPointer(start: nil, count: 0)
  private var used = 0
  private var consumed: Int64 = 0
  private var produced: Int64 = 0
  /// Whether more may come out without more going in.
  private var isFull = false
  private var isBetweenFrames = true
  private var isOver = false
  private var blobStart: Int64 = 0
  private var archiveStart: Int64 = 0
  private var hasher = Hasher()
  private var spans: [LayerIndex.Span] = []

  init(_ source: any BlobBytes, spanSize: Int64) throws {
    guard let stream = ZSTD_createDCtx() else { throw ContainerdError(.resourceExhausted, "zstd: no memory") }
    self.source = source
    self.spanSize = spanSize
    self.stream = stream
  }

  deinit {
    ZSTD_freeDCtx(stream)
    memory.deallocate()
  }

  func next() throws -> UnsafeRawBufferPointer? {
    while !isOver {
      if used == input.count, !isFull {
        guard let bytes = try source.next() else {
          if !isBetweenFrames || consumed == 0 { throw ContainerdError.invalidArgument("zstd stream ends too early, after \(consumed) bytes") }
          isOver = true
          close()
          return nil
        }
        (input, used) = (bytes, 0)
      }
      if isBetweenFrames, produced - archiveStart >= spanSize { close() }
      let count = try unpack()
      if count > 0 { return UnsafeRawBufferPointer(rebasing: memory[0..<count]) }
    }
    return nil
  }

  func finished() -> [LayerIndex.Span] { spans }

  private func unpack() throws -> Int {
    var from = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: used)
    var to = ZSTD_outBuffer(dst: memory.baseAddress, size: memory.count, pos: 0)
    let status = ZSTD_decompressStream(stream, &to, &from)
    if ZSTD_isError(status) != 0 {
      throw ContainerdError.invalidArgument("zstd stream is broken near byte \(consumed): \(String(cString: ZSTD_getErrorName(status)))")
    }
    if from.pos > used { hasher.update(UnsafeRawBufferPointer(rebasing: input[used..<from.pos])) }
    consumed += Int64(from.pos - used)
    produced += Int64(to.pos)
    used = from.pos
    isBetweenFrames = status == 0
    isFull = to.pos == to.size && !isBetweenFrames
    return to.pos
  }

  private func close() {
    spans.append(LayerIndex.Span(blobRange: blobStart..<consumed, archiveRange: archiveStart..<produced, digest: hasher.digest()))
    (blobStart, archiveStart) = (consumed, produced)
    hasher = Hasher()
  }
}
