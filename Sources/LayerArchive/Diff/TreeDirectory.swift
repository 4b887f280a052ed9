import CArchive
import CLinux
import Protocols
import SystemKit

/// One open directory of a tree that is being compared. Names are bytes.
final class TreeDirectory {
  let descriptor: OwnedFD
  let path: EntryPath

  init(_ tree: String, _ path: EntryPath) throws {
    self.path = path
    let root = try Files.open(tree, O_RDONLY | O_DIRECTORY)
    let raw = root.raw
    if path.bytes.count >= Int(PATH_MAX) {
      throw ContainerdError.failedPrecondition("a directory has a path of \(path.bytes.count) bytes, more than an archive can name")
    }
    descriptor = OwnedFD(adopting: try check("openat", path.text) { clinux_openat(raw, path.cString, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0) })
  }

  static func bytes(_ name: [CChar]) -> [UInt8] { name.dropLast().map { UInt8(bitPattern: $0) } }
  static func order(_ one: [CChar], _ other: [CChar]) -> Bool { bytes(one).lexicographicallyPrecedes(bytes(other)) }

  /// In byte order, without sockets: one without its server is nothing, and tar has no form for it.
  func names() throws -> [[CChar]] {
    try DirectoryNames.read(descriptor.raw, path.text) { $0 != UInt8(DT_SOCK) }.sorted(by: Self.order)
  }

  func status(_ name: [CChar]) throws -> stat {
    var status = stat()
    try check("fstatat", text(name)) { fstatat(descriptor.raw, name, &status, AT_SYMLINK_NOFOLLOW) }
    return status
  }

  func text(_ name: [CChar]) -> String { "\(path.text)/\(String(decoding: Self.bytes(name), as: UTF8.self))" }

  /// Whether the other directory's entry of that name needs no change to become this one's: type, mode, owner, device, size, time, number
  /// of names, attributes, link target and bytes. Of a directory, the contents do not count.
  func isSame(_ name: [CChar], as other: TreeDirectory) throws -> Bool {
    let (a, b) = (try status(name), try other.status(name))
    if a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev { return false }
    if a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec { return false }
    if !a.isDirectory {
      if a.st_nlink != b.st_nlink || a.st_size != b.st_size { return false }
      // Through an overlay an untouched file is the lower one itself: one number, one time of change.
      if a.st_ino == b.st_ino && a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec { return true }
    }
    if try attributes(name) != other.attributes(name) { return false }
    switch a.st_mode & mode_t(S_IFMT) {
    case mode_t(S_IFLNK): return try linkTarget(name) == other.linkTarget(name)
    case mode_t(S_IFREG): return try hasSameBytes(name, as: other)
    default: return true
    }
  }

  func open(_ name: [CChar]) throws -> OwnedFD {
    OwnedFD(adopting: try check("openat", text(name)) { clinux_openat(descriptor.raw, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0) })
  }

  private func hasSameBytes(_ name: [CChar], as other: TreeDirectory) throws -> Bool {
    let mine = try open(name)
    let theirs = try other.open(name)
    var (one, two) = ([UInt8](repeating: 0, count: 256 << 10), [UInt8](repeating: 0, count: 256 << 10))
    var offset: off_t = 0
    while true {
      let count = try check("pread", text(name)) { pread(mine.raw, &one, one.count, offset) }
      let same = try check("pread", text(name)) { pread(theirs.raw, &two, two.count, offset) }
      if count != same || one[..<count] != two[..<count] { return false }
      if count == 0 { return true }
      offset += off_t(count)
    }
  }

  /// With the zero that C wants.
  func linkTarget(_ name: [CChar]) throws -> [CChar] {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    let count = try check("readlinkat", text(name)) { readlinkat(descriptor.raw, name, &buffer, buffer.count - 1) }
    return Array(buffer[..<count]) + [0]
  }

  /// All attributes but an overlay's own.
  func attributes(_ name: [CChar]) throws -> [String: [UInt8]] {
    let file = Array("/proc/self/fd/\(descriptor.raw)/".utf8.map { CChar(bitPattern: $0) }) + name
    let size = llistxattr(file, nil, 0)
    if size <= 0 {
      if size < 0 && clinux_errno() != EOPNOTSUPP { throw SystemError.last("llistxattr", text(name)) }
      return [:]
    }
    var names = [CChar](repeating: 0, count: size)
    let count = try check("llistxattr", text(name)) { llistxattr(file, &names, names.count) }
    var attributes: [String: [UInt8]] = [:]
    for key in names[..<count].split(separator: 0) {
      let attribute = String(decoding: key.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if attribute.hasPrefix("trusted.overlay.") || attribute.hasPrefix("user.overlay.") { continue }
      let length = try check("lgetxattr \(attribute)", text(name)) { lgetxattr(file, attribute, nil, 0) }
      var value = [UInt8](repeating: 0, count: length)
      if length > 0 { try check("lgetxattr \(attribute)", text(name)) { lgetxattr(file, attribute, &value, length) } }
      attributes[attribute] = value
    }
    return attributes
  }
}
