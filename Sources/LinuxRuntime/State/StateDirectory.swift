import CLinux
import SystemKit

/// `<root>/<id>`: state.json, config.json and, until start, the socket the first process waits on.
struct StateDirectory {
  static let gateName = "start.sock"
  let path: String

  init(root: String, id: String) throws(RuntimeError) {
    let bytes = Array(id.utf8)
    let allowed = bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      default: "_+.-".utf8.contains(byte)
      }
    }
    guard allowed, (1...1024).contains(bytes.count), id != ".", id != ".." else {
      throw RuntimeError(.invalid, "invalid container ID format: \"\(id)\": 1 to 1024 of A-Z a-z 0-9 _ + . - are expected")
    }
    path = root + "/" + id
  }

  var gatePath: String { path + "/" + Self.gateName }
  var statePath: String { path + "/state.json" }
  var configPath: String { path + "/config.json" }
  var exists: Bool { Files.exists(path) }

  func make() throws(RuntimeError) {
    try during("make the state directory") { () throws(SystemError) in try Files.makeDirectories(Files.parent(of: path), mode: 0o711) }
    if mkdir(path, 0o711) != 0 {
      if clinux_errno() == EEXIST {
        throw RuntimeError(.alreadyExists, "container with id exists: \(path.split(separator: "/").last ?? "") (\(path))")
      }
      throw RuntimeError(.system, "make the state directory: \(SystemError.last("mkdir", path))")
    }
  }

  /// Replaced as a unit, without fsync: it describes processes, which a power failure ends too.
  func write(_ bytes: [UInt8], to file: String) throws(RuntimeError) {
    let temporary = file + ".new"
    try during("write \(file)") { () throws(SystemError) in
      let fd = try Files.open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600)
      let raw = fd.raw
      var done = 0
      while done < bytes.count {
        done += try check("write", temporary) { bytes.withUnsafeBytes { CLinux.write(raw, $0.baseAddress! + done, $0.count - done) } }
      }
      try check("rename", file) { CLinux.rename(temporary, file) }
    }
  }

  func remove() throws(RuntimeError) {
    try during("remove the state directory") { () throws(SystemError) in try Files.removeTree(path) }
  }

  /// Held over changes of state, so that two callers cannot both start or delete.
  func lock() throws(RuntimeError) -> OwnedFD {
    let fd = try during("lock the container") { () throws(SystemError) in try Files.open(path, O_RDONLY | O_DIRECTORY) }
    let raw = fd.raw
    try during("lock the container") { () throws(SystemError) in _ = try check("flock", path) { flock(raw, LOCK_EX) } }
    return fd
  }
}
