import CLinux
import Hashing
import Protocols
import SystemKit

/// The bytes of a blob from beginning to end. Blocking.
public protocol BlobBytes: AnyObject {
  /// The next bytes, never empty, valid until the next call; nil at the end.
  func next() throws -> UnsafeRawBufferPointer?
}

/// The bytes of an archive, unpacked; `produced` is how many there have been.
protocol ArchiveBytes: AnyObject {
  /// The next bytes, never empty, valid until the next call; nil at the end.
  func next() throws -> UnsafeRawBufferPointer?
  func finished() -> [LayerIndex.Span]
}

/// A blob in a file.
public final class FileBytes: BlobBytes {
  private let file: OwnedFD
  private let path: String
  private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)

  public init(path: String) throws {
    do { file = try Files.open(path, O_RDONLY | O_CLOEXEC) } catch { throw ContainerdError(error, "blob \(path)") }
    self.path = path
  }
  deinit { memory.deallocate() }

  public func next() throws -> UnsafeRawBufferPointer? {
    while true {
      let count = CLinux.read(file.raw, memory.baseAddress, memory.count)
      if count < 0, clinux_errno() == EINTR { continue }
      if count < 0 { throw ContainerdError(SystemError.last("read", path), "blob \(path)") }
      return count == 0 ? nil : UnsafeRawBufferPointer(rebasing: memory[0..<count])
    }
  }
}

/// Counts and hashes a blob on its way.
final class HashedBytes: BlobBytes {
  private let base: any BlobBytes
  private var hasher: Hasher
  private(set) var size: Int64 = 0

  init(_ base: any BlobBytes, _ algorithm: Digest.Algorithm) {
    self.base = base
    hasher = Hasher(algorithm)
  }
  var digest: Digest { hasher.digest() }

  func next() throws -> UnsafeRawBufferPointer? {
    guard let bytes = try base.next() else { return nil }
    hasher.update(bytes)
    size += Int64(bytes.count)
    return bytes
  }
}

/// An archive that is not packed: its spans are cut where it pleases.
final class PlainSpans: ArchiveBytes {
  private let source: any BlobBytes
  private let spanSize: Int64
  private var pending = UnsafeRawBufferPointer(start: nil, count: 0)
  private var produced: Int64 = 0
  private var start: Int64 = 0
  private var hasher = Hasher()
  private var spans: [LayerIndex.Span] = []

  init(_ source: any BlobBytes, spanSize: Int64) {
    self.source = source
    self.spanSize = spanSize
  }

  func next() throws -> UnsafeRawBufferPointer? {
    if produced - start == spanSize { close() }
    if pending.isEmpty {
      guard let bytes = try source.next() else {
        if produced > start || spans.isEmpty { close() }
        return nil
      }
      pending = bytes
    }
    let count = min(pending.count, Int(spanSize - (produced - start)))
    let bytes = UnsafeRawBufferPointer(rebasing: pending[0..<count])
    pending = UnsafeRawBufferPointer(rebasing: pending[count...])
    hasher.update(bytes)
    produced += Int64(count)
    return bytes
  }

  func finished() -> [LayerIndex.Span] { spans }

  private func close() {
    spans.append(LayerIndex.Span(blobRange: start..<produced, archiveRange: start..<produced, digest: hasher.digest(), start: .fresh))
    start = produced
    hasher = Hasher()
  }
}
