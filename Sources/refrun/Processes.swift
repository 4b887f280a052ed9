import LinuxRuntime
import SystemKit

/// A table of processes, from /proc.
enum Processes {
  static func print(_ pids: [Int32]) throws(RuntimeError) {
    Output.line("UID\tPID\tPPID\tCMD")
    for pid in pids {
      guard let status = try? Files.read("/proc/\(pid)/status"), let command = try? Files.read("/proc/\(pid)/cmdline") else { continue }
      var fields: [Substring: Substring] = [:]
      for line in String(decoding: status, as: UTF8.self).split(separator: "\n") {
        let parts = line.split(separator: "\t")
        if parts.count > 1 { fields[parts[0]] = parts[1] }
      }
      let words = command.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
      Output.line("\(fields["Uid:"] ?? "?")\t\(pid)\t\(fields["PPid:"] ?? "?")\t\(words.isEmpty ? "[\(fields["Name:"] ?? "?")]" : words)")
    }
  }
}
