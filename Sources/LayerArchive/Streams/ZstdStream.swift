import CZstd
import Protocols

/// zstd through libzstd; several frames in a row are one stream (RFC 8878, 3).
final class ZstdStream: Decompressor {
  private let source: BlockingContentSource
  private let context: OpaquePointer
  private let output = OutputBuffer(capacity: 1 << 20)
  private let input = OutputBuffer(capacity: BlockingContentSource.chunk)
  private var buffer = ZSTD_inBuffer(src: nil, size: 0, pos: 0)
  private var frameOpen = true
  private var outputFull = false

  init(_ source: BlockingContentSource) throws {
    self.source = source
    guard let context = ZSTD_createDCtx() else { throw ContainerdError(.resourceExhausted, "zstd: no memory for a decompressor") }
    self.context = context
  }

  deinit { ZSTD_freeDCtx(context) }

  func next() throws -> UnsafeRawBufferPointer? {
    while true {
      if buffer.pos == buffer.size && !outputFull {
        guard let bytes = try source.next() else {
          if frameOpen { throw ContainerdError.invalidArgument("zstd stream ends too early, after \(source.consumed.size) bytes") }
          return nil
        }
        bytes.withUnsafeBytes { input.memory.copyMemory(from: $0) }
        buffer = ZSTD_inBuffer(src: UnsafeRawPointer(input.memory.baseAddress), size: bytes.count, pos: 0)
      }
      var out = ZSTD_outBuffer(dst: output.memory.baseAddress, size: output.memory.count, pos: 0)
      let status = ZSTD_decompressStream(context, &out, &buffer)
      if ZSTD_isError(status) != 0 {
        throw ContainerdError.invalidArgument("zstd stream is broken: \(String(cString: ZSTD_getErrorName(status)))")
      }
      frameOpen = status != 0
      // A frame that is over has nothing left, however full the buffer is: asked again, it would begin the next one.
      outputFull = frameOpen && out.pos == out.size
      if out.pos > 0 { return UnsafeRawBufferPointer(rebasing: output.memory[0..<out.pos]) }
    }
  }
}
