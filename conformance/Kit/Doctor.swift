import CLinux
import ConformanceSuites
import Foundation
import SystemKit

/// What this machine lets the suite do, found by trying, before anything runs.
public struct Finding: Codable, Sendable {
  public enum State: String, Codable, Sendable {
    case good
    /// Something cannot be judged here; the rest can.
    case limited
    /// Nothing can.
    case bad
  }
  public var subject: String
  public var state: State
  public var detail: String
  /// What to do about it, if anything can be done.
  public var remedy: String

  init(_ subject: String, _ state: State, _ detail: String, remedy: String = "") {
    self.subject = subject
    self.state = state
    self.detail = detail
    self.remedy = remedy
  }
}

/// Blocking; needs to be called from a thread that may end in another mount namespace.
public enum Doctor {
  public static func examine(scratch: String) -> [Finding] {
    var findings = [privilege(), cgroups(), space(scratch), file("extended attributes", in: scratch, extendedAttributes), overlay(scratch), fuse(), loops()]
    for (tool, purpose, package) in [
      ("busybox", "programs inside containers", "busybox-static"), ("runc", "a runtime to judge, and what Debian's shim runs", "runc"),
      ("crun", "a runtime to judge", "crun"), ("containerd", "a daemon, snapshotters and a shim to judge", "containerd"),
      ("fuse-overlayfs", "mounts in user space to judge", "fuse-overlayfs"), ("skopeo", "a registry client to judge", "skopeo"),
    ] {
      if let path = Machine.find(tool) {
        findings.append(Finding(tool, .good, path))
      } else {
        findings.append(Finding(tool, .limited, "not installed: \(purpose)", remedy: "apt-get install \(package)"))
      }
    }
    return findings
  }

  private static func privilege() -> Finding {
    if geteuid() == 0 {
      var lacking: [String] = []
      for (name, number) in [("CAP_SYS_ADMIN", UInt(21)), ("CAP_SYS_RESOURCE", 24), ("CAP_MKNOD", 27), ("CAP_SETFCAP", 31)]
      where clinux_prctl(PR_CAPBSET_READ, number, 0, 0, 0) != 1 { lacking.append(name) }
      return lacking.isEmpty
        ? Finding("privilege", .good, "root with every capability that cases need")
        : Finding("privilege", .limited, "root without \(lacking.joined(separator: ", ")): cases that need them are skipped")
    }
    return Finding(
      "privilege", .limited, "user \(geteuid()): everything that mounts or runs containers is skipped",
      remedy: "sudo, or `unshare -Urm containerd-conformance …` for mounts without root; tag:unprivileged needs neither")
  }

  private static func cgroups() -> Finding {
    switch Machine.cgroups() {
    case "v2": Finding("cgroups", .good, "v2")
    case "none": Finding("cgroups", .limited, "none is mounted: limits cannot be judged")
    case let mode:
      Finding("cgroups", .limited, "\(mode): crun refuses it; the runtime's cases run crun in a namespace of its own with cgroup management off")
    }
  }

  private static func space(_ scratch: String) -> Finding {
    let free = Machine.freeMiB(of: scratch)
    let place = "\(scratch): \(Machine.filesystem(of: scratch)), \(free) MiB free"
    return free < 1024
      ? Finding("scratch", .limited, place + "; cases about large files need 1024", remedy: "--scratch DIRECTORY") : Finding("scratch", .good, place)
  }

  private static func file(_ subject: String, in scratch: String, _ body: (String) -> Finding) -> Finding {
    let path = "\(scratch)/doctor-\(getpid())"
    do { try Files.writeAtomically([1], to: path) } catch {
      return Finding("scratch", .bad, "\(scratch) cannot be written to: \(error)", remedy: "--scratch DIRECTORY")
    }
    defer { unlink(path) }
    return body(path)
  }

  private static func extendedAttributes(_ path: String) -> Finding {
    let names: [String] = ["user.test", "trusted.test"]
    let refused = names.filter { setxattr(path, $0, "1", 1, 0) != 0 }
    return refused.isEmpty
      ? Finding("extended attributes", .good, "user and trusted") : Finding("extended attributes", .limited, "refused: \(refused.joined(separator: ", "))")
  }

  private static func overlay(_ scratch: String) -> Finding {
    let root = "\(scratch)/doctor-overlay-\(getpid())"
    do {
      for name in ["lower", "upper", "work", "merged"] { try Files.makeDirectories("\(root)/\(name)") }
      defer { do { try Files.removeTree(root) } catch { print("\(root) is left: \(error)") } }
      let options = "lowerdir=\(root)/lower,upperdir=\(root)/upper,workdir=\(root)/work"
      if mount("overlay", root + "/merged", "overlay", 0, options) != 0 {
        return Finding("overlay", .limited, "a mount on \(scratch) is refused: \(SystemError.last("mount", "overlay"))")
      }
      umount2(root + "/merged", Int32(MNT_DETACH))
      return Finding("overlay", .good, "mounts on \(scratch)")
    } catch { return Finding("overlay", .bad, "\(error)", remedy: "--scratch DIRECTORY") }
  }

  private static func fuse() -> Finding {
    Files.exists("/dev/fuse")
      ? Finding("FUSE", .good, "/dev/fuse") : Finding("FUSE", .limited, "no /dev/fuse: FUSE backends cannot be judged", remedy: "modprobe fuse")
  }

  private static func loops() -> Finding {
    Files.exists("/dev/loop-control")
      ? Finding("loop devices", .good, "/dev/loop-control") : Finding("loop devices", .limited, "none: other file systems cannot be tried")
  }
}
