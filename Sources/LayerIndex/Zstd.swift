import CZstd
import Protocols

/// Unpacking zstd (RFC 8878) into memory that is there already. Blocking.
enum Zstd {
  /// Whole frames, which must fill the output.
  /// - Returns: what went wrong; nil if nothing did.
  static func unpackFrames(_ input: UnsafeBufferPointer<UInt8>, _ output: UnsafeMutableBufferPointer<UInt8>) -> String? {
    let count = ZSTD_decompress(output.baseAddress, output.count, input.baseAddress, input.count)
    if ZSTD_isError(count) != 0 { return String(cString: ZSTD_getErrorName(count)) }
    return count == output.count ? nil : "\(count) bytes came out, not \(output.count)"
  }

  /// As much as the output takes; what follows is not looked at.
  static func unpackBeginning(_ input: UnsafeBufferPointer<UInt8>, _ output: UnsafeMutableBufferPointer<UInt8>) -> String? {
    if output.isEmpty { return nil }
    guard let stream = ZSTD_createDCtx() else { return "no memory for zstd" }
    defer { ZSTD_freeDCtx(stream) }
    var (from, to) = (ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0), ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0))
    while to.pos < to.size {
      let (taken, made) = (from.pos, to.pos)
      let status = ZSTD_decompressStream(stream, &to, &from)
      if ZSTD_isError(status) != 0 { return String(cString: ZSTD_getErrorName(status)) }
      if to.pos < to.size, from.pos == from.size, from.pos == taken, to.pos == made { return "it ends after \(made) of \(output.count) bytes" }
    }
    return nil
  }

  /// A whole document that is packed by itself.
  /// - Parameter size: of it, unpacked.
  static func unpack(_ packed: [UInt8], size: Int, _ what: String) throws(ContainerdError) -> [UInt8] {
    var unpacked = [UInt8](repeating: 0, count: size)
    var problem: String?
    unpacked.withUnsafeMutableBufferPointer { output in packed.withUnsafeBufferPointer { problem = unpackFrames($0, output) } }
    if let problem { throw .invalidArgument("\(what) cannot be unpacked: \(problem)") }
    return unpacked
  }
}
