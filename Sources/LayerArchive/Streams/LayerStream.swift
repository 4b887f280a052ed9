import Hashing
import Protocols

/// The archive as it was before compression, hashed as it passes: its digest is the layer's DiffID.
final class LayerStream {
  private let decompressor: any Decompressor
  private var hasher: Hasher
  private(set) var size: Int64 = 0

  init(_ compression: Compression, _ source: BlockingContentSource, _ algorithm: Digest.Algorithm = .sha256) throws {
    hasher = Hasher(algorithm)
    decompressor =
      switch compression {
      case .none: PlainStream(source)
      case .gzip: GzipStream(source)
      case .zstd: try ZstdStream(source)
      }
  }

  /// The next bytes, valid until the next call; nil at the end.
  func next() throws -> UnsafeRawBufferPointer? {
    guard let bytes = try decompressor.next() else { return nil }
    hasher.update(bytes)
    size += Int64(bytes.count)
    return bytes
  }

  /// Reads to the end: bytes after the archive's end belong to the DiffID.
  func drain() throws { while try next() != nil {} }

  var digest: Digest { hasher.digest() }
}

protocol Decompressor {
  /// The next bytes, never empty, valid until the next call; nil at the end.
  func next() throws -> UnsafeRawBufferPointer?
}

final class PlainStream: Decompressor {
  private let source: BlockingContentSource
  private var buffer = OutputBuffer(capacity: BlockingContentSource.chunk)

  init(_ source: BlockingContentSource) { self.source = source }

  func next() throws -> UnsafeRawBufferPointer? {
    guard let bytes = try source.next() else { return nil }
    bytes.withUnsafeBytes { buffer.memory.copyMemory(from: $0) }
    return UnsafeRawBufferPointer(rebasing: buffer.memory[0..<bytes.count])
  }
}

/// Memory that stays where it is, for C to write into.
final class OutputBuffer {
  let memory: UnsafeMutableRawBufferPointer
  init(capacity: Int) { memory = .allocate(byteCount: capacity, alignment: 64) }
  deinit { memory.deallocate() }
}
