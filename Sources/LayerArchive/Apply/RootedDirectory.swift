import CLinux
import Protocols
import SystemKit

/// Opens directories below a root, with the kernel keeping every link inside it (openat2, RESOLVE_IN_ROOT).
///
/// An archive may reach one directory by several names, through links. `canonical` is the one without links: what is remembered about a
/// directory is remembered under it.
final class RootedDirectory {
  struct Parent {
    /// Open while it is the last one asked for.
    let descriptor: Int32
    let canonical: EntryPath
  }

  let root: OwnedFD
  private let prefix: Int
  /// Entries of one directory follow each other: the last one stays open.
  private var cachedPath: EntryPath?
  private var cached: OwnedFD?
  private var cachedCanonical = EntryPath.root

  init(root: consuming OwnedFD) throws {
    self.root = root
    prefix = try Self.link("/proc/self/fd/\(self.root.raw)").count
  }

  /// The directory, made with its parents (0755, root) where it is missing. `changing` is given each directory before one is made in it, and `created` is
  /// told the canonical path of each one that was made.
  func enter(_ path: EntryPath, changing: (Parent) throws -> Void, created: (EntryPath) -> Void) throws -> Parent {
    if cachedPath != path || cached == nil {
      forget()
      cached = OwnedFD(adopting: try openOrMake(path, changing, created))
      cachedCanonical = try canonical(of: cached?.raw ?? -1)
      cachedPath = path
    }
    return Parent(descriptor: cached?.raw ?? -1, canonical: cachedCanonical)
  }

  /// Calls the body with the open directory, links followed inside the root, or not at all if there is none.
  func withExisting(_ path: EntryPath, followLinks: Bool = true, _ body: (Parent) throws -> Void) throws {
    let opened = open(path, followLinks ? 0 : Int32(RESOLVE_NO_SYMLINKS))
    if opened < 0 {
      if [ENOENT, ENOTDIR, ELOOP].contains(clinux_errno()) { return }
      throw SystemError.last("openat2", path.text)
    }
    let directory = OwnedFD(adopting: opened)
    try body(Parent(descriptor: directory.raw, canonical: canonical(of: directory.raw)))
  }

  /// To be called when a directory may have been replaced.
  func forget() {
    cached = nil
    cachedPath = nil
  }

  /// The number of a new descriptor, or -1 and errno.
  private func open(_ path: EntryPath, _ restriction: Int32 = 0) -> Int32 {
    let resolve = UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) | UInt64(restriction)
    return clinux_openat2(root.raw, path.cString, UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, resolve)
  }

  /// The descriptor is the caller's to close.
  private func openOrMake(_ path: EntryPath, _ changing: (Parent) throws -> Void, _ created: (EntryPath) -> Void) throws -> Int32 {
    let present = open(path)
    if present >= 0 { return present }
    if clinux_errno() != ENOENT || path.isRoot { throw SystemError.last("openat2", path.text) }
    let parent = OwnedFD(adopting: try openOrMake(path.parent, changing, created))
    let raw = parent.raw
    try changing(Parent(descriptor: raw, canonical: canonical(of: raw)))
    let name = path.name
    if mkdirat(raw, name, 0o755) != 0 {
      // A dangling link in the way: a layer that writes below it wants a directory there.
      if clinux_errno() != EEXIST { throw SystemError.last("mkdirat", path.text) }
      try check("unlinkat", path.text) { unlinkat(raw, name, 0) }
      try check("mkdirat", path.text) { mkdirat(raw, name, 0o755) }
    }
    let made = try check("openat2", path.text) { open(path) }
    created(try canonical(of: made))
    return made
  }

  /// Where the kernel says that the directory is.
  private func canonical(of descriptor: Int32) throws -> EntryPath { try EntryPath(Self.link("/proc/self/fd/\(descriptor)").dropFirst(prefix)) }

  private static func link(_ path: String) throws(SystemError) -> [UInt8] {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = try check("readlink", path) { readlink(path, &buffer, buffer.count) }
    return buffer[..<count].map { UInt8(bitPattern: $0) }
  }
}
