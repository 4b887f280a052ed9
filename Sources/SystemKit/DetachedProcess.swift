import CLinux

/// A process in a session of its own, with nothing of ours open but what it is given: for those that may live longer than we do.
public enum DetachedProcess {
  /// What becomes one of its standard streams.
  public enum Stream {
    case path(String, Int32)
    /// Borrowed for the call.
    case descriptor(Int32)
  }

  /// - Parameters:
  ///   - command: a program and its arguments.
  ///   - passing: further descriptors, which it finds from 3 on. Borrowed for the call.
  /// - Returns: its number; whoever starts it has to wait for it (`reap`), or to end before it.
  public static func start(_ command: [String], input: Stream, output: Stream, errors: Stream, passing: [Int32] = []) throws(SystemError) -> pid_t {
    try spawn(command, input, output, errors, isDetached: true, passing: passing)
  }

  /// Whether a child has ended; it is no zombie then.
  public static func reap(_ pid: pid_t) -> Bool {
    var status: Int32 = 0
    return waitpid(pid, &status, WNOHANG) != 0
  }

  /// - Parameter isDetached: in a session of its own, at the root directory.
  static func spawn(
    _ command: [String], _ input: Stream, _ output: Stream, _ errors: Stream, isDetached: Bool, passing: [Int32] = []
  ) throws(SystemError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (number, stream) in [input, output, errors].enumerated() {
      switch stream {
      case .path(let path, let flags): posix_spawn_file_actions_addopen(&actions, Int32(number), path, flags, 0o600)
      case .descriptor(let raw): posix_spawn_file_actions_adddup2(&actions, raw, Int32(number))
      }
    }
    // Out of the way of the numbers that they get there.
    var high: [Int32] = []
    defer { for descriptor in high { close(descriptor) } }
    for (number, raw) in passing.enumerated() {
      let copy = try check("dup", "descriptor \(raw)") { clinux_fcntl(raw, F_DUPFD_CLOEXEC, 100) }
      high.append(copy)
      posix_spawn_file_actions_adddup2(&actions, copy, Int32(3 + number))
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, Int32(3 + passing.count))
    if isDetached { posix_spawn_file_actions_addchdir_np(&actions, "/") }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Signals as a program expects them.
    var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    // POSIX_SPAWN_SETSID (spawn.h).
    if isDetached { flags |= 0x80 }
    posix_spawnattr_setflags(&attributes, Int16(flags))
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var pid: pid_t = 0
    let status = posix_spawn(&pid, command[0], &actions, &attributes, &words, clinux_environ())
    if status != 0 { throw SystemError(errno: status, operation: "posix_spawn", object: command[0]) }
    return pid
  }
}
