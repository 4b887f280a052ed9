import CLinux
import ConformanceSuites
import Glibc
import Hashing
import Protocols
import SystemKit

/// What a tree consists of, as lines that two trees can be compared by: names, kinds, modes, owners, contents, links. Times are left out. Blocking.
struct TreeHash: Hashable, Sendable {
  let lines: [String]

  var digest: Digest { Digest.of(Array(lines.joined(separator: "\n").utf8)) }

  init(of root: String) throws {
    var (lines, firstNames): ([String], [UInt64: String]) = ([], [:])
    var top = stat()
    try check("lstat", root) { lstat(root, &top) }
    try Self.collect(root, "", device: top.st_dev, &lines, &firstNames)
    self.lines = lines
  }

  private static func collect(_ root: String, _ relative: String, device: dev_t, _ lines: inout [String], _ firstNames: inout [UInt64: String]) throws {
    for name in try Files.names(in: "\(root)/\(relative)").sorted() {
      let inside = relative.isEmpty ? name : "\(relative)/\(name)"
      let path = "\(root)/\(inside)"
      var info = stat()
      try check("lstat", path) { lstat(path, &info) }
      let start = "\(inside) \(String(info.st_mode, radix: 8)) \(info.st_uid):\(info.st_gid)"
      switch info.st_mode & S_IFMT {
      case S_IFDIR:
        lines.append(start)
        // What is mounted there is no part of the tree.
        if info.st_dev == device { try collect(root, inside, device: device, &lines, &firstNames) }
      case S_IFLNK:
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(path, &buffer, buffer.count)
        lines.append("\(start) to \(String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self))")
      case S_IFREG:
        let same = info.st_nlink > 1 ? firstNames[UInt64(info.st_ino)] : nil
        if let same {
          lines.append("\(start) is \(same)")
        } else {
          firstNames[UInt64(info.st_ino)] = inside
          lines.append("\(start) \(info.st_size) \(Digest.of(try Files.read(path)))")
        }
      default: lines.append("\(start) device \(info.st_rdev)")
      }
    }
  }

  /// The first lines in which they differ, or nothing.
  func difference(from other: TreeHash) -> String {
    let (mine, theirs) = (Set(lines), Set(other.lines))
    let (more, less) = (lines.filter { !theirs.contains($0) }, other.lines.filter { !mine.contains($0) })
    return (more.prefix(3).map { "has \"\($0)\"" } + less.prefix(3).map { "lacks \"\($0)\"" }).joined(separator: ", ")
  }
}
