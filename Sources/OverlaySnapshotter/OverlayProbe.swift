import CLinux
import Protocols
import Synchronization
import SystemKit

/// Finds out, by mounting one, whether overlays work below a directory, and which options they need there.
enum OverlayProbe {
  enum Answer {
    case works([String])
    case fails(SystemError)
    /// The disk is full, for one: that says nothing of overlays.
    case unknown(SystemError)
  }
  /// One at a time: they use the same directory.
  private static let turn = Mutex(())

  /// The options with which overlays work. `failedPrecondition` if they do not; the likely ones if that cannot be found out.
  static func options(root: String) throws(ContainerdError) -> [String] {
    switch ask(root: root) {
    case .works(let options): return options
    case .unknown: return index + (isInUserNamespace ? userAttributes : [])
    case .fails(let failure):
      throw .failedPrecondition("overlayfs does not work below \(root): \(failure); use another directory or snapshotter")
    }
  }

  static func ask(root: String) -> Answer { turn.withLock { _ in askAlone(root) } }

  private static var index: [String] { Files.exists("/sys/module/overlay/parameters/index") ? ["index=off"] : [] }
  private static let userAttributes = ["userxattr"]

  private static let prefix = "probe-"

  private static func askAlone(_ root: String) -> Answer {
    let base = "\(root)/\(prefix)\(getpid())"
    removeLeftovers(root)
    defer {
      // What is left behind the next probe removes.
      try? Files.removeTree(base)
    }
    // The kernel keeps an overlay's marks in trusted.* attributes, which nobody may write in a user namespace: there the mount
    // succeeds, and fails on the first directory that is to hide one below. With `userxattr` (Linux 5.11) they are user.* attributes.
    let first = tried(index, base)
    guard case .fails = first else { return first }
    return tried(index + userAttributes, base)
  }

  /// What probes have left that were killed, the mount too; one of a process that lives is its own matter. A directory more does no harm: no error.
  private static func removeLeftovers(_ root: String) {
    guard let names = try? Files.names(in: root) else { return }
    for name in names where name.hasPrefix(prefix) {
      guard let pid = pid_t(name.dropFirst(prefix.count)), pid > 0, pid == getpid() || (kill(pid, 0) != 0 && clinux_errno() == ESRCH) else { continue }
      _ = umount2("\(root)/\(name)/merged", Int32(MNT_DETACH) | Int32(UMOUNT_NOFOLLOW))
      // Tried again by the next one.
      try? Files.removeTree("\(root)/\(name)")
    }
  }

  private static func tried(_ options: [String], _ base: String) -> Answer {
    do throws(SystemError) {
      // A failure leaves its marks in the upper directory.
      try Files.removeTree(base)
      for name in ["lower1/replaced", "lower2", "upper", "work", "merged"] { try Files.makeDirectories("\(base)/\(name)", mode: 0o700) }
      let layers = ["lowerdir=\(base)/lower2:\(base)/lower1", "upperdir=\(base)/upper", "workdir=\(base)/work"]
      try Mounts.mount(type: "overlay", source: "overlay", target: "\(base)/merged", options: options + layers)
      let works: Result<Void, SystemError> = Result { () throws(SystemError) in try replace("\(base)/merged/replaced") }
      try Mounts.unmount("\(base)/merged")
      try works.get()
      return .works(options)
    } catch {
      return [ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE].contains(error.errno) ? .unknown(error) : .fails(error)
    }
  }

  private static var isInUserNamespace: Bool {
    // Where it cannot be read there are none.
    guard let map = try? Files.read("/proc/self/uid_map") else { return false }
    return String(decoding: map, as: UTF8.self).split(whereSeparator: \.isWhitespace) != ["0", "0", "4294967295"]
  }

  /// Takes a directory of a lower layer away and puts an empty one in its place.
  private static func replace(_ path: String) throws(SystemError) {
    try check("rmdir", path) { rmdir(path) }
    try check("mkdir", path) { mkdir(path, 0o700) }
  }
}

extension OverlaySnapshotter {
  /// Why overlays do not work below a directory; nil if they do. What keeps that from being found out is thrown. Blocking.
  public static func obstacle(root: String) throws(SystemError) -> String? {
    switch OverlayProbe.ask(root: root) {
    case .works: nil
    case .fails(let failure): "overlayfs does not work below \(root): \(failure)"
    case .unknown(let failure): throw failure
    }
  }
}
