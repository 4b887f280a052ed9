import CLinux
import SystemKit

/// A process beside the runner that outlives it: where the runner is killed, the keeper removes what the run has left.
///
/// It sees the end of the runner on a pipe. A run that ends in order dismisses it before.
public struct Keeper: ~Copyable {
  private let pid: pid_t
  private let pipe: OwnedFD

  /// - Parameter directory: of the run.
  init(program: String, target: String, directory: String) throws {
    var ends: [Int32] = [0, 0]
    try check("pipe2", "the keeper's pipe") { pipe2(&ends, O_CLOEXEC) }
    let reading = OwnedFD(adopting: ends[0])
    let writing = OwnedFD(adopting: ends[1])
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, reading.raw, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, 0x80)  // POSIX_SPAWN_SETSID
    let words = [program, "keeper", "--runner", "\(getpid())", "--directory", directory, "--target", target]
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var started: pid_t = 0
    let failure = posix_spawn(&started, program, &actions, &attributes, &argv, clinux_environ())
    if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: program) }
    pid = started
    pipe = writing
  }

  /// The run has ended in order. Blocking.
  consuming func dismiss() {
    var word: UInt8 = 1
    // One that is gone has nothing to do either.
    _ = CLinux.write(pipe.raw, &word, 1)
    while waitpid(pid, nil, 0) < 0, clinux_errno() == EINTR {}
  }

  /// The keeper's own side: whether the runner ended without a word. Blocking.
  public static func runnerWasKilled() -> Bool {
    var word: UInt8 = 0
    while true {
      let count = read(0, &word, 1)
      if count < 0 && clinux_errno() == EINTR { continue }
      return count == 0
    }
  }
}
