import CLinux
import SystemKit

/// Reading and writing the small files of a cgroup.
enum CgroupFile {
  static func write(_ value: String, _ path: String) throws(RuntimeError) {
    do { try put(value, path) } catch { throw RuntimeError(.system, "set cgroup value \"\(value)\": \(error)") }
  }

  static func put(_ value: String, _ path: String) throws(SystemError) {
    let fd = try Files.open(path, O_WRONLY)
    let raw = fd.raw
    // One write: the kernel takes a value whole.
    let bytes = Array(value.utf8)
    try check("write", path) { CLinux.write(raw, bytes, bytes.count) }
  }

  @discardableResult
  static func tryWrite(_ value: String, _ path: String) -> Bool {
    do {
      try put(value, path)
      return true
    } catch { return false }
  }

  /// Without the final newline; nil if it cannot be read.
  static func text(_ path: String) -> String? {
    guard let bytes = try? Files.read(path) else { return nil }
    return String(decoding: bytes.last == 0x0A ? bytes.dropLast() : bytes[...], as: UTF8.self)
  }

  /// A number; "max" is `UInt64.max`; nil if there is no such file.
  static func number(_ path: String) -> UInt64? {
    guard let text = text(path) else { return nil }
    return text == "max" ? .max : UInt64(text)
  }

  /// Lines of "name value".
  static func pairs(_ path: String) -> [(name: String, value: UInt64)] {
    (text(path) ?? "").split(separator: "\n").compactMap { line in
      let parts = line.split(separator: " ")
      guard parts.count == 2, let value = UInt64(parts[1]) else { return nil }
      return (String(parts[0]), value)
    }
  }
}
