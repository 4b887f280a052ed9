import CArchive
import CLinux
import Protocols
import SystemKit

/// Writes the entries of one layer below a root.
///
/// Whiteouts delete what earlier layers have, never what this archive brings, in whatever order they come: `written` remembers every name
/// of this archive, and the directories above it. Times of directories are set last, since writing into a directory changes them.
final class LayerWriter {
  private static let whiteout = ".wh."
  private static let opaque = ".wh..wh..opq"

  private let directories: RootedDirectory
  private var written: Set<EntryPath> = []
  private var directoryTimes: [EntryPath: (access: timespec, modify: timespec)] = [:]

  init(root: consuming OwnedFD) { directories = RootedDirectory(root: root) }

  func write(_ entry: TarReader.Entry) throws {
    do {
      let path = try EntryPath(entry.path)
      if path.name == Self.opaque {
        try hide(below: path.parent)
      } else if path.name.hasPrefix(Self.whiteout) {
        let name = String(path.name.dropFirst(Self.whiteout.count))
        if name.isEmpty || name == "." || name == ".." { throw ContainerdError.invalidArgument("whiteout \"\(entry.path)\" names nothing") }
        if name.hasPrefix(Self.whiteout) { return }  // aufs's own bookkeeping
        try delete(path.parent.appending(name))
      } else {
        try place(entry, path)
        remember(path)
      }
    } catch let error as SystemError {
      throw ContainerdError(error.errno == ENOSPC || error.errno == EDQUOT ? .resourceExhausted : .unknown, "entry \"\(entry.path)\": \(error)")
    }
  }

  /// Sets the times of directories, deepest first.
  func finish() throws {
    directories.forget()
    for (path, times) in directoryTimes.sorted(by: { $0.key.parts.count > $1.key.parts.count }) {
      // One that a later entry has deleted or replaced has no times to set.
      try directories.withExisting(path) { directory in
        var pair = [times.access, times.modify]
        try check("futimens", path.text) { futimens(directory, &pair) }
      }
    }
  }

  func sync() throws {
    let raw = directories.root.raw
    try check("syncfs", "the layer") { syncfs(raw) }
  }

  private func remember(_ path: EntryPath) {
    var path = path
    while written.insert(path).inserted && !path.isRoot { path = path.parent }
  }

  // MARK: deletions

  /// Removes from a directory what this archive has not brought.
  private func hide(below path: EntryPath) throws {
    directories.forget()
    guard let names = try directories.names(in: path) else { return }
    try keepTimes(of: path)
    for name in names { try delete(path.appending(name)) }
  }

  private func delete(_ path: EntryPath) throws {
    if path.isRoot { return }
    if written.contains(path) {
      // Ours; but of a directory that was there before, the old contents go.
      if try isDirectory(path) { try hide(below: path) }
      return
    }
    directories.forget()
    try keepTimes(of: path.parent)
    try directories.withExisting(path.parent) { parent in try Files.removeTree("/proc/self/fd/\(parent)/\(path.name)") }
  }

