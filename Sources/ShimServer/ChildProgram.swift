import CLinux
import SystemKit

/// A program started beside the shim, with exactly the descriptors it is meant to have.
enum ChildProgram {
  /// - Parameter descriptors: become 0, 1, 2 and so on; they stay the caller's. -1 is /dev/null.
  /// - Returns: the pid of the child, to be reaped by the caller.
  static func spawn(
    _ program: String, arguments: [String], environment: [String]? = nil, descriptors: [Int32], newSession: Bool = false
  ) throws(SystemError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // Out of the way first: one may be at a number that another is to have.
    var copies: [Int32] = []
    defer { copies.forEach { _ = close($0) } }
    for (number, descriptor) in descriptors.enumerated() {
      if descriptor < 0 {
        posix_spawn_file_actions_addopen(&actions, Int32(number), "/dev/null", O_RDWR, 0)
        continue
      }
      let copy = clinux_fcntl(descriptor, F_DUPFD_CLOEXEC, descriptors.count + 10)
      guard copy >= 0 else { throw SystemError.last("dup", program) }
      copies.append(copy)
      posix_spawn_file_actions_adddup2(&actions, copy, Int32(number))
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, Int32(descriptors.count))

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (newSession ? 0x80 : 0)))

    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    argv.append(nil)
    defer { argv.forEach { free($0) } }
    var envp: [UnsafeMutablePointer<CChar>?] = (environment ?? []).map { strdup($0) }
    envp.append(nil)
    defer { envp.forEach { free($0) } }
    var pid: pid_t = 0
    let result =
      environment == nil
      ? posix_spawn(&pid, program, &actions, &attributes, argv, clinux_environ()) : posix_spawn(&pid, program, &actions, &attributes, argv, envp)
    if result != 0 { throw SystemError(errno: result, operation: "start", object: program) }
    return pid
  }
}
