import CLinux
import ConformanceSuites
import SystemKit

/// A moment, as files and archives have it.
package struct FileTime: Hashable, Sendable, CustomStringConvertible {
  package var seconds: Int
  package var nanoseconds: Int
  package init(_ seconds: Int, _ nanoseconds: Int = 0) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }
  package var description: String { nanoseconds == 0 ? "\(seconds)" : "\(seconds).\(String(String(1_000_000_000 + nanoseconds).dropFirst()))" }
}

/// What a file is, apart from what it is called and whose it is.
package enum FileKind: Hashable, Sendable, CustomStringConvertible {
  case file([UInt8])
  case directory
  case link(String)
  case fifo
  case character(Int, Int)
  case block(Int, Int)
  case socket

  package var description: String {
    switch self {
    case .file(let bytes): "file \(shown(bytes: bytes))"
    case .directory: "directory"
    case .link(let target): "link to \(shown(target))"
    case .fifo: "FIFO"
    case .character(let major, let minor): "character device \(major):\(minor)"
    case .block(let major, let minor): "block device \(major):\(minor)"
    case .socket: "socket"
    }
  }
}

/// All of a file that a layer can carry.
package struct SeenFile: Hashable, Sendable, CustomStringConvertible {
  package var kind: FileKind
  package var mode: Int
  package var owner: Int
  package var group: Int
  /// nil in what is expected: whatever it is.
  package var modified: FileTime?
  package var attributes: [String: [UInt8]]
  /// The names of the same file, itself included.
  package var names: Set<String>

  package init(kind: FileKind, mode: Int, owner: Int, group: Int, modified: FileTime?, attributes: [String: [UInt8]], names: Set<String>) {
    self.kind = kind
    self.mode = mode
    self.owner = owner
    self.group = group
    self.modified = modified
    self.attributes = attributes
    self.names = names
  }

  package var description: String {
    var text = "\(kind) \(String(mode, radix: 8)) \(owner):\(group)"
    if let modified { text += " of \(modified)" }
    for (name, value) in attributes.sorted(by: { $0.key < $1.key }) { text += " \(name)=\(shown(bytes: value))" }
    if names.count > 1 { text += ", one file: \(names.sorted().joined(separator: " "))" }
    return text
  }

  /// Whether this is what was expected.
  package func fits(_ expected: SeenFile) -> Bool {
    var other = expected
    if expected.modified == nil { other.modified = modified }
    // The mode of a symbolic link is the kernel's.
    if case .link = kind { other.mode = mode }
    return self == other
  }
}

/// Everything in a tree, by paths relative to its root; the root itself is called "".
package struct SeenTree: Hashable, Sendable {
  package var files: [String: SeenFile]
  package init(files: [String: SeenFile]) { self.files = files }

  /// What the paths should be, and what they are, where that is not the same. nil if all is as expected.
  package func difference(from expected: SeenTree) -> (paths: [String], expected: String, actual: String)? {
    let wrong = Set(files.keys).union(expected.files.keys).filter { path in
      guard let mine = files[path], let wanted = expected.files[path] else { return true }
      return !mine.fits(wanted)
    }.sorted()
    if wrong.isEmpty { return nil }
    func told(_ tree: SeenTree) -> String { wrong.map { "\($0): \(tree.files[$0].map(\.description) ?? "not there")" }.joined(separator: "; ") }
    return (wrong, told(expected), told(self))
  }

  /// Reads a real tree. Blocking.
  package static func read(_ root: String, limit: Int = 16 << 20) throws -> SeenTree {
    var found: [String: SeenFile] = [:]
    var names: [[UInt64]: Set<String>] = [:]
    var identities: [String: [UInt64]] = [:]
    var pending = [""]
    while let path = pending.popLast() {
      let real = path.isEmpty ? root : "\(root)/\(path)"
      let status = try Files.status(real)
      let kind = try kind(real, status, limit)
      if kind == .directory { pending += try Files.names(in: real).map { path.isEmpty ? $0 : "\(path)/\($0)" } }
      found[path] = SeenFile(
        kind: kind, mode: Int(status.st_mode & 0o7777), owner: Int(status.st_uid), group: Int(status.st_gid),
        modified: FileTime(status.st_mtim.tv_sec, status.st_mtim.tv_nsec), attributes: try attributes(real), names: [path])
      // An overlay numbers its directories as it likes.
      if kind != .directory {
        let identity = [UInt64(status.st_dev), UInt64(status.st_ino)]
        identities[path] = identity
        names[identity, default: []].insert(path)
      }
    }
    for (path, identity) in identities { found[path]?.names = names[identity] ?? [path] }
    return SeenTree(files: found)
  }

  private static func kind(_ path: String, _ status: stat, _ limit: Int) throws -> FileKind {
    let device = (Int(clinux_major(status.st_rdev)), Int(clinux_minor(status.st_rdev)))
    switch FileType(status.st_mode) {
    case .file: return .file(try Files.read(path, limit: limit))
    case .directory: return .directory
    case .link:
      return try withUnsafeTemporaryAllocation(of: CChar.self, capacity: 5000) { buffer in
        let count = buffer.baseAddress.map { readlink(path, $0, buffer.count) } ?? -1
        if count < 0 { throw SystemError.last("readlink", path) }
        return .link(String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
      }
    case .fifo: return .fifo
    case .socket: return .socket
    case .character: return .character(device.0, device.1)
    case .block: return .block(device.0, device.1)
    case nil: throw SuiteError("\(path): a file of no known type")
    }
  }

  /// All but those of an overlay, or of this machine's security modules.
  private static func attributes(_ path: String) throws -> [String: [UInt8]] {
    let place = Place(root: path)
    var found: [String: [UInt8]] = [:]
    for name in place.attributeNames("") ?? [] where !name.hasPrefix("trusted.overlay.") && !name.hasPrefix("user.fuseoverlayfs.") {
      found[name] = try withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 16) { buffer in
        let count = lgetxattr(path, name, buffer.baseAddress, buffer.count)
        if count < 0 { throw SystemError.last("lgetxattr", "\(path) \(name)") }
        return Array(buffer[..<count])
      }
    }
    return found
  }
}
