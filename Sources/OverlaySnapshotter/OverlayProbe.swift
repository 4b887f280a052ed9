import CLinux
import Protocols
import SystemKit

/// Finds out, by mounting one, whether overlays work below a directory, and which options they need there.
enum OverlayProbe {
  static func options(root: String) throws -> [String] {
    let base = "\(root)/probe-\(getpid())"
    defer {
      // A probe left behind costs an empty directory; the next start removes it.
      try? Files.removeTree(base)
    }
    let index = Files.exists("/sys/module/overlay/parameters/index") ? ["index=off"] : []
    var failure: SystemError?
    // The kernel keeps an overlay's marks in trusted.* attributes, which nobody may write in a user namespace: there the mount
    // succeeds, and fails on the first directory that is to hide one below. With `userxattr` (Linux 5.11) they are user.* attributes.
    for options in [index, index + ["userxattr"]] {
      do throws(SystemError) {
        // A failure leaves its marks in the upper directory.
        try Files.removeTree(base)
        for name in ["lower1/replaced", "lower2", "upper", "work", "merged"] { try Files.makeDirectories("\(base)/\(name)", mode: 0o700) }
        let layers = ["lowerdir=\(base)/lower2:\(base)/lower1", "upperdir=\(base)/upper", "workdir=\(base)/work"]
        try Mounts.mount(type: "overlay", source: "overlay", target: "\(base)/merged", options: options + layers)
        let works: Result<Void, SystemError> = Result { () throws(SystemError) in try replace("\(base)/merged/replaced") }
        try Mounts.unmount("\(base)/merged")
        try works.get()
        return options
      } catch { failure = error }
      // That is no answer, and must not be taken for one: what is there goes on with the likely options.
      if let failure, [ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE].contains(failure.errno) { return index + (isInUserNamespace ? ["userxattr"] : []) }
    }
    throw ContainerdError.failedPrecondition(
      "overlayfs does not work below \(root): \(failure.map(\.description) ?? "unknown cause"); use another directory or snapshotter")
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
  /// Why overlays do not work below a directory; nil if they do. Blocking.
  public static func obstacle(root: String) -> String? {
    do {
      _ = try OverlayProbe.options(root: root)
      return nil
    } catch { return (error as? ContainerdError)?.message ?? "\(error)" }
  }
}
