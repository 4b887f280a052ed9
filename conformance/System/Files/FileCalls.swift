import CLinux

/// The system calls that cases make inside a mount, as values: what they return, with `errno` set. Paths are absolute.
///
/// A file system with one fault is made by replacing one of them.
public struct FileCalls: Sendable {
  public var open: @Sendable (_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 = { clinux_open($0, $1 | O_CLOEXEC, $2) }
  public var read: @Sendable (Int32, UnsafeMutableRawBufferPointer) -> Int = { CLinux.read($0, $1.baseAddress, $1.count) }
  public var write: @Sendable (Int32, UnsafeRawBufferPointer) -> Int = { CLinux.write($0, $1.baseAddress, $1.count) }
  public var close: @Sendable (Int32) -> Int32 = { CLinux.close($0) }
  public var seek: @Sendable (Int32, Int, Int32) -> Int = { lseek($0, $1, $2) }
  public var truncate: @Sendable (_ path: String, Int) -> Int32 = { CLinux.truncate($0, $1) }
  public var ftruncate: @Sendable (Int32, Int) -> Int32 = { CLinux.ftruncate($0, $1) }
  public var fsync: @Sendable (Int32) -> Int32 = { CLinux.fsync($0) }
  public var flock: @Sendable (Int32, Int32) -> Int32 = { clinux_flock($0, $1) }

  public var lstat: @Sendable (_ path: String, inout stat) -> Int32 = { CLinux.lstat($0, &$1) }
  public var fstat: @Sendable (Int32, inout stat) -> Int32 = { CLinux.fstat($0, &$1) }
  public var chmod: @Sendable (_ path: String, mode_t) -> Int32 = { CLinux.chmod($0, $1) }
  public var fchmod: @Sendable (Int32, mode_t) -> Int32 = { CLinux.fchmod($0, $1) }
  public var lchown: @Sendable (_ path: String, uid_t, gid_t) -> Int32 = { CLinux.lchown($0, $1, $2) }
  /// Access and modification time; links are not followed.
  public var setTimes: @Sendable (_ path: String, timespec, timespec) -> Int32 = { utimensat(AT_FDCWD, $0, [$1, $2], AT_SYMLINK_NOFOLLOW) }

  public var mkdir: @Sendable (_ path: String, mode_t) -> Int32 = { CLinux.mkdir($0, $1) }
  public var rmdir: @Sendable (_ path: String) -> Int32 = { CLinux.rmdir($0) }
  public var unlink: @Sendable (_ path: String) -> Int32 = { CLinux.unlink($0) }
  public var rename: @Sendable (_ old: String, _ new: String, _ flags: UInt32) -> Int32 = { clinux_renameat2(AT_FDCWD, $0, AT_FDCWD, $1, $2) }
  public var link: @Sendable (_ old: String, _ new: String) -> Int32 = { CLinux.link($0, $1) }
  public var symlink: @Sendable (_ target: String, _ new: String) -> Int32 = { CLinux.symlink($0, $1) }
  public var readlink: @Sendable (_ path: String, UnsafeMutableBufferPointer<CChar>) -> Int = { path, buffer in
    buffer.baseAddress.map { CLinux.readlink(path, $0, buffer.count) } ?? 0
  }
  public var mknod: @Sendable (_ path: String, mode_t, dev_t) -> Int32 = { CLinux.mknod($0, $1, $2) }
  /// Names of a directory with their types, as `readdir(3)` tells them; nil if it cannot be read.
  public var list: @Sendable (_ path: String) -> [Entry]? = FileCalls.readDirectory

  public var setAttribute: @Sendable (_ path: String, _ name: String, [UInt8], Int32) -> Int32 = { lsetxattr($0, $1, $2, $2.count, $3) }
  public var attribute: @Sendable (_ path: String, _ name: String, UnsafeMutableRawBufferPointer) -> Int = { lgetxattr($0, $1, $2.baseAddress, $2.count) }
  public var attributes: @Sendable (_ path: String, UnsafeMutableBufferPointer<CChar>) -> Int = { llistxattr($0, $1.baseAddress, $1.count) }
  public var removeAttribute: @Sendable (_ path: String, _ name: String) -> Int32 = { lremovexattr($0, $1) }

  public struct Entry: Sendable, Hashable {
    public var name: String
    public var type: UInt8
    public var inode: UInt64
    public init(name: String, type: UInt8, inode: UInt64) {
      self.name = name
      self.type = type
      self.inode = inode
    }
  }

  public init() {}

  private static func readDirectory(_ path: String) -> [Entry]? {
    guard let stream = opendir(path) else { return nil }
    defer { closedir(stream) }
    var entries: [Entry] = []
    clinux_set_errno(0)
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
      entries.append(Entry(name: name, type: entry.pointee.d_type, inode: UInt64(entry.pointee.d_ino)))
      clinux_set_errno(0)
    }
    return clinux_errno() == 0 ? entries : nil
  }
}
