import CLinux

/// Performing what a serialised mount (type, source, options) says.
///
/// Option strings follow mount(8) and containerd: `ro`, `rbind`, `nosuid` … become flags, everything else is data for the
/// file system. Nothing is ever cut: data longer than one page is an error (E2BIG) unless shortened paths make it fit.
public enum Mounts {
  public struct ParsedOptions: Sendable, Equatable {
    public var flags: UInt = 0
    public var propagation: [UInt] = []
    public var data: [String] = []
    public var isBind: Bool { flags & UInt(MS_BIND) != 0 }
  }

  private static let setters: [String: UInt] = [
    "bind": flag(MS_BIND), "rbind": flag(MS_BIND) | flag(MS_REC), "ro": flag(MS_RDONLY), "nosuid": flag(MS_NOSUID),
    "nodev": flag(MS_NODEV), "noexec": flag(MS_NOEXEC), "sync": flag(MS_SYNCHRONOUS), "remount": flag(MS_REMOUNT),
    "dirsync": flag(MS_DIRSYNC), "noatime": flag(MS_NOATIME), "nodiratime": flag(MS_NODIRATIME),
    "relatime": flag(MS_RELATIME), "strictatime": flag(MS_STRICTATIME), "mand": flag(MS_MANDLOCK),
    "silent": flag(MS_SILENT), "iversion": flag(MS_I_VERSION), "lazytime": 1 << 25,
  ]
  private static let clearers: [String: UInt] = [
    "rw": flag(MS_RDONLY), "suid": flag(MS_NOSUID), "dev": flag(MS_NODEV), "exec": flag(MS_NOEXEC),
    "async": flag(MS_SYNCHRONOUS), "atime": flag(MS_NOATIME), "diratime": flag(MS_NODIRATIME),
    "norelatime": flag(MS_RELATIME), "nostrictatime": flag(MS_STRICTATIME), "nomand": flag(MS_MANDLOCK),
    "loud": flag(MS_SILENT), "noiversion": flag(MS_I_VERSION), "nolazytime": 1 << 25, "defaults": 0,
  ]
  private static let propagations: [String: UInt] = [
    "private": flag(MS_PRIVATE), "rprivate": flag(MS_PRIVATE) | flag(MS_REC), "shared": flag(MS_SHARED),
    "rshared": flag(MS_SHARED) | flag(MS_REC), "slave": flag(MS_SLAVE), "rslave": flag(MS_SLAVE) | flag(MS_REC),
    "unbindable": flag(MS_UNBINDABLE), "runbindable": flag(MS_UNBINDABLE) | flag(MS_REC),
  ]

  private static func flag(_ value: Int) -> UInt { UInt(truncatingIfNeeded: value) }

  public static func parse(_ options: [String]) -> ParsedOptions {
    var parsed = ParsedOptions()
    for option in options where !option.isEmpty {
      if let set = setters[option] {
        parsed.flags |= set
      } else if let clear = clearers[option] {
        parsed.flags &= ~clear
      } else if let propagation = propagations[option] {
        parsed.propagation.append(propagation)
      } else {
        parsed.data.append(option)
      }
    }
    return parsed
  }

  /// Mounts at `target`, an existing directory or file. A read-only bind is remounted read-only, as the kernel requires.
  public static func mount(type: String, source: String, target: String, options: [String]) throws(SystemError) {
    let parsed = parse(options)
    let data = parsed.data.joined(separator: ",")
    let what = "\(type) \(source) at \(target)"
    guard data.utf8.count < 4096 else {
      if type == "overlay" { return try mountOverlay(parsed, source: source, target: target) }
      throw SystemError(errno: E2BIG, operation: "mount", object: what)
    }
    if parsed.isBind {
      let bind = parsed.flags & UInt(MS_BIND | MS_REC)
      try check("mount", what) { CLinux.mount(source, target, nil, bind, nil) }
      let rest = parsed.flags & ~bind
      if rest != 0 {
        try check("remount", what) { CLinux.mount("none", target, nil, rest | UInt(MS_BIND | MS_REMOUNT), nil) }
      }
    } else {
      try check("mount", what) { CLinux.mount(source, target, type, parsed.flags, data.isEmpty ? nil : data) }
    }
    for propagation in parsed.propagation {
      try check("mount", "propagation of \(target)") { CLinux.mount("none", target, nil, propagation, nil) }
    }
  }

  /// Unmounts what is at `target`. Without MNT_DETACH EBUSY is an error when it has lasted for a second: whoever asks every mount how full it is, as df(1)
  /// does, has each in use for a moment. Blocking.
  public static func unmount(_ target: String, flags: Int32 = 0) throws(SystemError) {
    for _ in 0..<50 {
      if umount2(target, flags) == 0 { return }
      if clinux_errno() != EBUSY { break }
      usleep(20_000)
    }
    try check("umount", target) { umount2(target, flags) }
  }
}
