import CLinux
import SystemKit

/// An open blob: readable until it is let go, whatever happens to its name. Blocking.
final class BlobFile: Sendable {
  let size: Int64
  private let fd: OwnedFD
  private let path: String

  init(_ path: String) throws(SystemError) {
    let fd = try Files.open(path, O_RDONLY | O_NOFOLLOW)
    let raw = fd.raw
    var info = stat()
    try check("fstat", path) { fstat(raw, &info) }
    self.size = Int64(info.st_size)
    self.fd = fd
    self.path = path
  }

  /// Up to `count` bytes from `offset`; none at the end.
  func read(at offset: Int64, count: Int) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = try check("pread", path) { pread(fd.raw, &bytes, count, off_t(offset)) }
    bytes.removeLast(count - got)
    return bytes
  }
}
