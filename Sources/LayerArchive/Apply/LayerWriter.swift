import CArchive
import CLinux
import Protocols
import SystemKit
import TarReading

/// Writes the entries of one layer below a root.
///
/// Whiteouts delete what earlier layers have, never what this archive brings, in whatever order they come: `written` remembers every name
/// of this archive, and the directories above it. Times of directories are set last, since writing into a directory changes them.
/// Everything remembered is remembered by the path without links.
final class LayerWriter {
  private let directories: RootedDirectory
  private var written: Set<EntryPath> = []
  private var directoryTimes: [EntryPath: FileTimes] = [:]

  init(root: consuming OwnedFD) throws { directories = try RootedDirectory(root: root) }

  func write(_ entry: TarReader.Entry) throws {
    do {
      let path = try EntryPath(entry.name)
      if path.isOpaqueMark {
        try hide(below: path.parent)
      } else if path.isAufsBookkeeping {
        return
      } else if let name = path.whiteoutName {
        if name.isEmpty || name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) {
          throw ContainerdError.invalidArgument("whiteout \"\(entry.path)\" names nothing")
        }
        try delete(path.parent.appending(name))
      } else {
        try place(entry, path)
      }
    } catch let error as SystemError { throw Self.described(error, entry.path) }
  }

  /// Sets the times of directories, deepest first.
  func finish() throws {
    directories.forget()
    for (path, times) in directoryTimes.sorted(by: { $0.key.bytes.count > $1.key.bytes.count }) {
      // One that a later entry has deleted or replaced has no times to set.
      try directories.withExisting(path, followLinks: false) { try times.set(on: $0.descriptor, path) }
    }
  }

  func sync() throws {
    let raw = directories.root.raw
    try check("syncfs", "the layer") { syncfs(raw) }
    // Of the call above the kernel tells no file system in FUSE (but virtiofs); of this one it does.
    try check("fsync", "the layer") { fsync(raw) }
  }

  private func remember(_ path: EntryPath) {
    var path = path
    while written.insert(path).inserted && !path.isRoot { path = path.parent }
  }

  private static func described(_ error: SystemError, _ entry: String) -> ContainerdError {
    let code: ContainerdError.Code =
      switch error.errno {
      case ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE: .resourceExhausted
      case EACCES, EPERM: .permissionDenied
      // What the archive itself is to blame for: names too long, files where directories should be, links in a circle.
      case ENAMETOOLONG, ENOTDIR, ELOOP, ENOENT, EEXIST, EISDIR, EINVAL, EFBIG, E2BIG, ERANGE, EMLINK, EXDEV: .invalidArgument
      default: .unknown
      }
    return ContainerdError(code, "entry \"\(entry)\": \(error)")
  }

  // MARK: deletions

  /// Removes from a directory what this archive has not brought.
  private func hide(below path: EntryPath) throws {
    directories.forget()
    try directories.withExisting(path) { directory in
      try keepTimes(of: directory)
      for name in try DirectoryNames.read(directory.descriptor, path.text) { try delete(name, in: directory) }
    }
  }

  private func delete(_ path: EntryPath) throws {
    directories.forget()
    try directories.withExisting(path.parent) { try delete(path.name, in: $0) }
  }

  private func delete(_ name: [CChar], in directory: RootedDirectory.Parent) throws {
    let path = directory.canonical.appending(name.dropLast().map { UInt8(bitPattern: $0) })
    if written.contains(path) {
      // Ours; but of a directory that was there before, the old contents go.
      var status = stat()
      if fstatat(directory.descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.isDirectory { try hide(below: path) }
      return
    }
    try keepTimes(of: directory)
    try DirectoryNames.remove(name, in: directory.descriptor, path.text)
  }

  /// A directory that the archive does not mention keeps its times although we write into it.
  private func keepTimes(of directory: RootedDirectory.Parent) throws {
    if directoryTimes[directory.canonical] != nil { return }
    var status = stat()
    try check("fstat", directory.canonical.text) { fstat(directory.descriptor, &status) }
    directoryTimes[directory.canonical] = FileTimes(access: status.st_atim, modify: status.st_mtim)
  }

  // MARK: entries

  private func place(_ entry: TarReader.Entry, _ path: EntryPath) throws {
    let metadata = try EntryMetadata(entry.header, path)
    if path.isRoot {
      if entry.hardLink != nil || !metadata.isDirectory { throw ContainerdError.invalidArgument("entry \"\(entry.path)\": the root is a directory") }
      try metadata.set(on: EntryPath.root.cString, in: directories.root.raw)
      directoryTimes[.root] = metadata.times
      return remember(.root)
    }
    let parent = try directories.enter(path.parent, changing: keepTimes) { remember($0) }
    try keepTimes(of: parent)
    let canonical = parent.canonical.appending(path.bytes.suffix(path.name.count - 1))
    if let target = entry.hardLink {
      try link(path, in: parent, to: EntryPath(target))
    } else {
      try make(entry, metadata, path, in: parent)
      if metadata.isDirectory { directoryTimes[canonical] = metadata.times }
    }
    remember(canonical)
  }

  private func make(_ entry: TarReader.Entry, _ metadata: EntryMetadata, _ path: EntryPath, in parent: RootedDirectory.Parent) throws {
    let directory = parent.descriptor
    let name = path.name
    switch metadata.kind {
    case mode_t(S_IFREG):
      let file = OwnedFD(
        adopting: try inPlace(path, parent, "openat") {
          clinux_openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        })
      try Self.fill(file, entry, path)
      try metadata.set(on: file.raw)
      return try file.close(path: path.text)
    case mode_t(S_IFDIR):
      try inPlace(path, parent, "mkdirat", directory: true) { mkdirat(directory, name, 0o700) }
    case mode_t(S_IFLNK):
      guard let target = entry.symlink, target[0] != 0 else {
        throw ContainerdError.invalidArgument("entry \"\(entry.path)\": symbolic link without a target")
      }
      try inPlace(path, parent, "symlinkat") { symlinkat(target, directory, name) }
    case mode_t(S_IFCHR), mode_t(S_IFBLK):
      if metadata.isOverlayWhiteout {
        throw ContainerdError.invalidArgument("entry \"\(entry.path)\": character device 0:0 is overlayfs's own mark of a deletion")
      }
      try inPlace(path, parent, "mknodat") { mknodat(directory, name, metadata.kind | 0o600, metadata.device) }
    case mode_t(S_IFIFO): try inPlace(path, parent, "mkfifoat") { mkfifoat(directory, name, 0o600) }
    default: throw ContainerdError.invalidArgument("entry \"\(entry.path)\": unknown file type \(String(metadata.kind, radix: 8))")
    }
    try metadata.set(on: name, in: directory)
  }

  /// Makes something; what is in its way goes first, except a directory for a directory.
  @discardableResult
  private func inPlace(
    _ path: EntryPath, _ parent: RootedDirectory.Parent, _ call: String, directory: Bool = false, _ body: () -> Int32
  ) throws -> Int32 {
    let result = body()
    if result >= 0 { return result }
    if clinux_errno() != EEXIST { throw SystemError.last(call, path.text) }
    var status = stat()
    try check("fstatat", path.text) { fstatat(parent.descriptor, path.name, &status, AT_SYMLINK_NOFOLLOW) }
    if directory && status.isDirectory { return 0 }
    try DirectoryNames.remove(path.name, in: parent.descriptor, path.text)
    return try check(call, path.text, body)
  }

  private static func fill(_ file: borrowing OwnedFD, _ entry: TarReader.Entry, _ path: EntryPath) throws {
    let raw = file.raw
    let size = archive_entry_size(entry.header)
    var end: Int64 = 0
    if size > FileFiller.piece {
      var filler = FileFiller(raw, path: path.text)
      try entry.readData { bytes, offset in try filler.write(bytes, at: offset) }
      try filler.finish()
      if size != filler.end { try check("ftruncate", path.text) { ftruncate(raw, off_t(size)) } }
      return
    }
    try entry.readData { bytes, offset in
      var left = bytes
      var position = offset
      while !left.isEmpty {
        let count = try check("pwrite", path.text) { pwrite(raw, left.baseAddress, left.count, off_t(position)) }
        left = UnsafeRawBufferPointer(rebasing: left[count...])
        position += Int64(count)
      }
      end = position
    }
    // Holes at the end of a sparse file have no data.
    if size != end { try check("ftruncate", path.text) { ftruncate(raw, off_t(size)) } }
  }

  /// The last part of the target is not followed: a link to a symbolic link is one more name of that link.
  private func link(_ path: EntryPath, in parent: RootedDirectory.Parent, to target: EntryPath) throws {
    var found = false
    try directories.withExisting(target.parent) { source in
      var status = stat()
      let name = target.name
      if fstatat(source.descriptor, name, &status, AT_SYMLINK_NOFOLLOW) != 0 { return }
      if status.isDirectory { throw ContainerdError.invalidArgument("hard link \"\(path.text)\": its target \"\(target.text)\" is a directory") }
      found = true
      if source.canonical == parent.canonical && name == path.name { return }
      try inPlace(path, parent, "linkat to \(target.text)") { linkat(source.descriptor, name, parent.descriptor, path.name, 0) }
    }
    if !found { throw ContainerdError.invalidArgument("hard link \"\(path.text)\": its target \"\(target.text)\" does not exist") }
  }
}

extension stat {
  var isDirectory: Bool { st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) }
}
