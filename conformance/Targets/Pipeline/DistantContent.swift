import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ContainerdClient
import Protocols
import SystemKit

/// A content store in another process, whose files are on a file system that only that process sees: the daemon of this package, in a mount namespace of its own.
enum DistantContent {
  static func open(in workspace: Workspace) async throws -> any ContentStore {
    let socket = try await RefDaemon.start(in: workspace, hidden: true)
    let client = try await Connection.open(socket: socket, namespace: "conformance", in: workspace)
    let content = try await Namespaces.lease(client, "conformance", socket: socket, in: workspace).content
    workspace.endings.add { try await emptyContent(client.content) }
    return content
  }
}

/// The daemon program of this package, beside this one, with files of its own for the time of a case.
enum RefDaemon {
  /// Gives the daemon's socket.
  /// - Parameter hidden: its files are on a file system that only it sees.
  static func start(in workspace: Workspace, hidden: Bool) async throws -> String {
    let program = try programBeside("containerd-ref")
    // A socket's path has room for some hundred bytes.
    var template = Array("/tmp/daemon-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp", "/tmp/daemon-XXXXXX") }
    let shared = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let place = workspace.directory + "/daemon"
    try await DedicatedThread.run { try Files.makeDirectories(place) }
    let socket = shared + "/d.sock"
    let serve = [program, "serve", "--address", socket, "--root", place + "/root", "--state", hidden ? place + "/state" : shared + "/state"]
    let alone = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "mount -t tmpfs none \"$0\" && exec \"$@\"", place]
    let words = hidden ? alone + serve : serve
    workspace.record.add(hidden ? "a daemon whose files nobody else sees" : "a daemon", command: Shell.line(words))
    let child = try await DedicatedThread.run { try Child(words, log: workspace.directory + "/daemon.log") }
    workspace.endings.add {
      try await DedicatedThread.run {
        child.end()
        try Files.removeTree(shared)
      }
    }
    for _ in 0..<Int(1000 * workspace.patience) {
      if Files.exists(socket) { return socket }
      if child.hasEnded { throw SuiteError("the daemon ended before it listened: \(child.said)") }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw SuiteError("the daemon does not listen within \(Int(10 * workspace.patience)) s: \(child.said)")
  }

  static func programBeside(_ name: String) throws -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let own = String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = Files.parent(of: own) + "/" + name
    if access(path, X_OK) != 0 { throw CaseSkipped(.tool, "there is no program \(path)") }
    return path
  }
}

/// A program that runs beside a case. Blocking.
final class Child: Sendable {
  let pid: pid_t
  private let log: String

  init(_ words: [String], log: String) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var started: pid_t = 0
    let failure = posix_spawnp(&started, words[0], &actions, nil, &argv, clinux_environ())
    if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: words[0]) }
    pid = started
    self.log = log
  }

  /// Whether it has ended; it is not reaped by this.
  var hasEnded: Bool {
    var info = siginfo_t()
    return waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo != 0
  }
  var said: String {
    do { return String(decoding: try Files.read(log), as: UTF8.self) } catch { return "nothing (\(error))" }
  }
  func end() {
    kill(pid, SIGTERM)
    for _ in 0..<300 where !hasEnded { usleep(10_000) }
    kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
  }
}
