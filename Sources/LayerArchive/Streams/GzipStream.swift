import CISAL
import Protocols

/// gzip through ISA-L, which inflates twice as fast as zlib. Several members in a row are one stream (RFC 1952, 2.2); zero bytes after
/// the last are padding.
final class GzipStream: Decompressor {
  private let source: BlockingContentSource
  private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
  private let output = OutputBuffer(capacity: 1 << 20)
  private let input = OutputBuffer(capacity: BlockingContentSource.chunk + longestHeader)
  private var left = 0
  private var position = 0
  private var finished = false
  private var started = false
  /// The last call filled the output: there may be more without further input.
  private var outputFull = false

  /// ISA-L does not find its way back into every header that is cut in two: one of FEXTRA's 64 KiB and two names is given to it whole.
  private static let longestHeader = 128 << 10

  init(_ source: BlockingContentSource) {
    self.source = source
    isal_inflate_init(state)
    state.pointee.crc_flag = UInt32(ISAL_GZIP)
  }

  deinit { state.deallocate() }

  func next() throws -> UnsafeRawBufferPointer? {
    while !finished {
      if left == 0 && !outputFull {
        guard let bytes = try source.next() else {
          if started && state.pointee.block_state != ISAL_BLOCK_FINISH || !started {
            throw ContainerdError.invalidArgument("gzip stream ends too early, after \(source.consumed.size) bytes")
          }
          finished = true
          return nil
        }
        add(bytes)
      }
      if started && state.pointee.block_state == ISAL_BLOCK_FINISH {
        outputFull = false
        // Between members: either another one begins, or padding follows.
        while left > 0 && input.memory[position] == 0 {
          position += 1
          left -= 1
        }
        if left == 0 { continue }
        if input.memory[position] != 0x1f { throw ContainerdError.invalidArgument("gzip stream has bytes after its end that are no gzip") }
        isal_inflate_reset(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
        started = false
      }
      if !started {
        while left < Self.longestHeader, let bytes = try source.next() { add(bytes) }
      }
      started = true
      guard let inputBase = input.memory.baseAddress, let outputBase = output.memory.baseAddress else { return nil }
      state.pointee.next_in = inputBase.advanced(by: position).assumingMemoryBound(to: UInt8.self)
      state.pointee.avail_in = UInt32(left)
      state.pointee.next_out = outputBase.assumingMemoryBound(to: UInt8.self)
      state.pointee.avail_out = UInt32(output.memory.count)
      let status = isal_inflate(state)
      if status != ISAL_DECOMP_OK && status != ISAL_END_INPUT {
        throw ContainerdError.invalidArgument("gzip stream is broken near byte \(source.consumed.size - Int64(left)): inflate error \(status)")
      }
      position += left - Int(state.pointee.avail_in)
      left = Int(state.pointee.avail_in)
      let produced = output.memory.count - Int(state.pointee.avail_out)
      outputFull = state.pointee.avail_out == 0
      if produced > 0 { return UnsafeRawBufferPointer(rebasing: output.memory[0..<produced]) }
    }
    return nil
  }

  /// Puts further bytes behind those that are left.
  private func add(_ bytes: [UInt8]) {
    if left > 0, let start = input.memory.baseAddress { start.copyMemory(from: start.advanced(by: position), byteCount: left) }
    bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: input.memory[left...]).copyMemory(from: $0) }
    position = 0
    left += bytes.count
  }
}
