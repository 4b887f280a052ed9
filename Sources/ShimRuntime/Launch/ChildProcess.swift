import CLinux
import Protocols
import SystemKit

/// A program run to its end, its output collected. Blocking: for a thread of a blocking pool.
struct ChildProcess {
  var arguments: [String]
  var environment: [String]
  var directory: String
  var input: [UInt8]

  struct Result {
    /// The exit code, or 128 + the signal.
    var status: Int32
    var output: [UInt8]
    var errors: [UInt8]

    /// What it wrote to standard error, to be appended to a message.
    var complaint: String {
      let text = String(decoding: errors.prefix(2048), as: UTF8.self).trimmed
      return text.isEmpty ? "" : " (it says: \(text))"
    }
  }

  /// More than this on either stream is not an answer.
  static let outputLimit = 1 << 20

  /// `deadlineExceeded` when the time is over: the program's process group is killed. `resourceExhausted` for too much output.
  func run(timeout: Duration) throws -> Result {
    let standardInput = try inputFile()
    let output = try Pipe()
    let errors = try Pipe()
    let pid = try spawn(input: standardInput.raw, output: output.writing.raw, errors: errors.writing.raw)
    let outputEnd = output.takeReading()
    let errorsEnd = errors.takeReading()
    do {
      return try collect(pid, output: outputEnd, errors: errorsEnd, timeout: timeout)
    } catch {
      // The whole group: what it has started by then belongs to a start that has failed.
      kill(-pid, SIGKILL)
      kill(pid, SIGKILL)
      _ = try reap(pid)
      throw error
    }
  }

  /// A file without a name, so that neither side can wait for the other.
  private func inputFile() throws(SystemError) -> OwnedFD {
    if input.isEmpty { return try Files.open("/dev/null", O_RDONLY) }
    let path = "\(directory)/.stdin"
    let file = try Files.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
    unlink(path)
    let raw = file.raw
    var done = 0
    while done < input.count {
      done += try check("write", path) { input.withUnsafeBytes { CLinux.write(raw, $0.baseAddress! + done, $0.count - done) } }
    }
    try check("lseek", path) { lseek(raw, 0, SEEK_SET) }
    return file
  }

  private func spawn(input: Int32, output: Int32, errors: Int32) throws(SystemError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addchdir_np(&actions, directory)
    posix_spawn_file_actions_adddup2(&actions, input, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_adddup2(&actions, errors, 2)
    // Everything of ours is close-on-exec; a library's descriptor that is not must not live as long as the container.
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    posix_spawnattr_setpgroup(&attributes, 0)
    // Threads of a pool block signals, and the daemon ignores SIGPIPE; a shim must inherit neither.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigdefault(&attributes, &all)

    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { envp.forEach { free($0) } }
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, arguments[0], &actions, &attributes, &argv, &envp)
    if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: arguments[0]) }
    return pid
  }

  /// Reads both streams until the program has ended. A stream that stays open then is held by the server that it left behind
  /// and is not waited for.
  private func collect(_ pid: pid_t, output: borrowing OwnedFD, errors: borrowing OwnedFD, timeout: Duration) throws -> Result {
    let ended = OwnedFD(adopting: try check("pidfd_open", "pid \(pid)") { clinux_pidfd_open(pid, 0) })
    let deadline = ContinuousClock.now + timeout
    var result = Result(status: 0, output: [], errors: [])
    var polled = [
      pollfd(fd: ended.raw, events: Int16(POLLIN), revents: 0), pollfd(fd: output.raw, events: Int16(POLLIN), revents: 0),
      pollfd(fd: errors.raw, events: Int16(POLLIN), revents: 0),
    ]
    while true {
      let left = deadline - .now
      if left <= .zero { throw ContainerdError(.deadlineExceeded, "\(arguments[0]) \(arguments.last ?? "") after \(timeout)") }
      let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1
      try check("poll", arguments[0]) { poll(&polled, nfds_t(polled.count), Int32(clamping: milliseconds)) }
      // The order matters: what was written before the end is in the pipe once the end is seen.
      let hasEnded = polled[0].revents != 0
      if !(try drain(output.raw, into: &result.output)) { polled[1].fd = -1 }
      if !(try drain(errors.raw, into: &result.errors)) { polled[2].fd = -1 }
      if hasEnded {
        result.status = try reap(pid)
        return result
      }
    }
  }

  /// Takes what is there; false at the end of the stream.
  private func drain(_ fd: Int32, into bytes: inout [UInt8]) throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = CLinux.read(fd, &chunk, chunk.count)
      if count == 0 { return false }
      if count < 0 {
        switch clinux_errno() {
        case EINTR: continue
        case EAGAIN: return true
        default: throw SystemError.last("read", "output of \(arguments[0])")
        }
      }
      bytes.append(contentsOf: chunk[0..<count])
      if bytes.count > Self.outputLimit {
        throw ContainerdError(.resourceExhausted, "\(arguments[0]) printed more than \(Self.outputLimit) bytes")
      }
    }
  }

  private func reap(_ pid: pid_t) throws(SystemError) -> Int32 {
    var status: Int32 = 0
    try check("waitpid", "\(arguments[0]) (\(pid))") { waitpid(pid, &status, 0) }
    return clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status)
  }
}

/// Both ends close-on-exec; the reading end does not block.
private struct Pipe: ~Copyable {
  private let reading: OwnedFD
  let writing: OwnedFD

  init() throws(SystemError) {
    var descriptors: [Int32] = [0, 0]
    try check("pipe2", "pipe") { pipe2(&descriptors, O_CLOEXEC) }
    let first = OwnedFD(adopting: descriptors[0])
    let second = OwnedFD(adopting: descriptors[1])
    let raw = first.raw
    try check("fcntl", "pipe") { clinux_fcntl(raw, F_SETFL, Int(O_NONBLOCK)) }
    reading = first
    writing = second
  }

  /// Closes the writing end: the end of the stream comes when the program's copies are closed.
  consuming func takeReading() -> OwnedFD { reading }
}
