import CLinux
import SystemKit

/// Opens directories below a root, with the kernel keeping every link inside it (openat2, RESOLVE_IN_ROOT).
final class RootedDirectory {
  let root: OwnedFD
  /// Entries of one directory follow each other: the last one stays open.
  private var cachedPath: EntryPath?
  private var cached: OwnedFD?

  init(root: consuming OwnedFD) { self.root = root }

  /// The directory itself, links followed inside the root. `ENOENT`, `ENOTDIR` if it is none.
  func open(_ path: EntryPath) throws(SystemError) -> OwnedFD {
    let raw = root.raw
    let resolve = UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    return OwnedFD(
      adopting: try check("openat2", path.text) {
        clinux_openat2(raw, path.text, UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, resolve)
      })
  }

  /// What the directory holds; nil if it is none.
  func names(in path: EntryPath) throws -> [String]? {
    var names: [String]?
    try withExisting(path) { names = try Files.names(in: "/proc/self/fd/\($0)") }
    return names
  }

  /// Calls the body with the open directory, or not at all if it is none.
  func withExisting(_ path: EntryPath, _ body: (Int32) throws -> Void) throws {
    let resolve = UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    let opened = clinux_openat2(root.raw, path.text, UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, resolve)
    if opened < 0 {
      if clinux_errno() == ENOENT || clinux_errno() == ENOTDIR { return }
      throw SystemError.last("openat2", path.text)
    }
    defer { close(opened) }
    try body(opened)
  }

  /// The directory, made with its parents (0755, root) where it is missing, for the time of the call. `created` is told each one that was made.
  func with<Value>(
    _ path: EntryPath, created: (EntryPath) -> Void, _ body: (Int32) throws -> Value
  ) throws -> Value {
    if cachedPath != path || cached == nil {
      cached = nil
      cached = try openOrMake(path, created)
      cachedPath = path
    }
    return try body(cached?.raw ?? -1)
  }

  /// To be called when a directory may have been replaced.
  func forget() {
    cached = nil
    cachedPath = nil
  }

  private func openOrMake(_ path: EntryPath, _ created: (EntryPath) -> Void) throws(SystemError) -> OwnedFD {
    do throws(SystemError) { return try open(path) } catch  where error.errno == ENOENT && !path.isRoot {}
    let parent = try openOrMake(path.parent, created)
    let raw = parent.raw
    if mkdirat(raw, path.name, 0o755) != 0 {
      // A dangling link in the way: a layer that writes below it wants a directory there.
      if clinux_errno() != EEXIST { throw SystemError.last("mkdirat", path.text) }
      try check("unlinkat", path.text) { unlinkat(raw, path.name, 0) }
      try check("mkdirat", path.text) { mkdirat(raw, path.name, 0o755) }
    }
    created(path)
    return try open(path)
  }
}
