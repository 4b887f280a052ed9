import CLinux
import Protocols
import SystemKit

/// Finds out, by mounting one, whether overlays work below a directory, and which options they need there.
enum OverlayProbe {
  static func options(root: String) throws -> [String] {
    let base = "\(root)/probe-\(getpid())"
    try Files.removeTree(base)
    defer {
      // A probe left behind costs an empty directory; the next start removes it.
      try? Files.removeTree(base)
    }
    for name in ["lower1", "lower2", "upper", "work", "merged"] { try Files.makeDirectories("\(base)/\(name)", mode: 0o700) }
    let layers = ["lowerdir=\(base)/lower2:\(base)/lower1", "upperdir=\(base)/upper", "workdir=\(base)/work"]
    let index = Files.exists("/sys/module/overlay/parameters/index") ? ["index=off"] : []
    var failure: SystemError?
    // In a user namespace the kernel keeps the overlay's marks in user.* attributes.
    for options in [index, index + ["userxattr"]] {
      do throws(SystemError) {
        try Mounts.mount(type: "overlay", source: "overlay", target: "\(base)/merged", options: options + layers)
        try Mounts.unmount("\(base)/merged")
        return options
      } catch { failure = error }
    }
    throw ContainerdError.failedPrecondition(
      "overlayfs does not work below \(root): \(failure.map(\.description) ?? "unknown cause"); use another directory or snapshotter")
  }
}
