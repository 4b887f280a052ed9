import CInit
import SystemKit

/// Capability names to kernel sets (capabilities(7)).
public enum Capabilities {
  /// In the order of their numbers.
  public static let names = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
    "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
    "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
    "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
  ]

  struct Sets: Equatable {
    var bounding: UInt64 = 0
    var effective: UInt64 = 0
    var permitted: UInt64 = 0
    var inheritable: UInt64 = 0
    var ambient: UInt64 = 0
  }

  static let sysResource: UInt64 = 1 << 24
  static let sysAdmin: UInt64 = 1 << 21

  /// What the calling process holds.
  static func own() throws(RuntimeError) -> (permitted: UInt64, bounding: UInt64) {
    var permitted: UInt64 = 0
    var bounding: UInt64 = 0
    let failure = cinit_own_capabilities(&permitted, &bounding)
    if failure < 0 { throw RuntimeError(.system, "read own capabilities: \(SystemError(errno: -failure, operation: "capget", object: "self"))") }
    return (permitted, bounding)
  }

  /// In a user namespace other than ours a process holds everything, and our own limits say nothing.
  static func resolve(
    _ wanted: ProcessSpec.CapabilitySets?, holding own: (permitted: UInt64, bounding: UInt64), inUserNamespace: Bool, warn: (String) -> Void
  ) -> Sets {
    inUserNamespace
      ? resolve(wanted, permitted: .max, bounding: .max, warn: warn)
      : resolve(wanted, permitted: own.permitted, bounding: own.bounding, warn: warn)
  }

  /// What a process gets: what it asks for, cut to what we hold. The specification (config.md) wants a warning for the
  /// rest, never a failure.
  static func resolve(
    _ wanted: ProcessSpec.CapabilitySets?, permitted: UInt64, bounding: UInt64, warn: (String) -> Void
  ) -> Sets {
    guard let wanted else { return Sets() }
    var complained: Set<String> = []
    func mask(_ list: [String], _ limit: UInt64) -> UInt64 {
      var set: UInt64 = 0
      for name in list {
        guard let number = names.firstIndex(of: name.uppercased()) else {
          if complained.insert(name).inserted { warn("capability \(name) is unknown and left out") }
          continue
        }
        let bit: UInt64 = 1 << UInt64(number)
        if bit & limit == 0 {
          if complained.insert(name).inserted { warn("capability \(name) cannot be granted: this process does not hold it") }
        } else {
          set |= bit
        }
      }
      return set
    }
    var sets = Sets()
    sets.bounding = mask(wanted.bounding, bounding)
    sets.permitted = mask(wanted.permitted, permitted)
    sets.effective = mask(wanted.effective, sets.permitted)
    sets.inheritable = mask(wanted.inheritable, permitted & bounding)
    sets.ambient = mask(wanted.ambient, sets.permitted & sets.inheritable)
    return sets
  }
}
