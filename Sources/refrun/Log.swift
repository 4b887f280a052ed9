import Glibc
import LinuxRuntime
import SystemKit

/// Messages: to standard error, and to the log file that callers read the cause of a failure from.
struct Log {
  var path: String?
  var json = false
  var debug = false

  func error(_ message: String) { write("error", message) }
  func warning(_ message: String) { write("warning", message) }

  private func write(_ level: String, _ message: String) {
    let bytes: [UInt8]
    if json {
      let record = JSONValue.record([("level", .string(level)), ("msg", .string(message)), ("time", .string(Clock.now()))])
      bytes = record.serialized() + [0x0A]
    } else {
      bytes = Array("time=\"\(Clock.now())\" level=\(level) msg=\(Self.quoted(message))\n".utf8)
    }
    if let path {
      let fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
      if fd >= 0 {
        _ = Glibc.write(fd, bytes, bytes.count)
        close(fd)
      }
    }
    if path == nil || level == "error" {
      let plain = path == nil ? bytes : Array("\(message)\n".utf8)
      _ = Glibc.write(2, plain, plain.count)
    }
  }

  private static func quoted(_ message: String) -> String {
    String(decoding: JSONValue.string(message).serialized(), as: UTF8.self)
  }
}
