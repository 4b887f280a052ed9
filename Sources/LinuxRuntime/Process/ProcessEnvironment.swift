import CInit
import CLinux
import SystemKit

/// The variables a process gets: of a name given twice the last counts, and HOME is the user's when it is absent or empty.
enum ProcessEnvironment {
  private static let inRoot: UInt64 = 0x10 | 0x02  // RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
  /// An image may hold anything; more than this of its user list is not read.
  private static let passwdLimit = 1 << 20

  static func resolve(_ process: ProcessSpec, root: String) throws(RuntimeError) -> [String] {
    var names: [String: Int] = [:]
    var out: [String] = []
    for entry in process.env {
      guard let equals = entry.firstIndex(of: "="), equals != entry.startIndex else {
        throw RuntimeError(.invalid, "process.env: \"\(entry)\" is not NAME=value")
      }
      let name = String(entry[..<equals])
      if let index = names[name] {
        out[index] = entry
      } else {
        names[name] = out.count
        out.append(entry)
      }
    }
    if let index = names["HOME"], out[index] != "HOME=" { return out }
    let home = "HOME=" + (homeDirectory(uid: process.user.uid, root: root) ?? "/")
    if let index = names["HOME"] { out[index] = home } else { out.append(home) }
    return out
  }

  /// Read without NSS: the C library would load code from inside the container's root.
  private static func homeDirectory(uid: UInt32, root: String) -> String? {
    let rootfd = clinux_open(root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
    guard rootfd >= 0 else { return nil }
    defer { close(rootfd) }
    let fd = clinux_openat2(rootfd, "etc/passwd", UInt64(O_RDONLY | O_CLOEXEC | O_NONBLOCK), 0, inRoot)
    guard fd >= 0 else { return nil }
    let file = OwnedFD(adopting: fd)
    var info = stat()
    guard fstat(fd, &info) == 0, info.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG), info.st_size <= passwdLimit,
      let bytes = try? Files.readAll(file, path: "/etc/passwd", limit: passwdLimit)
    else { return nil }
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      if fields.count >= 7, UInt32(fields[2]) == uid, fields[5].hasPrefix("/") { return String(fields[5]) }
    }
    return nil
  }
}
