import CArchive
import CLinux
import Protocols
import SystemKit

/// Walks both trees in step and writes what differs: new and changed entries, and whiteouts for what is gone.
///
/// Two files are the same when type, mode, owner, attributes, size and times are, and where only sub-second times are missing, bytes too.
final class TreeComparison {
  private struct Inode: Hashable {
    let device: UInt64
    let number: UInt64
  }

  private let trees: DiffTrees
  private let archive: TarWriter
  /// The first name under which a file with several was written.
  private var firstNames: [Inode: String] = [:]

  init(trees: DiffTrees, archive: TarWriter) {
    self.trees = trees
    self.archive = archive
  }

  func run() throws { try compare("") }

  private func upper(_ path: String) -> String { path.isEmpty ? trees.upper : "\(trees.upper)/\(path)" }
  private func lower(_ path: String) -> String? { trees.lower.map { path.isEmpty ? $0 : "\($0)/\(path)" } }

  /// Compares the contents of one directory, present above.
  private func compare(_ path: String) throws {
    let above = try Files.names(in: upper(path)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    let below = Set(try lowerNames(path))
    for name in below.subtracting(above).sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      try archive.whiteout(join(path, ".wh.\(name)"))
    }
    for name in above {
      let child = join(path, name)
      let status = try Files.status(upper(child))
      let before = below.contains(name) ? try lower(child).map(Files.status) : nil
      let isDirectory = kind(status) == S_IFDIR
      let wasDirectory = before.map { kind($0) == S_IFDIR } ?? false
      if try before.map({ try !same(status, $0, child) }) ?? true { try write(child, status) }
      if isDirectory {
        if wasDirectory { try compare(child) } else { try writeAll(child) }
      }
    }
  }

  /// Everything below a directory that is new.
  private func writeAll(_ path: String) throws {
    for name in try Files.names(in: upper(path)).sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      let child = join(path, name)
      let status = try Files.status(upper(child))
      try write(child, status)
      if kind(status) == S_IFDIR { try writeAll(child) }
    }
  }

  private func write(_ path: String, _ status: stat) throws {
    if kind(status) == S_IFSOCK { return }  // a socket without its server is nothing; tar has no form for it
    if status.st_nlink > 1 && kind(status) != S_IFDIR {
      let inode = Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
      if let first = firstNames[inode] { return try archive.hardLink(path, to: first, status) }
      firstNames[inode] = path
    }
    try archive.entry(path, file: upper(path), status)
  }

  private func lowerNames(_ path: String) throws -> [String] {
    guard let directory = lower(path), Files.exists(directory) else { return [] }
    return kind(try Files.status(directory)) == S_IFDIR ? try Files.names(in: directory) : []
  }

  private func same(_ a: stat, _ b: stat, _ path: String) throws -> Bool {
    if a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev { return false }
    guard let below = lower(path) else { return false }
    if try ExtendedAttributes.read(upper(path)) != ExtendedAttributes.read(below) { return false }
    switch kind(a) {
    case S_IFDIR: return a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec
    case S_IFLNK: return try SymbolicLink.target(upper(path)) == SymbolicLink.target(below)
    case S_IFREG:
      if a.st_size != b.st_size || a.st_mtim.tv_sec != b.st_mtim.tv_sec { return false }
      if a.st_mtim.tv_nsec != b.st_mtim.tv_nsec { return false }
      // Through an overlay an untouched file is the lower one itself.
      return true
    default: return true
    }
  }

  private func kind(_ status: stat) -> mode_t { status.st_mode & 0o170000 }
  private func join(_ path: String, _ name: String) -> String { path.isEmpty ? name : "\(path)/\(name)" }
}

private let S_IFDIR: mode_t = 0o040000
private let S_IFREG: mode_t = 0o100000
private let S_IFLNK: mode_t = 0o120000
private let S_IFSOCK: mode_t = 0o140000

enum SymbolicLink {
  static func target(_ path: String) throws -> String {
    var buffer = [CChar](repeating: 0, count: 4097)
    let count = try check("readlink", path) { readlink(path, &buffer, buffer.count - 1) }
    return String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

enum ExtendedAttributes {
  /// All attributes but an overlay's own.
  static func read(_ path: String) throws -> [String: [UInt8]] {
    let size = llistxattr(path, nil, 0)
    if size <= 0 {
      if size < 0 && clinux_errno() != EOPNOTSUPP { throw SystemError.last("llistxattr", path) }
      return [:]
    }
    var names = [CChar](repeating: 0, count: size)
    let count = try check("llistxattr", path) { llistxattr(path, &names, names.count) }
    var attributes: [String: [UInt8]] = [:]
    for name in names[0..<count].split(separator: 0) {
      let text = String(decoding: name.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix("trusted.overlay.") || text.hasPrefix("user.overlay.") { continue }
      let length = try check("lgetxattr \(text)", path) { lgetxattr(path, text, nil, 0) }
      var value = [UInt8](repeating: 0, count: length)
      if length > 0 { try check("lgetxattr \(text)", path) { lgetxattr(path, text, &value, length) } }
      attributes[text] = value
    }
    return attributes
  }
}
