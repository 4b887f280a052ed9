import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdClient
import Foundation
import Protocols
import Synchronization
import SystemKit

/// A backend as a child process of the case, on a directory and a socket of the case's own.
final class BackendChild: BackendProcess {
  /// What is run, and what its environment has beyond ours.
  struct Command: Sendable {
    var words: [String]
    var environment: [String: String] = [:]
  }

  let root: String
  let socket: String
  let hasFaultPlaces: Bool
  private let command: Command
  private let log: String
  private let trace: String
  private let limit: Double
  private let life = Mutex<Life?>(nil)

  /// One process, from its start to its end.
  private final class Life: Sendable {
    let pid: pid_t
    private let end = Mutex<BackendEnd?>(nil)
    /// Hangs up when the process is over: whoever waits for an answer then gets an error.
    let hangUps = Mutex<[@Sendable () -> Void]>([])
    let clients = Mutex<[String: ContainerdClient]>([:])
    init(pid: pid_t) { self.pid = pid }

    var ended: BackendEnd? { end.withLock { $0 } }
    func ends(_ how: BackendEnd) {
      end.withLock { $0 = how }
      let all = hangUps.withLock { hangUps in
        defer { hangUps = [] }
        return hangUps
      }
      for hangUp in all { hangUp() }
    }
  }

  /// - Parameters:
  ///   - directory: of the case: has the log, and the socket where there is room for its name.
  ///   - limit: seconds for a start.
  init(root: String, in workspace: Workspace, hasFaultPlaces: Bool, limit: Double = 20, command: (_ socket: String) throws -> Command) throws {
    self.root = root
    self.hasFaultPlaces = hasFaultPlaces
    self.limit = limit * workspace.patience
    log = workspace.directory + "/backend.log"
    trace = workspace.directory + "/places"
    // A socket's path has room for some hundred bytes.
    var place = workspace.directory
    if place.utf8.count > 80 {
      var template = Array("/tmp/\(workspace.mark)-XXXXXX".utf8CString)
      guard let made = mkdtemp(&template) else { throw SystemError.last("mkdtemp", "/tmp") }
      place = String(cString: made)
      let made_ = place
      workspace.endings.add { try await DedicatedThread.run { try Files.removeTree(made_) } }
    }
    socket = place + "/backend.sock"
    try Files.makeDirectories(root)
    self.command = try command(socket)
    workspace.endings.add { [self] in try await kill() }
  }

  func start(_ start: BackendStart) async throws {
    if let life = life.withLock({ $0 }), life.ended == nil { throw SuiteError("the backend was started twice") }
    var environment = command.environment
    if let crash = start.crash { environment["REF_CRASH_AT"] = "\(crash)" }
    if start.traces { environment["REF_CRASH_LOG"] = trace }
    let (words, places, output, socket) = (command.words, trace, log, socket)
    let all = environment
    let pid = try await DedicatedThread.run { () -> pid_t in
      for file in [places, output] where Files.exists(file) { try Files.removeTree(file) }
      // What listened there is dead: a connection that succeeds is one to the new process.
      unlink(socket)
      return try Self.spawn(words, all, log: output)
    }
    let new = Life(pid: pid)
    life.withLock { $0 = new }
    // Its end is noticed at once, whoever asks for it.
    Task { new.ends(try await DedicatedThread.run { try Self.wait(pid) }) }
    let deadline = ContinuousClock.now + .seconds(limit)
    while true {
      if let end = new.ended { throw StartRefused(end: end, said: await said()) }
      do {
        try await Connection.requireListener(socket)
        return
      } catch {
        if ContinuousClock.now > deadline {
          let said = await said()
          try await kill()
          throw StartRefused(end: nil, said: said)
        }
        try await Task.sleep(for: .milliseconds(3))
      }
    }
  }

  func kill() async throws {
    guard let life = life.withLock({ $0 }), life.ended == nil else { return }
    CLinux.kill(-life.pid, SIGKILL)
    if try await ended(within: 30) == nil { throw SuiteError("process \(life.pid) (\(command.words.joined(separator: " "))) does not end when it is killed") }
  }

  func terminate(within seconds: Double) async throws -> BackendEnd? {
    guard let life = life.withLock({ $0 }) else { throw SuiteError("the backend was never started") }
    if life.ended == nil { CLinux.kill(life.pid, SIGTERM) }
    return try await ended(within: seconds)
  }

  func ended(within seconds: Double) async throws -> BackendEnd? {
    guard let life = life.withLock({ $0 }) else { throw SuiteError("the backend was never started") }
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
      if let end = life.ended { return end }
      if ContinuousClock.now >= deadline { return nil }
      try await Task.sleep(for: .milliseconds(1))
    }
  }

  /// Whether no process runs, because it has ended or was never started.
  func hasEnded() async throws -> Bool { life.withLock { $0 }.map { $0.ended != nil } ?? true }

  func passed() async throws -> [String] {
    let trace = trace
    return try await DedicatedThread.run {
      Files.exists(trace) ? String(decoding: try Files.read(trace), as: UTF8.self).split(separator: "\n").map(String.init) : []
    }
  }

  func said() async -> String {
    let log = log
    // A log that cannot be read says nothing.
    let bytes = try? await DedicatedThread.run { try Files.read(log, limit: 64 << 20) }
    return String(decoding: (bytes ?? []).suffix(1500), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// A connection to the process that runs now. It ends with the process.
  func client(namespace: String) async throws -> ContainerdClient {
    guard let life = life.withLock({ $0 }) else { throw SuiteError("the backend was never started") }
    if let open = life.clients.withLock({ $0[namespace] }) { return open }
    let socket = socket
    let (over, end) = AsyncStream.makeStream(of: Void.self)
    let (clients, connected) = AsyncStream.makeStream(of: ContainerdClient.self)
    life.hangUps.withLock { $0.append { end.finish() } }
    if life.ended != nil { end.finish() }
    let holding = Task {
      defer { connected.finish() }
      try await ContainerdClient.with(socket: socket, namespace: namespace) { client in
        connected.yield(client)
        for await _ in over {}
      }
    }
    for await client in clients {
      life.clients.withLock { $0[namespace] = client }
      return client
    }
    try await holding.value
    throw SuiteError("\(socket): the connection ended before it began")
  }

  /// A connection for calls that the client has no words for. It ends with the process.
  func wire() throws -> WireConnection {
    guard let life = life.withLock({ $0 }) else { throw SuiteError("the backend was never started") }
    let wire = try WireConnection(socket: socket)
    life.hangUps.withLock { $0.append { wire.close() } }
    if life.ended != nil { wire.close() }
    return wire
  }

  // MARK: blocking

  private static func spawn(_ words: [String], _ more: [String: String], log: String) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    let environment = ProcessInfo.processInfo.environment.filter { more[$0.key] == nil }.merging(more) { $1 }.map { "\($0.key)=\($0.value)" }
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { (argv + envp).forEach { free($0) } }
    var pid: pid_t = 0
    let failure = posix_spawnp(&pid, words[0], &actions, &attributes, &argv, &envp)
    if failure == ENOENT { throw CaseSkipped(.tool, "\(words[0]) is not installed") }
    if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: words[0]) }
    return pid
  }

  private static func wait(_ pid: pid_t) throws -> BackendEnd {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 { if clinux_errno() != EINTR { throw SystemError.last("waitpid", "\(pid)") } }
    // What it started ends with it: it has a group of its own.
    CLinux.kill(-pid, SIGKILL)
    return clinux_wifexited(status) != 0 ? .exited(clinux_wexitstatus(status)) : .killed(by: clinux_wtermsig(status))
  }
}
