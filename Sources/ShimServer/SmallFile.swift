import CLinux
import SystemKit

/// Files of the kernel that take a value in one write.
enum SmallFile {
  static func write(_ value: String, to path: String) throws(SystemError) {
    let file = try Files.open(path, O_WRONLY)
    let raw = file.raw
    let bytes = Array(value.utf8)
    try check("write", path) { CLinux.write(raw, bytes, bytes.count) }
  }
}
