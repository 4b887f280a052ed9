import CLinux
import ConformanceSuites

/// A directory in which a script works, call by call. What each call came to is written down: two places where the same script ran can be compared.
///
/// Calls do not throw: an error number is an outcome like any other. Paths are relative to the root. For one thread.
package final class Place {
  package struct Step: Equatable {
    /// What was done: `rename "a" to "b"`.
    package var text: String
    /// The same in a shell, as near as common tools come.
    package var command: String
    /// `ok`, the name of an error number, or what was seen.
    package var outcome: String
  }

  package let root: String
  package let calls: FileCalls
  package private(set) var steps: [Step] = []

  package init(root: String, calls: FileCalls = FileCalls()) {
    self.root = root
    self.calls = calls
  }

  package func path(_ relative: String) -> String { relative.isEmpty ? root : relative.hasPrefix("/") ? relative : "\(root)/\(relative)" }

  /// Writes down what was seen. Returns it.
  @discardableResult
  package func note(_ text: String, command: String = "", _ outcome: String) -> String {
    steps.append(Step(text: text, command: command, outcome: outcome))
    return outcome
  }

  /// Writes down what a call came to.
  @discardableResult
  package func note<Result: FixedWidthInteger & SignedInteger>(_ text: String, command: String = "", call: () -> Result) -> String {
    note(text, command: command, call() >= 0 ? "ok" : Self.errorName())
  }

  static func errorName(_ number: Int32 = clinux_errno()) -> String {
    guard let name = strerrorname_np(number) else { return "error \(number)" }
    return String(cString: name)
  }

  // MARK: names

  @discardableResult package func mkdir(_ name: String, _ mode: mode_t = 0o755) -> String {
    note("mkdir \(name)", command: "mkdir -m \(octal(mode)) '\(name)'") { calls.mkdir(path(name), mode) }
  }
  @discardableResult package func rmdir(_ name: String) -> String { note("rmdir \(name)", command: "rmdir '\(name)'") { calls.rmdir(path(name)) } }
  @discardableResult package func unlink(_ name: String) -> String { note("unlink \(name)", command: "unlink '\(name)'") { calls.unlink(path(name)) } }
  @discardableResult package func rename(_ old: String, _ new: String, flags: UInt32 = 0) -> String {
    note("rename \(old) to \(new)\(flags == 0 ? "" : ", flags \(flags)")", command: flags == 0 ? "mv -T '\(old)' '\(new)'" : "") {
      calls.rename(path(old), path(new), flags)
    }
  }
  @discardableResult package func link(_ old: String, _ new: String) -> String {
    note("link \(new) to \(old)", command: "ln -P '\(old)' '\(new)'") { calls.link(path(old), path(new)) }
  }
  @discardableResult package func symlink(_ target: String, _ new: String) -> String {
    note("symlink \(new) to \(shown(target))", command: "ln -s '\(target)' '\(new)'") { calls.symlink(target, path(new)) }
  }
  @discardableResult package func readlink(_ name: String) -> String {
    let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 5000) { buffer in
      let count = calls.readlink(path(name), buffer)
      return count < 0 ? Self.errorName() : shown(String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    return note("readlink \(name)", command: "readlink '\(name)'", text)
  }
  @discardableResult package func mknod(_ name: String, _ mode: mode_t, major: UInt32 = 0, minor: UInt32 = 0) -> String {
    note("mknod \(name), mode \(octal(mode)), \(major):\(minor)", command: "mknod '\(name)' \(FileType(mode) == .fifo ? "p" : "c \(major) \(minor)")") {
      calls.mknod(path(name), mode, clinux_makedev(major, minor))
    }
  }
  /// All names with their types, sorted; each name as often as it is told.
  @discardableResult package func list(_ name: String) -> String {
    let entries = calls.list(path(name))?.filter { $0.name != "." && $0.name != ".." }
    let text = entries.map { entries in entries.map { "\(shown($0.name))\(Self.typeMarks[$0.type] ?? "?")" }.sorted().joined(separator: " ") }
    return note("list \(name.isEmpty ? "the root" : name)", command: "ls -AF '\(name.isEmpty ? "." : name)'", text.map { "[\($0)]" } ?? Self.errorName())
  }
  private static let typeMarks: [UInt8: String] = [1: "|", 2: "(character device)", 4: "/", 6: "(block device)", 8: "", 10: "@", 12: "="]

  // MARK: contents

  @discardableResult package func write(_ name: String, _ text: String, flags: Int32 = O_CREAT | O_TRUNC, mode: mode_t = 0o644) -> String {
    note("write \(shown(text)) to \(name)", command: "printf %s '\(text.prefix(200))' > '\(name)'") { () -> Int in
      let file = calls.open(path(name), O_WRONLY | flags, mode)
      if file < 0 { return -1 }
      defer { _ = calls.close(file) }
      return Array(text.utf8).withUnsafeBytes { calls.write(file, $0) }
    }
  }
  @discardableResult package func read(_ name: String) -> String {
    let file = calls.open(path(name), O_RDONLY, 0)
    if file < 0 { return note("read \(name)", command: "cat '\(name)'", Self.errorName()) }
    defer { _ = calls.close(file) }
    return note("read \(name)", command: "cat '\(name)'", contents(of: file))
  }
  @discardableResult package func truncate(_ name: String, to size: Int) -> String {
    note("truncate \(name) to \(size)", command: "truncate -s \(size) '\(name)'") { calls.truncate(path(name), size) }
  }

  // MARK: what names say

  /// Type, mode, owners; size and links of what has contents.
  @discardableResult package func stat(_ name: String) -> String {
    var status = CLinux.stat()
    return note(
      "stat \(name.isEmpty ? "the root" : name)", command: "stat -c '%F %a %u:%g %s %h' '\(name.isEmpty ? "." : name)'",
      calls.lstat(path(name), &status) < 0 ? Self.errorName() : Self.describe(status))
  }
  static func describe(_ status: CLinux.stat) -> String {
    let owners = "\(octal(status.st_mode & 0o7777)) \(status.st_uid):\(status.st_gid)"
    return switch FileType(status.st_mode) {
    case .directory: "directory \(owners)"
    case .file: "file \(owners), \(status.st_size) bytes, \(status.st_nlink) links"
    case .link: "symbolic link \(status.st_uid):\(status.st_gid), \(status.st_size) bytes, \(status.st_nlink) links"
    case .fifo: "FIFO \(owners), \(status.st_nlink) links"
    case .socket: "socket \(owners), \(status.st_nlink) links"
    case .character: "character device \(clinux_major(status.st_rdev)):\(clinux_minor(status.st_rdev)) \(owners)"
    case .block: "block device \(clinux_major(status.st_rdev)):\(clinux_minor(status.st_rdev)) \(owners)"
    case nil: "no known type, \(octal(status.st_mode))"
    }
  }
  @discardableResult package func chmod(_ name: String, _ mode: mode_t) -> String {
    note("chmod \(octal(mode)) \(name)", command: "chmod \(octal(mode)) '\(name)'") { calls.chmod(path(name), mode) }
  }
  @discardableResult package func chown(_ name: String, _ owner: uid_t, _ group: gid_t) -> String {
    note("chown \(owner):\(group) \(name)", command: "chown -h \(owner):\(group) '\(name)'") { calls.lchown(path(name), owner, group) }
  }
  @discardableResult package func setTimes(_ name: String, seconds: Int, nanoseconds: Int) -> String {
    note("set the times of \(name) to \(seconds).\(nanoseconds)", command: "touch -h -d @\(seconds).\(nanoseconds) '\(name)'") {
      calls.setTimes(path(name), timespec(tv_sec: seconds, tv_nsec: 1), timespec(tv_sec: seconds, tv_nsec: nanoseconds))
    }
  }
  @discardableResult package func modified(_ name: String) -> String {
    var status = CLinux.stat()
    return note(
      "modification time of \(name)", command: "stat -c %.9Y '\(name)'",
      calls.lstat(path(name), &status) < 0 ? Self.errorName() : "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)")
  }
  @discardableResult package func setAttribute(_ name: String, _ attribute: String, _ value: [UInt8], flags: Int32 = 0) -> String {
    note("set \(attribute) of \(name) to \(value.count) bytes", command: "setfattr -h -n \(attribute) -v '…' '\(name)'") {
      calls.setAttribute(path(name), attribute, value, flags)
    }
  }
  @discardableResult package func attribute(_ name: String, _ attribute: String) -> String {
    note("get \(attribute) of \(name)", command: "getfattr -h -n \(attribute) '\(name)'", value(name, attribute))
  }
  private func value(_ name: String, _ attribute: String) -> String {
    withUnsafeTemporaryAllocation(byteCount: 1 << 17, alignment: 16) { buffer in
      let count = calls.attribute(path(name), attribute, buffer)
      return count < 0 ? Self.errorName() : shown(bytes: Array(buffer[..<count]))
    }
  }
  /// The names of the attributes, sorted, without those that the security module of this machine adds.
  package func attributeNames(_ name: String) -> [String]? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1 << 16) { buffer in
      let count = calls.attributes(path(name), buffer)
      if count < 0 { return nil }
      return buffer[..<count].split(separator: 0).map { String(decoding: $0.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
        .filter { $0 != "security.selinux" && $0 != "security.ima" && $0 != "security.evm" }.sorted()
    }
  }
  @discardableResult package func attributes(_ name: String) -> String {
    note("attributes of \(name)", command: "getfattr -h -m - '\(name)'", attributeNames(name).map { "[\($0.joined(separator: " "))]" } ?? Self.errorName())
  }
  @discardableResult package func removeAttribute(_ name: String, _ attribute: String) -> String {
    note("remove \(attribute) of \(name)", command: "setfattr -h -x \(attribute) '\(name)'") { calls.removeAttribute(path(name), attribute) }
  }
}

/// The type of a file, as the upper bits of its mode.
package enum FileType: mode_t {
  case fifo = 0o010000
  case character = 0o020000
  case directory = 0o040000
  case block = 0o060000
  case file = 0o100000
  case link = 0o120000
  case socket = 0o140000

  package init?(_ mode: mode_t) { self.init(rawValue: mode & 0o170000) }
}

/// What `mmap(2)` returns where it fails.
var mapFailed: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: -1) }

package func octal(_ mode: mode_t) -> String { String(mode, radix: 8) }

/// A text as it is shown in a report: its beginning, and how long it is.
func shown(_ text: String) -> String { text.utf8.count <= 60 ? "\"\(text)\"" : "\"\(text.prefix(40))…\" (\(text.utf8.count) bytes)" }

/// Bytes as they are shown: text where it is one, otherwise how many and a sum.
func shown(bytes: [UInt8]) -> String {
  if bytes.count <= 60, bytes.allSatisfy({ $0 >= 32 && $0 < 127 }) { return "\"\(String(decoding: bytes, as: UTF8.self))\"" }
  return "\(bytes.count) bytes of the sum \(String(bytes.reduce(UInt64(14_695_981_039_346_656_037)) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }, radix: 16))"
}
