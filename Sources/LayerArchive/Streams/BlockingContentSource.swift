import Dispatch
import Hashing
import Protocols
import Synchronization

/// A blob read from a blocking thread, one chunk ahead: while this one is being unpacked the next is on its way.
///
/// Not safe for several threads; never to be used on the cooperative pool, which it would block.
final class BlockingContentSource {
  static let chunk = 1 << 20

  private let reader: any ContentReader
  private var offset: Int64 = 0
  private var pending: Pending?
  private var hasher: Hasher

  init(reader: any ContentReader, _ algorithm: Digest.Algorithm = .sha256) {
    self.reader = reader
    hasher = Hasher(algorithm)
  }

  /// The next bytes; nil at the end.
  func next() throws -> [UInt8]? {
    let current = pending ?? Pending(reader, offset)
    let bytes = try current.wait()
    if bytes.isEmpty { return nil }
    offset += Int64(bytes.count)
    pending = Pending(reader, offset)
    hasher.update(bytes)
    return bytes
  }

  /// What has been read so far.
  var consumed: (digest: Digest, size: Int64) { (hasher.digest(), offset) }

  private final class Pending: Sendable {
    private let done = DispatchSemaphore(value: 0)
    private let result = Mutex<Result<[UInt8], any Error>?>(nil)

    init(_ reader: any ContentReader, _ offset: Int64) {
      Task.detached {
        let outcome: Result<[UInt8], any Error>
        do { outcome = .success(try await reader.read(at: offset, count: BlockingContentSource.chunk)) } catch { outcome = .failure(error) }
        self.result.withLock { $0 = outcome }
        self.done.signal()
      }
    }

    func wait() throws -> [UInt8] {
      done.wait()
      defer { done.signal() }
      return try result.withLock { try $0?.get() ?? [] }
    }
  }
}
