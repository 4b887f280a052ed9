import CInit
import CLinux

/// Device nodes and links every container has (config-linux.md, "Default Devices"), and those of its configuration.
struct DevicePlan {
  static let defaults: [(path: String, major: UInt32, minor: UInt32)] = [
    ("/dev/null", 1, 3), ("/dev/zero", 1, 5), ("/dev/full", 1, 7), ("/dev/random", 1, 8), ("/dev/urandom", 1, 9), ("/dev/tty", 5, 0),
  ]
  static let links = [
    ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"), ("/dev/ptmx", "pts/ptmx"),
  ]

  struct Node {
    var path: String
    var mode: UInt32
    var device: dev_t
    var uid: UInt32
    var gid: UInt32
    /// The host's node, to bind where nodes cannot be made.
    var slot: Int32 = -1
  }

  var nodes: [Node]

  init(_ configured: [LinuxSpec.Device]) {
    nodes = Self.defaults.filter { entry in !configured.contains { Plan.clean($0.path) == entry.path } }.map {
      Node(path: $0.path, mode: UInt32(S_IFCHR) | 0o666, device: clinux_makedev($0.major, $0.minor), uid: 0, gid: 0)
    }
    for device in configured {
      let type: UInt32
      switch device.type {
      case "b": type = UInt32(S_IFBLK)
      case "p": type = UInt32(S_IFIFO)
      default: type = UInt32(S_IFCHR)
      }
      nodes.append(
        Node(
          path: Plan.clean(device.path), mode: type | device.fileMode & 0o7777,
          device: clinux_makedev(UInt32(truncatingIfNeeded: device.major), UInt32(truncatingIfNeeded: device.minor)), uid: device.uid, gid: device.gid))
    }
  }

  mutating func openHostNodes(_ plan: Plan) {
    for index in nodes.indices { nodes[index].slot = plan.openSource(nodes[index].path, recursive: false) }
  }

  func add(to plan: Plan) {
    for node in nodes {
      plan.add(CINIT_DEVICE, "make device \(node.path)") {
        $0.path = plan.text(node.path)
        $0.a = UInt64(node.mode)
        $0.b = UInt64(node.device)
        $0.c = UInt64(node.uid)
        $0.d = UInt64(node.gid)
        $0.fd2 = node.slot
        $0.resolve = Plan.resolveFlags(node.path)
      }
    }
    for (path, target) in Self.links {
      plan.add(CINIT_SYMLINK, "link \(path)") {
        $0.path = plan.text(path)
        $0.text = plan.text(target)
        $0.resolve = Plan.noSymlinks
      }
    }
  }
}
