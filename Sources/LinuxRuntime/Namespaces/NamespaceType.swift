/// The kinds of namespaces by their names in a configuration.
public enum NamespaceType: String, Sendable, CaseIterable {
  case pid, network, mount, ipc, uts, user, cgroup, time

  /// CLONE_NEW* (linux/sched.h).
  var flag: UInt64 {
    switch self {
    case .pid: 0x2000_0000
    case .network: 0x4000_0000
    case .mount: 0x0002_0000
    case .ipc: 0x0800_0000
    case .uts: 0x0400_0000
    case .user: 0x1000_0000
    case .cgroup: 0x0200_0000
    case .time: 0x0000_0080
    }
  }

  /// The file in /proc/PID/ns.
  public var file: String {
    switch self {
    case .network: "net"
    case .mount: "mnt"
    default: rawValue
    }
  }
}
