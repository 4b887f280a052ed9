import BlockingIO
import CLinux
import ConformanceSuites
import SystemKit

/// What is done to a backend's directory while it does not run, and around it.
enum Damage {
  /// A small file system of its own, in which the backend keeps everything.
  static func smallDisk(at root: String, bytes: Int, files: Int) throws {
    try needRoot("mounting a small file system")
    try Mounts.mount(type: "tmpfs", source: "tmpfs", target: root, options: ["size=\(bytes)", "nr_inodes=\(files)", "mode=0755"])
  }

  static func readOnly(_ root: String) throws {
    try needRoot("mounting a directory read-only")
    try Mounts.mount(type: "bind", source: root, target: root, options: ["bind", "ro"])
  }

  static func writableAgain(_ root: String) throws { try Mounts.unmount(root, flags: Int32(MNT_DETACH)) }

  /// Takes what space there is left.
  static func fill(_ root: String) throws {
    let path = "\(root)/filler"
    let file = try Files.open(path, O_WRONLY | O_CREAT, mode: 0o600)
    let raw = file.raw
    var size = 1 << 20
    let block = [UInt8](repeating: 0, count: size)
    while size > 0 {
      let count = block.withUnsafeBytes { write(raw, $0.baseAddress, size) }
      if count < 0 {
        if clinux_errno() != ENOSPC { throw SystemError.last("write", path) }
        size /= 2
      }
    }
  }
  static func empty(_ root: String) throws { try Files.removeTree("\(root)/filler") }

  /// The database and whatever lies beside it under its name are overwritten.
  /// - Returns: what the database holds now.
  static func overwrite(_ database: String) throws -> [UInt8] {
    let garbage = Array("this is no database any more\n".utf8)
    for file in try files(of: database) {
      let size = max(Int(try Files.status(file).st_size), 8192)
      let file_ = try Files.open(file, O_WRONLY | O_TRUNC)
      let bytes = Array((0..<(size / garbage.count)).map { _ in garbage }.joined())
      try bytes.withUnsafeBytes { try Files.writeAll($0, to: file_, path: file) }
    }
    return try Files.read(database)
  }

  static func lose(_ database: String) throws { for file in try files(of: database) { try Files.removeTree(file) } }

  private static func files(of database: String) throws -> [String] {
    guard let name = database.split(separator: "/").last.map(String.init) else { throw SuiteError("no database") }
    let directory = Files.parent(of: database)
    let found = try Files.names(in: directory).filter { $0.hasPrefix(name) }.map { "\(directory)/\($0)" }
    if !found.contains(database) { throw SuiteError("the backend has no database \(database)") }
    return found
  }

  /// A directory with a file in it.
  static func directory(_ path: String, holding name: String = "stray") throws {
    try Files.makeDirectories(path)
    try Files.writeAtomically(Array("nobody's".utf8), to: "\(path)/\(name)")
  }

  /// False where the file system knows no such flag.
  static func immutable(_ path: String, _ on: Bool) throws -> Bool {
    let file = try Files.open(path, O_RDONLY)
    let raw = file.raw
    var flags: Int = 0
    if clinux_ioctl(raw, 0x8008_6601, &flags) != 0 { return false }  // FS_IOC_GETFLAGS
    flags = on ? flags | 0x10 : flags & ~0x10
    return clinux_ioctl(raw, 0x4008_6602, &flags) == 0  // FS_IOC_SETFLAGS
  }

  private static func needRoot(_ what: String) throws { if geteuid() != 0 { throw CaseSkipped(.privilege, "\(what) needs root") } }
}
