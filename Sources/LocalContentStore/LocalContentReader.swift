import BlockingIO
import CLinux
import Protocols
import Synchronization
import SystemKit

/// Reads one blob through a descriptor of its own: deleting the name does not disturb it.
final class LocalContentReader: ContentReader {
  let size: Int64
  private let path: String
  private let pool: BlockingPool
  private let descriptor: OwnedFD

  init(path: String, pool: BlockingPool) throws {
    let descriptor = try Files.open(path, O_RDONLY)
    var status = stat()
    let raw = descriptor.raw
    try check("fstat", path) { fstat(raw, &status) }
    self.size = Int64(status.st_size)
    self.path = path
    self.pool = pool
    self.descriptor = descriptor
  }

  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    if offset < 0 { throw ContainerdError.outOfRange("read of \(path) at \(offset)") }
    if offset >= size || count <= 0 { return [] }
    let wanted = Int(min(Int64(count), size - offset))
    return try await pool.run {
      do {
        return try [UInt8](unsafeUninitializedCapacity: wanted) { buffer, done in
          done = 0
          while done < wanted {
            let read = try check("pread", self.path) {
              pread(self.descriptor.raw, buffer.baseAddress! + done, wanted - done, off_t(offset) + off_t(done))
            }
            if read == 0 { break }
            done += read
          }
        }
      } catch { throw ContainerdError(error, "content") }
    }
  }

  /// The descriptor closes with the reader's last reference.
  func close() async {}
}
