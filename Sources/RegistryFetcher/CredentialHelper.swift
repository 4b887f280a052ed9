import CLinux
import FoundationEssentials
import Protocols
import SystemKit

/// A program `docker-credential-NAME` that knows secrets: the registry goes to its standard input, the answer is JSON. Blocking.
struct CredentialHelper {
  var name: String
  var timeout: Duration
  /// Which file names the helper, for messages.
  var source: String

  private static let limit = 1 << 20
  private var program: String { "docker-credential-\(name)" }

  /// Nil if the helper does not know the registry. What it prints goes into no message: it may be the secret.
  func credentials(for server: String) throws -> RegistryResolver.Credentials? {
    guard !name.isEmpty, name.utf8.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7a) || [0x2d, 0x2e, 0x5f].contains($0) })
    else { throw ContainerdError.invalidArgument("\(source): credential helper \"\(RegistryErrors.printable(name))\" has no name that a program can have") }
    let (status, output) = try run("get", input: Array("\(server)\n".utf8))
    if status != 0 {
      if String(decoding: output, as: UTF8.self).contains("credentials not found") { return nil }
      throw ContainerdError.unavailable("\(program) get for \(server) (named in \(source)) failed with status \(status)")
    }
    struct Answer: Decodable {
      var Username: String
      var Secret: String
    }
    guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(output)) else {
      throw ContainerdError.unavailable("\(program) get for \(server) (named in \(source)): the answer has no Username and Secret")
    }
    // The name that stands for "this is no password".
    return answer.Username == "<token>" ? .init(identityToken: answer.Secret) : .init(user: answer.Username, password: answer.Secret)
  }

  private func run(_ action: String, input: [UInt8]) throws -> (status: Int32, output: [UInt8]) {
    let question = try Pipe()
    let answer = try Pipe()
    // A pipe holds far more than a registry's name: nobody can wait here.
    let feed = question.writing.raw
    try check("write", program) { input.withUnsafeBytes { CLinux.write(feed, $0.baseAddress, $0.count) } }
    let pid = try spawn(action, input: question.reading.raw, output: answer.writing.raw)
    // Ours are closed, so that each side sees the other's end.
    _ = question.takeReading()
    let output = answer.takeReading()
    do { return try collect(pid, output.raw) } catch {
      kill(-pid, SIGKILL)
      kill(pid, SIGKILL)
      _ = try reap(pid)
      throw error
    }
  }

  private func spawn(_ action: String, input: Int32, output: Int32) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // A group of its own, to be ended with all that it starts; and none of the signal settings of a daemon's threads.
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    posix_spawnattr_setpgroup(&attributes, 0)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigdefault(&attributes, &all)
    var argv: [UnsafeMutablePointer<CChar>?] = [strdup(program), strdup(action), nil]
    defer { argv.forEach { free($0) } }
    var envp: [UnsafeMutablePointer<CChar>?] = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
    defer { envp.forEach { free($0) } }
    var pid: pid_t = 0
    switch posix_spawnp(&pid, program, &actions, &attributes, &argv, &envp) {
    case 0: return pid
    case ENOENT: throw ContainerdError.notFound("credential helper \(program), which \(source) names, is not in PATH")
    case let failure: throw ContainerdError.unavailable("credential helper \(program), which \(source) names: \(String(cString: strerror(failure)))")
    }
  }

  private func collect(_ pid: pid_t, _ output: Int32) throws -> (Int32, [UInt8]) {
    try check("fcntl", program) { clinux_fcntl(output, F_SETFL, Int(O_NONBLOCK)) }
    let ended = OwnedFD(adopting: try check("pidfd_open", program) { clinux_pidfd_open(pid, 0) })
    let deadline = ContinuousClock.now + timeout
    var bytes: [UInt8] = []
    var polled = [pollfd(fd: ended.raw, events: Int16(POLLIN), revents: 0), pollfd(fd: output, events: Int16(POLLIN), revents: 0)]
    while true {
      let left = deadline - .now
      if left <= .zero { throw ContainerdError(.deadlineExceeded, "credential helper \(program), which \(source) names, did not answer within \(timeout)") }
      let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1
      try check("poll", program) { poll(&polled, nfds_t(polled.count), Int32(clamping: milliseconds)) }
      // Before the output is drained: what was written before the end is then in the pipe.
      let hasEnded = polled[0].revents != 0
      if try !drain(output, into: &bytes) { polled[1].fd = -1 }
      if hasEnded { return (try reap(pid), bytes) }
    }
  }

  /// Takes what is there; false at the end.
  private func drain(_ fd: Int32, into bytes: inout [UInt8]) throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = CLinux.read(fd, &chunk, chunk.count)
      if count == 0 { return false }
      if count < 0 {
        switch clinux_errno() {
        case EINTR: continue
        case EAGAIN: return true
        default: throw SystemError.last("read", "output of \(program)")
        }
      }
      bytes += chunk[..<count]
      if bytes.count > Self.limit { throw ContainerdError(.resourceExhausted, "credential helper \(program) printed more than \(Self.limit) bytes") }
    }
  }

  private func reap(_ pid: pid_t) throws -> Int32 {
    var status: Int32 = 0
    try check("waitpid", program) { waitpid(pid, &status, 0) }
    return clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status)
  }
}

/// Both ends close-on-exec.
private struct Pipe: ~Copyable {
  let reading: OwnedFD
  let writing: OwnedFD

  init() throws(SystemError) {
    var descriptors: [Int32] = [0, 0]
    try check("pipe2", "pipe") { pipe2(&descriptors, O_CLOEXEC) }
    reading = OwnedFD(adopting: descriptors[0])
    writing = OwnedFD(adopting: descriptors[1])
  }

  /// Closes the writing end.
  consuming func takeReading() -> OwnedFD { reading }
}
