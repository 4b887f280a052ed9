import BlockingIO
import CLinux
import ConformanceSuites
import SystemKit

/// A command of a shim's program: what the daemon runs, and what came of it.
public struct ShimCommand: Sendable {
  public struct Result: Sendable {
    /// The exit code, or 128 and the signal.
    public var status: Int32
    public var output: [UInt8]
    public var errors: String

    public init(status: Int32, output: [UInt8], errors: String) { (self.status, self.output, self.errors) = (status, output, errors) }

    public var text: String { String(decoding: output, as: UTF8.self) }
  }
  public var arguments: [String]
  public var environment: [String]
  /// The working directory.
  public var directory: String

  /// Runs it to its end. What it leaves running keeps none of its streams open here: they are files.
  func run(seconds: Int = 20) async throws -> Result {
    try await DedicatedThread.run {
      let (output, errors) = ("\(directory)/.output", "\(directory)/.errors")
      let pid = try spawn(output: output, errors: errors)
      var status: Int32 = 0
      for _ in 0..<(seconds * 500) {
        if try check("waitpid", arguments[0], { waitpid(pid, &status, WNOHANG) }) == pid {
          let code = clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status)
          return Result(status: code, output: try Files.read(output), errors: String(decoding: try Files.read(errors), as: UTF8.self))
        }
        usleep(2000)
      }
      kill(pid, SIGKILL)
      waitpid(pid, &status, 0)
      throw Mismatch(description: "\(arguments.last ?? "") of the shim: has not exited within \(seconds) s")
    }
  }

  private func spawn(output: String, errors: String) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addchdir_np(&actions, directory)
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    posix_spawnattr_setpgroup(&attributes, 0)
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { envp.forEach { free($0) } }
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, arguments[0], &actions, &attributes, &argv, &envp)
    if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: arguments[0]) }
    return pid
  }
}
