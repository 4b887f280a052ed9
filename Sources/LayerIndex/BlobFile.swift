import CLinux
import Protocols
import SystemKit

/// A blob in a file, any part of it. Blocking.
public final class BlobFile: Sendable {
  private let descriptor: Int32
  public let path: String
  public let size: Int64

  public init(path: String) throws {
    let what = "blob \(path)"
    do {
      let file = try Files.open(path, O_RDONLY | O_CLOEXEC)
      var status = stat()
      try check("fstat", path) { fstat(file.raw, &status) }
      size = Int64(status.st_size)
      descriptor = file.release()
    } catch { throw ContainerdError(error, what) }
    self.path = path
  }
  deinit { close(descriptor) }

  /// Exactly the bytes of the range; `dataLoss` if the file does not have them.
  public func read(_ range: Range<Int64>) throws -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= size else {
      throw ContainerdError(.dataLoss, "blob \(path) has \(size) bytes, and \(range.lowerBound) to \(range.upperBound) are wanted")
    }
    var bytes = [UInt8](repeating: 0, count: Int(range.upperBound - range.lowerBound))
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done, off_t(range.lowerBound) + off_t(done)) }
      if count < 0, clinux_errno() == EINTR { continue }
      if count < 0 { throw ContainerdError(SystemError.last("pread", path), "blob \(path)") }
      if count == 0 { throw ContainerdError(.dataLoss, "blob \(path) ends at \(range.lowerBound + Int64(done))") }
      done += count
    }
    return bytes
  }
}
