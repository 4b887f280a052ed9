import CLinux
import Foundation
import SystemKit

/// A worker and the pipe on which it reports. Blocking.
struct WorkerProcess: ~Copyable {
  enum Event {
    case message(Worker.Message)
    /// Nothing came before the deadline.
    case silence
    /// The worker closed its pipe: it ends, or has ended.
    case end
  }

  let pid: pid_t
  private let pipe: OwnedFD
  private var buffer: [UInt8] = []

  /// Starts this program again as a worker, in a session of its own, with the case's directory as its mark.
  init(program: String, arguments: [String], directory: CaseDirectory) throws {
    var ends: [Int32] = [0, 0]
    try check("pipe2", "the worker's reports") { pipe2(&ends, O_CLOEXEC) }
    let reading = OwnedFD(adopting: ends[0])
    let writing = OwnedFD(adopting: ends[1])
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, directory.log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    posix_spawn_file_actions_adddup2(&actions, writing.raw, Worker.descriptor)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, 0x80)  // POSIX_SPAWN_SETSID
    let kept = ProcessInfo.processInfo.environment.filter { !["TMPDIR", "HOME"].contains($0.key) }.map { "\($0.key)=\($0.value)" }
    let environment = kept + ["TMPDIR=\(directory.temporary)", "HOME=\(directory.temporary)", LeakAudit.mark + directory.path]
    var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
    var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { (argv + envp).forEach { free($0) } }
    var started: pid_t = 0
    let failure = posix_spawn(&started, program, &actions, &attributes, &argv, &envp)
    if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: program) }
    pid = started
    pipe = reading
  }

  /// The next message, or silence at the deadline.
  mutating func next(before deadline: ContinuousClock.Instant) throws -> Event {
    while true {
      if let end = buffer.firstIndex(of: 10) {
        let line = Data(buffer[..<end])
        buffer.removeSubrange(...end)
        return .message(try JSONDecoder().decode(Worker.Message.self, from: line))
      }
      let left = ContinuousClock.now.duration(to: deadline).components
      let milliseconds = Int32(clamping: left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000)
      if milliseconds <= 0 { return .silence }
      var request = pollfd(fd: pipe.raw, events: Int16(POLLIN), revents: 0)
      let ready = poll(&request, 1, milliseconds)
      if ready == 0 || (ready < 0 && clinux_errno() == EINTR) { continue }
      var chunk = [UInt8](repeating: 0, count: 65536)
      let count = read(pipe.raw, &chunk, chunk.count)
      if count < 0 { throw SystemError.last("read", "the worker's reports") }
      if count == 0 { return .end }
      buffer += chunk[..<count]
    }
  }

  /// Where its threads wait in the kernel: what a hang looks like from outside.
  func whereabouts() -> String {
    do {
      let threads = try Files.names(in: "/proc/\(pid)/task").sorted()
      let waits = threads.map { thread -> String in
        do { return String(decoding: try Files.read("/proc/\(pid)/task/\(thread)/wchan"), as: UTF8.self) } catch { return "?" }
      }
      let counts = Dictionary(grouping: waits) { $0 }.map { "\($0.value.count) × \($0.key == "0" ? "running" : $0.key)" }.sorted()
      return "its threads: " + counts.joined(separator: ", ")
    } catch { return "it was gone" }
  }

  /// Ends the worker and its session.
  func kill() {
    CLinux.kill(-pid, SIGKILL)
    CLinux.kill(pid, SIGKILL)
  }

  /// Waits for its end: how it came to it. A worker that has reported and does not end is ended alone, so that what it started is found.
  func wait(atMost seconds: Double) -> (code: Int32?, signal: Int32?) {
    var status: Int32 = 0
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
      let ended = waitpid(pid, &status, WNOHANG)
      if ended == pid { break }
      // Somebody else has waited for it: nothing more is known.
      if ended < 0 && clinux_errno() != EINTR { return (nil, nil) }
      if ContinuousClock.now > deadline { CLinux.kill(pid, SIGKILL) }
      usleep(1000)
    }
    return clinux_wifexited(status) != 0 ? (clinux_wexitstatus(status), nil) : (nil, clinux_wtermsig(status))
  }
}
