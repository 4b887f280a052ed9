import CLinux
import ContainerSpec
import Protocols
import SystemKit

/// What this machine, and this process on it, have to give.
enum Machine {
  static func hostName() throws -> String {
    var name = [CChar](repeating: 0, count: 256)
    try check("gethostname", "this machine") { gethostname(&name, name.count - 1) }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// This process's own capabilities, and every device below /dev.
  static func privileges() throws -> SpecRequest.Privileges {
    SpecRequest.Privileges(capabilities: try capabilities(), devices: try devices(below: "/dev"))
  }

  private static let capabilityNames = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE",
    "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN",
    "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE",
    "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
  ]

  private static func capabilities() throws -> [String] {
    let status = String(decoding: try Files.read("/proc/self/status"), as: UTF8.self)
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("CapEff:") }),
      let mask = UInt64(line.dropFirst(7).trimmingPrefix { $0 == "\t" || $0 == " " }, radix: 16)
    else { throw ContainerdError.internalError("/proc/self/status names no capabilities") }
    return capabilityNames.enumerated().filter { mask & (1 << UInt64($0.offset)) != 0 }.map { "CAP_\($0.element)" }
  }

  /// Nodes only: links and what containers mount themselves (pts, shm, mqueue, fd) are left out, and the console, which is the machine's.
  private static func devices(below directory: String) throws -> [SpecDevice] {
    var found: [SpecDevice] = []
    for name in try Files.names(in: directory).sorted() {
      let path = "\(directory)/\(name)"
      guard !["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console", "/dev/.udev", "/dev/.lxc", "/dev/.lxd-mounts"].contains(path) else { continue }
      guard let info = try status(path) else { continue }
      let kind = info.st_mode & mode_t(S_IFMT)
      if kind == mode_t(S_IFDIR) {
        found += try devices(below: path)
      } else if kind == mode_t(S_IFCHR) || kind == mode_t(S_IFBLK) {
        found.append(
          SpecDevice(
            path: path, type: kind == mode_t(S_IFCHR) ? "c" : "b", major: Int64(clinux_major(info.st_rdev)), minor: Int64(clinux_minor(info.st_rdev)),
            fileMode: UInt32(info.st_mode & 0o777), uid: info.st_uid, gid: info.st_gid))
      }
    }
    return found
  }

  /// Nil for a node that has gone while we looked.
  private static func status(_ path: String) throws(SystemError) -> stat? {
    do { return try Files.status(path) } catch  where error.errno == ENOENT { return nil }
  }
}
