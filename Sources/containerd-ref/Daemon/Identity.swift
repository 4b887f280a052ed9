import CLinux
import Foundation
import GRPCFrontend
import Protocols
import SystemKit

extension Identity {
  /// The daemon's identity; its UUID is made once and kept in the root directory.
  static func load(root: String) throws -> Identity {
    let path = "\(root)/uuid"
    let uuid: String
    if Files.exists(path) {
      uuid = String(decoding: try Files.read(path), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    } else {
      uuid = UUID().uuidString.lowercased()
      try Files.writeAtomically(Array(uuid.utf8), to: path, mode: 0o644)
    }
    var status = stat()
    let namespace = stat("/proc/self/ns/pid", &status) == 0 ? UInt64(status.st_ino) : 0
    return Identity(version: Version.number, revision: Version.revision, uuid: uuid, pid: UInt64(getpid()), pidNamespace: namespace)
  }
}

enum Executable {
  /// The file that this process runs, or what is in its place by now.
  static func path() throws -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = try check("readlink", "/proc/self/exe") { readlink("/proc/self/exe", &buffer, buffer.count - 1) }
    let path = String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let deleted = " (deleted)"
    return path.hasSuffix(deleted) ? String(path.dropLast(deleted.count)) : path
  }
}

enum OOMScore {
  /// Told to the kernel for this process; shims set their own.
  static func set(_ score: Int) throws {
    let path = "/proc/self/oom_score_adj"
    let file = try Files.open(path, O_WRONLY)
    let text = Array("\(score)".utf8)
    let raw = file.raw
    try check("write", path) { write(raw, text, text.count) }
  }
}