  private func isDirectory(_ path: EntryPath) throws -> Bool {
    let parent = try directories.open(path.parent)
    var status = stat()
    return fstatat(parent.raw, path.name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
  }

  /// A directory that the archive does not mention keeps its times although we write into it.
  private func keepTimes(of path: EntryPath) throws {
    if directoryTimes[path] != nil { return }
    try directories.withExisting(path) { directory in
      var status = stat()
      try check("fstat", path.text) { fstat(directory, &status) }
      directoryTimes[path] = (status.st_atim, status.st_mtim)
    }
  }

  // MARK: entries

  private func place(_ entry: TarReader.Entry, _ path: EntryPath) throws {
    let header = entry.header
    let kind = mode_t(archive_entry_filetype(header))
    if path.isRoot {
      if entry.hardLink != nil || kind != mode_t(S_IFDIR) { throw ContainerdError.invalidArgument("entry \"\(entry.path)\": the root is a directory") }
      try setMetadata(of: header, kind: kind, directory: directories.root.raw, name: ".", path)
      return
    }
    try keepTimes(of: path.parent)
    if let target = entry.hardLink { return try link(path, to: EntryPath(target)) }
    var made: [EntryPath] = []
    let isNewDirectory = kind == mode_t(S_IFDIR)
    try directories.with(path.parent, created: { made.append($0) }) { parent in
      try Self.makeRoom(parent, path, forDirectory: isNewDirectory)
      switch kind {
      case mode_t(S_IFREG): try Self.makeFile(entry, parent, path)
      case mode_t(S_IFDIR):
        if mkdirat(parent, path.name, 0o700) != 0 && clinux_errno() != EEXIST { throw SystemError.last("mkdirat", path.text) }
      case mode_t(S_IFLNK):
        guard let target = archive_entry_symlink(header) ?? archive_entry_symlink_utf8(header) else {
          throw ContainerdError.invalidArgument("entry \"\(entry.path)\": symbolic link without a target")
        }
        try check("symlinkat", path.text) { symlinkat(target, parent, path.name) }
      case mode_t(S_IFCHR), mode_t(S_IFBLK):
        let device = clinux_makedev(UInt32(truncatingIfNeeded: archive_entry_rdevmajor(header)), UInt32(truncatingIfNeeded: archive_entry_rdevminor(header)))
        try check("mknodat", path.text) { mknodat(parent, path.name, kind | 0o600, device) }
      case mode_t(S_IFIFO): try check("mkfifoat", path.text) { mkfifoat(parent, path.name, 0o600) }
      default: throw ContainerdError.invalidArgument("entry \"\(entry.path)\": unknown file type \(String(kind, radix: 8))")
      }
    }
    for path in made { written.insert(path) }
    let parent = try directories.open(path.parent)
    try setMetadata(of: header, kind: kind, directory: parent.raw, name: path.name, path)
  }

  /// What is in the way goes, except a directory for a directory.
  private static func makeRoom(_ parent: Int32, _ path: EntryPath, forDirectory: Bool) throws {
    var status = stat()
    if fstatat(parent, path.name, &status, AT_SYMLINK_NOFOLLOW) != 0 { return }
    let isDirectory = status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
    if isDirectory && forDirectory { return }
    try Files.removeTree("/proc/self/fd/\(parent)/\(path.name)")
  }

  private static func makeFile(_ entry: TarReader.Entry, _ parent: Int32, _ path: EntryPath) throws {
    let file = OwnedFD(
      adopting: try check("openat", path.text) {
        clinux_openat(parent, path.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
      })
    let raw = file.raw
    try entry.readData { bytes, offset in
      var done = 0
      while done < bytes.count {
        done += try check("pwrite", path.text) { pwrite(raw, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + off_t(done)) }
      }
    }
    // Holes at the end of a sparse file have no data.
    try check("ftruncate", path.text) { ftruncate(raw, off_t(archive_entry_size(entry.header))) }
    try file.close(path: path.text)
  }

  private func link(_ path: EntryPath, to target: EntryPath) throws {
    if target.isRoot { throw ContainerdError.invalidArgument("hard link \"\(path.text)\" to the root") }
    let from = try directories.open(target.parent)
    var status = stat()
    if fstatat(from.raw, target.name, &status, AT_SYMLINK_NOFOLLOW) != 0 {
      throw ContainerdError.invalidArgument("hard link \"\(path.text)\": its target \"\(target.text)\" does not exist")
    }
    let source = from.raw
    if path == target { return }
    try directories.with(path.parent, created: { _ in }) { parent in
      try Self.makeRoom(parent, path, forDirectory: false)
      try check("linkat", "\(path.text) to \(target.text)") { linkat(source, target.name, parent, path.name, 0) }
    }
  }

  // MARK: metadata

  /// In the only order that works: owner (clears setuid and capabilities), attributes, mode, times.
  private func setMetadata(of header: OpaquePointer, kind: mode_t, directory: Int32, name: String, _ path: EntryPath) throws {
    let (uid, gid) = (archive_entry_uid(header), archive_entry_gid(header))
    guard (0..<Int64(UInt32.max)).contains(uid), (0..<Int64(UInt32.max)).contains(gid) else {
      throw ContainerdError.invalidArgument("entry \"\(path.text)\": owner \(uid):\(gid) is out of range")
    }
    try check("fchownat", path.text) { fchownat(directory, name, uid_t(uid), gid_t(gid), AT_SYMLINK_NOFOLLOW) }
    try setAttributes(of: header, "/proc/self/fd/\(directory)/\(name)", path)
    if kind != mode_t(S_IFLNK) {
      try check("fchmodat", path.text) { fchmodat(directory, name, mode_t(archive_entry_perm(header)) & 0o7777, 0) }
    }
    let modify = timespec(tv_sec: archive_entry_mtime(header), tv_nsec: archive_entry_mtime_nsec(header))
    let access = archive_entry_atime_is_set(header) != 0 ? timespec(tv_sec: archive_entry_atime(header), tv_nsec: archive_entry_atime_nsec(header)) : modify
    if kind == mode_t(S_IFDIR) {
      directoryTimes[path] = (access, modify)
    } else {
      var pair = [access, modify]
      try check("utimensat", path.text) { utimensat(directory, name, &pair, AT_SYMLINK_NOFOLLOW) }
    }
  }

  private func setAttributes(of header: OpaquePointer, _ file: String, _ path: EntryPath) throws {
    archive_entry_xattr_reset(header)
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var size = 0
    while archive_entry_xattr_next(header, &name, &value, &size) == ARCHIVE_OK {
      guard let name else { continue }
      let text = String(cString: name)
      // An overlay's own marks would let an image rewrite the stack of layers.
      if text.hasPrefix("trusted.overlay.") || text.hasPrefix("user.overlay.") { continue }
      if lsetxattr(file, name, value, size, 0) != 0 {
        // Not every file system or file type carries every attribute; the file itself is whole.
        if clinux_errno() == EOPNOTSUPP || (clinux_errno() == EPERM && text.hasPrefix("user.")) { continue }
        throw SystemError.last("lsetxattr \(text)", path.text)
      }
    }
  }
}
