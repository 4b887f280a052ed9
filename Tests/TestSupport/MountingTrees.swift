import BlockingIO
import CLinux
import ConformanceSuites
import Protocols
import SystemKit

/// Performs mounts on a thread of its own, in a mount namespace of its own: nobody else sees them, and they are gone with the thread. Needs root.
public struct MountingTrees: TreeAccess {
  private let mountPoint: String

  /// - Parameter mountPoint: an empty directory, made if it is not there; any number of calls may share it.
  public init(mountPoint: String) { self.mountPoint = mountPoint }

  /// By its path in the upper directory of an overlay, or in what is bound writable.
  public func stored(_ path: String, of mounts: [Mount]) throws -> (any StoredFile)? {
    let uppers = mounts.flatMap { mount in
      let upper = mount.options.filter { $0.hasPrefix("upperdir=") }.map { String($0.dropFirst(9)) }
      return mount.options.contains { $0 == "bind" || $0 == "rbind" } && !mount.isReadOnly ? [mount.source] : upper
    }
    guard let file = uppers.first.map({ "\($0)/\(path)" }), access(file, F_OK) == 0 else { return nil }
    return try OpenFile(path: file)
  }

  public func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    let target = mountPoint
    try await DedicatedThread.run {
      try Files.makeDirectories(target)
      try check("unshare", "mount namespace") { unshare(CLONE_FS | CLONE_NEWNS) }
      try check("mount", "/ as private") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
      for mount in mounts {
        let place = mount.target.isEmpty ? target : "\(target)/\(mount.target)"
        try Mounts.mount(type: mount.type, source: mount.source, target: place, options: mount.options)
      }
      try body(PlainTree(root: target))
    }
  }
}

/// A file by its descriptor.
private final class OpenFile: StoredFile {
  private let file: OwnedFD
  init(path: String) throws { file = try Files.open(path, O_RDONLY | O_NOFOLLOW) }

  func links() throws -> Int {
    var status = stat()
    let raw = file.raw
    try check("fstat", "a stored file") { fstat(raw, &status) }
    return Int(status.st_nlink)
  }
}

/// A directory as a `Tree`.
public struct PlainTree: Tree {
  private let root: String
  public init(root: String) { self.root = root }

  public var directory: String? { root }

  private func path(_ relative: String) -> String { relative.isEmpty ? root : "\(root)/\(relative)" }

  public func write(_ relative: String, _ bytes: [UInt8]) throws {
    let path = path(relative)
    let file = try Files.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    try bytes.withUnsafeBytes { try Files.writeAll($0, to: file, path: path) }
    let raw = file.raw
    // Allocation may wait for the write-back: what is measured next must be on disk.
    try check("fsync", path) { fsync(raw) }
  }

  public func extend(_ relative: String, to size: Int) throws {
    let path = path(relative)
    let file = try Files.open(path, O_WRONLY | O_CREAT, mode: 0o644)
    let raw = file.raw
    try check("ftruncate", path) { ftruncate(raw, off_t(size)) }
    try check("fsync", path) { fsync(raw) }
  }

  public func read(_ relative: String) throws -> [UInt8]? {
    do { return try Files.read(path(relative)) } catch let error where error.errno == ENOENT { return nil }
  }

  public func makeDirectory(_ relative: String) throws { try check("mkdir", relative) { mkdir(path(relative), 0o755) } }
  public func remove(_ relative: String) throws { try Files.removeTree(path(relative)) }
  public func link(_ existing: String, _ new: String) throws { try check("link", new) { CLinux.link(path(existing), path(new)) } }
  public func symlink(_ target: String, _ new: String) throws { try check("symlink", new) { CLinux.symlink(target, path(new)) } }
  public func rename(_ old: String, _ new: String) throws { try check("rename", new) { CLinux.rename(path(old), path(new)) } }

  public func setMode(_ relative: String, _ mode: UInt32, owner: UInt32, group: UInt32) throws {
    guard try UserNamespace.maps(owner, in: "/proc/self/uid_map"), try UserNamespace.maps(group, in: "/proc/self/gid_map") else {
      throw CaseSkipped(.environment, "files cannot be given to user \(owner) and group \(group): this user namespace does not map them")
    }
    try check("chown", relative) { chown(path(relative), owner, group) }
    try check("chmod", relative) { chmod(path(relative), mode) }
  }

  public func mode(_ relative: String) throws -> (mode: UInt32, owner: UInt32, group: UInt32) {
    let status = try Files.status(path(relative))
    return (status.st_mode & 0o7777, status.st_uid, status.st_gid)
  }

  public func names(_ relative: String) throws -> [String] { try Files.names(in: path(relative)).sorted() }
}
