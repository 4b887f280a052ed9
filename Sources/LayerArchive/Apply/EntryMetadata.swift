import CArchive
import CLinux
import Protocols
import SystemKit

/// When a file was last read and written.
struct FileTimes {
  let access: timespec
  let modify: timespec

  func set(on descriptor: Int32, _ path: EntryPath) throws(SystemError) {
    var pair = (access, modify)
    _ = try withUnsafePointer(to: &pair) { pointer throws(SystemError) in
      try pointer.withMemoryRebound(to: timespec.self, capacity: 2) { times throws(SystemError) in
        try check("futimens", path.text) { futimens(descriptor, times) }
      }
    }
  }
}

/// What an archive says about an entry besides its contents, and how it is put on a file: in the only order that works, owner (clears
/// setuid and capabilities), attributes, mode, times.
struct EntryMetadata {
  let kind: mode_t
  let times: FileTimes
  private let path: EntryPath
  private let header: OpaquePointer
  private let mode: mode_t
  private let owner: uid_t
  private let group: gid_t

  /// `invalidArgument` for an owner that no kernel knows. The header must outlive the value.
  init(_ header: OpaquePointer, _ path: EntryPath) throws {
    self.path = path
    self.header = header
    kind = mode_t(archive_entry_filetype(header))
    mode = mode_t(archive_entry_perm(header)) & 0o7777
    let (uid, gid) = (archive_entry_uid(header), archive_entry_gid(header))
    // The highest number means "leave as it is".
    guard (0..<Int64(UInt32.max)).contains(uid), (0..<Int64(UInt32.max)).contains(gid) else {
      throw ContainerdError.invalidArgument("entry \"\(path.text)\": owner \(uid):\(gid) is out of range")
    }
    (owner, group) = (uid_t(uid), gid_t(gid))
    let modify = Self.time(archive_entry_mtime(header), archive_entry_mtime_nsec(header))
    times = FileTimes(
      access: archive_entry_atime_is_set(header) != 0 ? Self.time(archive_entry_atime(header), archive_entry_atime_nsec(header)) : modify, modify: modify)
  }

  /// libarchive reads "-2.25" as -2 and 0.25; only pax has fractions, so that is always what it means.
  private static func time(_ seconds: time_t, _ nanoseconds: Int) -> timespec {
    if seconds < 0 && nanoseconds > 0 { return timespec(tv_sec: seconds - 1, tv_nsec: 1_000_000_000 - nanoseconds) }
    return timespec(tv_sec: seconds, tv_nsec: nanoseconds)
  }

  var isDirectory: Bool { kind == mode_t(S_IFDIR) }
  var device: dev_t {
    clinux_makedev(UInt32(truncatingIfNeeded: archive_entry_rdevmajor(header)), UInt32(truncatingIfNeeded: archive_entry_rdevminor(header)))
  }
  var isOverlayWhiteout: Bool { kind == mode_t(S_IFCHR) && device == 0 }

  /// On an open file.
  func set(on descriptor: Int32) throws {
    try check("fchown", path.text) { fchown(descriptor, owner, group) }
    try forEachAttribute { fsetxattr(descriptor, $0, $1, $2, 0) }
    try check("fchmod", path.text) { fchmod(descriptor, mode) }
    try times.set(on: descriptor, path)
  }

  /// On a name, never following it. The times of a directory are for later.
  func set(on name: [CChar], in directory: Int32) throws {
    try check("fchownat", path.text) { fchownat(directory, name, owner, group, AT_SYMLINK_NOFOLLOW) }
    let file: [CChar] = Array("/proc/self/fd/\(directory)/".utf8.map { CChar(bitPattern: $0) }) + name
    try forEachAttribute { lsetxattr(file, $0, $1, $2, 0) }
    if kind != mode_t(S_IFLNK) { try check("fchmodat", path.text) { fchmodat(directory, name, mode, 0) } }
    if isDirectory { return }
    var pair = [times.access, times.modify]
    try check("utimensat", path.text) { utimensat(directory, name, &pair, AT_SYMLINK_NOFOLLOW) }
  }

  private func forEachAttribute(_ set: (UnsafePointer<CChar>, UnsafeRawPointer?, Int) -> Int32) throws {
    archive_entry_xattr_reset(header)
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var size = 0
    // libarchive tells the last record first, and of one attribute that comes twice the last counts.
    var known: Set<String> = []
    while archive_entry_xattr_next(header, &name, &value, &size) == ARCHIVE_OK {
      guard let name, case let text = String(cString: name), known.insert(text).inserted else { continue }
      // An overlay's own marks would let an image rewrite the stack of layers.
      if text.hasPrefix("trusted.overlay.") || text.hasPrefix("user.overlay.") { continue }
      if set(name, value, size) != 0 {
        // Not every file system or file type carries every attribute; the file itself is whole.
        if clinux_errno() == EOPNOTSUPP || (clinux_errno() == EPERM && text.hasPrefix("user.")) { continue }
        throw SystemError.last("setxattr \(text)", path.text)
      }
    }
  }
}
