import CLinux

extension Mounts {
  private static let fsconfigSetFlag: UInt32 = 0
  private static let fsconfigSetString: UInt32 = 1
  private static let fsconfigCreate: UInt32 = 6

  /// An overlay whose options do not fit one page: the new mount interface takes each lower directory by itself
  /// (`lowerdir+`, Linux 6.5), so a chain of any length mounts whole.
  static func mountOverlay(_ parsed: ParsedOptions, source: String, target: String) throws(SystemError) {
    let what = "overlay at \(target)"
    let context = OwnedFD(adopting: try check("fsopen", what) { Int32(clinux_fsopen("overlay", 1)) })
    let raw = context.raw
    func configure(_ command: UInt32, _ key: String?, _ value: String?) throws(SystemError) {
      try check("fsconfig", "\(key ?? "create") of \(what)") { () -> Int in
        guard let key else { return syscallPointers(raw, command, nil, nil) }
        return key.withCString { key in
          guard let value else { return syscallPointers(raw, command, key, nil) }
          return value.withCString { syscallPointers(raw, command, key, $0) }
        }
      }
    }
    try configure(fsconfigSetString, "source", source)
    for option in parsed.data {
      let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
      if parts.count == 1 {
        try configure(fsconfigSetFlag, parts[0], nil)
      } else if parts[0] == "lowerdir" {
        for directory in splitLowerDirectories(parts[1]) { try configure(fsconfigSetString, "lowerdir+", directory) }
      } else {
        try configure(fsconfigSetString, parts[0], parts[1])
      }
    }
    try configure(fsconfigCreate, nil, nil)
    let attributes = mountAttributes(parsed.flags)
    let mounted = OwnedFD(adopting: try check("fsmount", what) { Int32(clinux_fsmount(raw, 1, attributes)) })
    let mountRaw = mounted.raw
    try check("move_mount", what) { clinux_move_mount(mountRaw, "", AT_FDCWD, target, 4) }
  }

  private static func syscallPointers(_ fd: Int32, _ command: UInt32, _ key: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?) -> Int {
    clinux_fsconfig(fd, command, key, value, 0)
  }

  /// Splits `a:b:c`, honouring the backslash that overlayfs uses to escape a colon.
  static func splitLowerDirectories(_ value: String) -> [String] {
    var directories: [String] = [""]
    var escaped = false
    for character in value {
      if escaped {
        directories[directories.count - 1].append(character)
        escaped = false
      } else if character == "\\" {
        escaped = true
      } else if character == ":" {
        directories.append("")
      } else {
        directories[directories.count - 1].append(character)
      }
    }
    return directories
  }

  private static func mountAttributes(_ flags: UInt) -> UInt32 {
    var attributes: UInt32 = 0
    if flags & UInt(MS_RDONLY) != 0 { attributes |= 1 }
    if flags & UInt(MS_NOSUID) != 0 { attributes |= 2 }
    if flags & UInt(MS_NODEV) != 0 { attributes |= 4 }
    if flags & UInt(MS_NOEXEC) != 0 { attributes |= 8 }
    return attributes
  }
}
