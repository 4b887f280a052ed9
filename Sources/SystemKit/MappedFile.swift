import CLinux

/// A file in memory, for reading: mapped, so that it costs what is looked at.
///
/// Who makes such a file puts it in place whole and never changes it: a file that is cut while it is mapped ends the process (SIGBUS).
public final class MappedFile: @unchecked Sendable {
  public let bytes: UnsafeRawBufferPointer

  /// An empty file has no bytes to map and is `EINVAL`.
  public init(path: String) throws(SystemError) {
    let file = try Files.open(path, O_RDONLY)
    let raw = file.raw
    var status = stat()
    try check("fstat", path) { fstat(raw, &status) }
    let count = Int(status.st_size)
    guard count > 0, let start = mmap(nil, count, PROT_READ, MAP_SHARED, raw, 0), start != UnsafeMutableRawPointer(bitPattern: -1) else {
      if count == 0 { throw SystemError(errno: EINVAL, operation: "mmap", object: path) }
      throw SystemError.last("mmap", path)
    }
    bytes = UnsafeRawBufferPointer(start: start, count: count)
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
