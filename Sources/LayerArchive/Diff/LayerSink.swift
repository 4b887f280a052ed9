import CZlib
import CZstd
import Dispatch
import Hashing
import Protocols
import Synchronization

/// Takes an archive, hashes it (the DiffID), compresses it, and hands it to a content writer in large pieces.
///
/// Used from one blocking thread, never from the cooperative pool.
final class LayerSink {
  private static let piece = 1 << 20

  private let writer: any ContentWriter
  private let compressor: any Compressor
  private var hasher = Hasher()
  private var pending: [UInt8] = []

  init(_ compression: Compression, into writer: any ContentWriter) throws {
    self.writer = writer
    compressor =
      switch compression {
      case .none: NoCompressor()
      case .gzip: try GzipCompressor()
      case .zstd: try ZstdCompressor()
      }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    hasher.update(bytes)
    try compressor.compress(bytes, end: false) { pending.append(contentsOf: $0) }
    if pending.count >= Self.piece { try flush() }
  }

  /// Ends the stream; returns the digest of what went in.
  func finish() throws -> Digest {
    try compressor.compress(UnsafeRawBufferPointer(start: nil, count: 0), end: true) { pending.append(contentsOf: $0) }
    try flush()
    return hasher.digest()
  }

  private func flush() throws {
    if pending.isEmpty { return }
    let bytes = pending
    pending.removeAll(keepingCapacity: true)
    let writer = writer
    let done = DispatchSemaphore(value: 0)
    let failure = Shared()
    Task.detached {
      do { try await writer.write(bytes, at: nil) } catch { failure.value.withLock { $0 = error } }
      done.signal()
    }
    done.wait()
    if let error = failure.value.withLock({ $0 }) { throw error }
  }

  private final class Shared: Sendable {
    let value = Mutex<(any Error)?>(nil)
  }
}

protocol Compressor {
  func compress(_ bytes: UnsafeRawBufferPointer, end: Bool, _ output: (UnsafeRawBufferPointer) -> Void) throws
}

final class NoCompressor: Compressor {
  func compress(_ bytes: UnsafeRawBufferPointer, end: Bool, _ output: (UnsafeRawBufferPointer) -> Void) throws { output(bytes) }
}

final class GzipCompressor: Compressor {
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  private let buffer = OutputBuffer(capacity: 256 << 10)

  init() throws {
    stream.initialize(to: z_stream())
    // 15 bits of window, plus 16: a gzip header, which zlib writes without a time.
    let status = deflateInit2_(stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    if status != Z_OK { throw ContainerdError(.resourceExhausted, "zlib: deflateInit2 returned \(status)") }
  }

  deinit {
    deflateEnd(stream)
    stream.deallocate()
  }

  func compress(_ bytes: UnsafeRawBufferPointer, end: Bool, _ output: (UnsafeRawBufferPointer) -> Void) throws {
    stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(bytes.count)
    while true {
      stream.pointee.next_out = buffer.memory.baseAddress?.assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(buffer.memory.count)
      let status = deflate(stream, end ? Z_FINISH : Z_NO_FLUSH)
      if status == Z_STREAM_ERROR { throw ContainerdError.internalError("zlib: deflate returned \(status)") }
      output(UnsafeRawBufferPointer(rebasing: buffer.memory[0..<(buffer.memory.count - Int(stream.pointee.avail_out))]))
      if end ? status == Z_STREAM_END : stream.pointee.avail_in == 0 && stream.pointee.avail_out > 0 { return }
    }
  }
}

final class ZstdCompressor: Compressor {
  private let context: OpaquePointer
  private let buffer = OutputBuffer(capacity: 256 << 10)

  init() throws {
    guard let context = ZSTD_createCCtx() else { throw ContainerdError(.resourceExhausted, "zstd: no memory for a compressor") }
    self.context = context
  }

  deinit { ZSTD_freeCCtx(context) }

  func compress(_ bytes: UnsafeRawBufferPointer, end: Bool, _ output: (UnsafeRawBufferPointer) -> Void) throws {
    var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
    while true {
      var out = ZSTD_outBuffer(dst: buffer.memory.baseAddress, size: buffer.memory.count, pos: 0)
      let left = ZSTD_compressStream2(context, &out, &input, end ? ZSTD_e_end : ZSTD_e_continue)
      if ZSTD_isError(left) != 0 { throw ContainerdError.internalError("zstd: \(String(cString: ZSTD_getErrorName(left)))") }
      output(UnsafeRawBufferPointer(rebasing: buffer.memory[0..<out.pos]))
      if end ? left == 0 : input.pos == input.size { return }
    }
  }
}
