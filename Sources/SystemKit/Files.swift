import CLinux

/// Thin, typed wrappers around file system calls. Blocking: never call them on the cooperative pool.
public enum Files {
  public static func open(_ path: String, _ flags: Int32, mode: mode_t = 0) throws(SystemError) -> OwnedFD {
    OwnedFD(adopting: try check("open", path) { clinux_open(path, flags | O_CLOEXEC, mode) })
  }

  public static func open(_ path: String, at directory: borrowing OwnedFD, _ flags: Int32, mode: mode_t = 0) throws(SystemError) -> OwnedFD {
    let dirfd = directory.raw
    return OwnedFD(adopting: try check("openat", path) { clinux_openat(dirfd, path, flags | O_CLOEXEC, mode) })
  }

  /// Reads until the end or until `limit` bytes; more than `limit` is an error (EFBIG), not a cut.
  public static func read(_ path: String, limit: Int = 16 << 20) throws(SystemError) -> [UInt8] {
    try readAll(open(path, O_RDONLY), path: path, limit: limit)
  }

  public static func readAll(_ fd: borrowing OwnedFD, path: String, limit: Int = 16 << 20) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    let raw = fd.raw
    while true {
      let count = try check("read", path) { CLinux.read(raw, &chunk, chunk.count) }
      if count == 0 { return bytes }
      bytes.append(contentsOf: chunk[0..<count])
      if bytes.count > limit { throw SystemError(errno: EFBIG, operation: "read", object: path) }
    }
  }

  public static func writeAll(_ bytes: UnsafeRawBufferPointer, to fd: borrowing OwnedFD, path: String) throws(SystemError) {
    var done = 0
    let raw = fd.raw
    while done < bytes.count {
      done += try check("write", path) { CLinux.write(raw, bytes.baseAddress! + done, bytes.count - done) }
    }
  }

  /// Replaces `path` as a unit: temporary file, fsync, rename, fsync of the directory.
  public static func writeAtomically(_ bytes: [UInt8], to path: String, mode: mode_t = 0o600) throws(SystemError) {
    let directory = parent(of: path)
    // Named after the thread: writers of one path never share a temporary file.
    let temporary = "\(path).tmp.\(gettid())"
    let fd = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: mode)
    do throws(SystemError) {
      let raw = fd.raw
      var done = 0
      while done < bytes.count {
        done += try check("write", temporary) {
          bytes.withUnsafeBytes { CLinux.write(raw, $0.baseAddress! + done, $0.count - done) }
        }
      }
      try check("fsync", temporary) { fsync(raw) }
      CrashPoint.pass("file.temporary")
      try check("rename", path) { CLinux.rename(temporary, path) }
    } catch {
      unlink(temporary)
      throw error
    }
    try syncDirectory(directory)
  }

  public static func syncDirectory(_ path: String) throws(SystemError) {
    let fd = try open(path, O_RDONLY | O_DIRECTORY)
    let raw = fd.raw
    try check("fsync", path) { fsync(raw) }
  }

  /// `mkdir -p`; existing directories are left as they are.
  public static func makeDirectories(_ path: String, mode: mode_t = 0o755) throws(SystemError) {
    if mkdir(path, mode) == 0 || clinux_errno() == EEXIST { return }
    guard clinux_errno() == ENOENT, path != "/", !path.isEmpty else { throw SystemError.last("mkdir", path) }
    try makeDirectories(parent(of: path), mode: mode)
    if mkdir(path, mode) != 0 && clinux_errno() != EEXIST { throw SystemError.last("mkdir", path) }
  }

  /// What `lstat(2)` says.
  public static func status(_ path: String) throws(SystemError) -> stat {
    var info = stat()
    try check("lstat", path) { lstat(path, &info) }
    return info
  }

  public static func exists(_ path: String) -> Bool {
    var info = stat()
    return lstat(path, &info) == 0
  }

  public static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Names in a directory, without "." and "..", in no order.
  public static func names(in path: String) throws(SystemError) -> [String] {
    guard let stream = opendir(path) else { throw SystemError.last("opendir", path) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      clinux_set_errno(0)
      guard let entry = readdir(stream) else {
        if clinux_errno() != 0 { throw SystemError.last("readdir", path) }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
  }

  /// Removes a tree without following links and without crossing into what is mounted in it (`EBUSY`, before anything below the mount is touched).
  /// What is absent is fine. However deep the tree is, and whatever its names are made of: see `TreeWalk`. `ENOTEMPTY` if somebody goes on putting things there.
  public static func removeTree(_ path: String) throws(SystemError) {
    for _ in 0..<10 {
      do throws(SystemError) { return try removeOnce(path) } catch let error where error.errno == ENOTEMPTY {
        // Somebody has put something there meanwhile. He is given time to be done.
        usleep(1000)
      }
    }
    try removeOnce(path)
  }

  private static func removeOnce(_ path: String) throws(SystemError) {
    let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    guard !name.isEmpty, name != ".", name != ".." else { throw SystemError(errno: EINVAL, operation: "remove", object: path) }
    let directory: OwnedFD
    do throws(SystemError) {
      directory = try open(parent(of: path), O_RDONLY | O_DIRECTORY)
    } catch let error where error.errno == ENOENT { return }
    let raw = directory.raw
    if unlinkat(raw, name, 0) == 0 || clinux_errno() == ENOENT { return }
    guard clinux_errno() == EISDIR else { throw SystemError.last("unlink", path) }
    do throws(SystemError) {
      try TreeWalk.walk(name, at: directory, path: path) { entry throws(SystemError) in
        if entry.type == UInt8(DT_DIR) { return .enter }
        if unlinkat(entry.directory, entry.name, 0) == 0 || clinux_errno() == ENOENT { return .leaveOut }
        if clinux_errno() == EISDIR { return .enter }
        throw SystemError.last("unlink", entry.path)
      } mounted: { entry throws(SystemError) in
        throw SystemError(errno: EBUSY, operation: "remove", object: entry.path)
      } left: { entry throws(SystemError) in
        if unlinkat(entry.directory, entry.name, AT_REMOVEDIR) != 0 && clinux_errno() != ENOENT { throw SystemError.last("rmdir", entry.path) }
      }
    } catch let error where error.errno == EXDEV {
      throw SystemError(errno: EBUSY, operation: "remove", object: path)
    } catch let error where error.errno == ENOENT {
      // Another remover is at work in the same tree, and has come further: what is left is less.
      try removeOnce(path)
    }
  }
}
