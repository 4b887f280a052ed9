/// The options of one mount (config.md, "Linux mount options"), sorted by how the kernel takes them.
struct MountOptions {
  /// MS_* for mount(2).
  var flags: UInt64 = 0
  /// MOUNT_ATTR_* for mount_setattr(2), of this mount.
  var set: UInt64 = 0
  var clear: UInt64 = 0
  /// The same for it and everything below.
  var recursiveSet: UInt64 = 0
  var recursiveClear: UInt64 = 0
  var propagation: [UInt64] = []
  var bind = false
  var recursiveBind = false
  var idmap = false
  var recursiveIdmap = false
  /// For the file system.
  var data: [String] = []

  static let remount: UInt64 = 32
  static let readonly: UInt64 = 1
  static let attributeReadonly: UInt64 = 1

  /// Per-mount attributes: name, MS_* flag, MOUNT_ATTR_* bit, and the mask that the bit replaces.
  private static let attributes: [(on: String, off: String, flag: UInt64, bit: UInt64, mask: UInt64)] = [
    ("ro", "rw", 1, 0x1, 0x1), ("nosuid", "suid", 2, 0x2, 0x2), ("nodev", "dev", 4, 0x4, 0x4), ("noexec", "exec", 8, 0x8, 0x8),
    ("noatime", "atime", 1 << 10, 0x10, 0x70), ("nodiratime", "diratime", 1 << 11, 0x80, 0x80),
    ("relatime", "norelatime", 1 << 21, 0x0, 0x70), ("strictatime", "nostrictatime", 1 << 24, 0x20, 0x70),
    ("nosymfollow", "symfollow", 1 << 8, 0x20_0000, 0x20_0000),
  ]
  /// Flags of the file system as a whole.
  private static let superblock: [(on: String, off: String, flag: UInt64)] = [
    ("sync", "async", 16), ("dirsync", "", 128), ("mand", "nomand", 64), ("silent", "loud", 1 << 15),
    ("iversion", "noiversion", 1 << 23), ("lazytime", "nolazytime", 1 << 25),
  ]
  static let propagations: [String: UInt64] = [
    "unbindable": 1 << 17, "runbindable": 1 << 17 | 1 << 14, "private": 1 << 18, "rprivate": 1 << 18 | 1 << 14,
    "slave": 1 << 19, "rslave": 1 << 19 | 1 << 14, "shared": 1 << 20, "rshared": 1 << 20 | 1 << 14,
  ]

  init(_ options: [String]) {
    for option in options where !option.isEmpty { add(option) }
  }

  private mutating func add(_ option: String) {
    if let value = Self.propagations[option] { return propagation.append(value) }
    for attribute in Self.attributes {
      if option == attribute.on {
        flags |= attribute.flag
        clear |= attribute.mask
        set = set & ~attribute.mask | attribute.bit
        return
      }
      if option == attribute.off {
        flags &= ~attribute.flag
        clear |= attribute.mask
        set &= ~attribute.bit
        return
      }
      if option == "r" + attribute.on {
        recursiveClear |= attribute.mask
        recursiveSet = recursiveSet & ~attribute.mask | attribute.bit
        return
      }
      if option == "r" + attribute.off {
        recursiveClear |= attribute.mask
        recursiveSet &= ~attribute.bit
        return
      }
    }
    for flag in Self.superblock {
      if option == flag.on {
        flags |= flag.flag
        return
      }
      if option == flag.off {
        flags &= ~flag.flag
        return
      }
    }
    switch option {
    case "defaults": break
    case "bind": bind = true
    case "rbind":
      bind = true
      recursiveBind = true
    case "remount": flags |= Self.remount
    case "idmap": idmap = true
    case "ridmap":
      idmap = true
      recursiveIdmap = true
    default: data.append(option)
    }
  }
}
