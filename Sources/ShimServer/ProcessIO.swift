import CLinux
import LinuxRuntime
import SystemKit

/// The standard streams of one process.
///
/// A FIFO is held open for reading and writing as long as the process lives: a client that goes away neither kills a writer
/// with SIGPIPE nor ends an input. The process gets plain blocking ends of its own. With a terminal, bytes are copied.
final class ProcessIO {
  struct Paths {
    var stdin = ""
    var stdout = ""
    var stderr = ""
    var terminal = false
  }

  /// Whose streams they are: what a log program is told.
  struct Owner {
    var id: String
    var namespace: String
    /// Who may open the process's ends again inside of a user namespace; 0 leaves them as they are.
    var uid: UInt32 = 0
    var gid: UInt32 = 0
  }

  private let loop: EventLoop
  private let terminal: Bool
  private let owner: Owner
  /// Held until the input is closed, and until the process has ended.
  private var input: Int32 = -1
  private var outputs: [Int32] = []
  /// The ends for the process, closed as soon as it has them.
  private var ends: [Int32] = []
  private(set) var stdio = Stdio(stdin: -1, stdout: -1, stderr: -1)
  private var relay: TerminalRelay?
  private var onDelivered: [() -> Void] = []
  /// How long a deletion waits for a client that does not read: milliseconds.
  private static let patience: Int64 = 2000
  private var program: LogProgram?

  init(_ loop: EventLoop, _ paths: Paths, _ owner: Owner) throws(ServiceError) {
    self.loop = loop
    self.owner = owner
    terminal = paths.terminal
    do throws(ServiceError) {
      switch try StreamTarget(paths.stdin) {
      case .null: stdio.stdin = try end("/dev/null", O_RDONLY)
      case .file(let path): stdio.stdin = try end(path, O_RDONLY)
      case .fifo(let path):
        input = try step("open \(path)") { () throws(SystemError) in try Files.open(path, O_RDWR | O_NONBLOCK).release() }
        stdio.stdin = terminal ? try end("/dev/null", O_RDONLY) : try end("/proc/self/fd/\(input)", O_RDONLY)
      case .program: throw ServiceError(.invalidArgument, "stream \(paths.stdin): a program takes output only")
      }
      try openOutputs(StreamTarget(paths.stdout), paths.stderr)
      if owner.uid != 0 || owner.gid != 0 { try changeOwner() }
    } catch {
      close()
      throw error
    }
  }

  private func step<T>(_ what: String, _ body: () throws(SystemError) -> T) throws(ServiceError) -> T {
    do { return try body() } catch { throw ServiceError(error.errno == ENOENT ? .notFound : .unknown, "standard streams: \(what): \(error.reason)") }
  }

  private func end(_ path: String, _ flags: Int32) throws(ServiceError) -> Int32 {
    let fd = try step("open \(path)") { () throws(SystemError) in try Files.open(path, flags, mode: 0o644).release() }
    ends.append(fd)
    return fd
  }

  private func openOutputs(_ stdout: StreamTarget, _ stderr: String) throws(ServiceError) {
    guard case .program(let path, let arguments) = stdout else {
      stdio.stdout = try output(stdout)
      stdio.stderr = terminal ? stdio.stdout : try output(try StreamTarget(stderr))
      return
    }
    let made = try step("start the log program \(path)") { () throws(SystemError) in
      try LogProgram(loop, path: path, arguments: arguments, id: owner.id, namespace: owner.namespace)
    }
    program = made
    ends += [made.output, made.errors]
    stdio.stdout = made.output
    stdio.stderr = made.errors
    // The copy from the terminal must not wait; a process of its own must.
    if terminal { _ = clinux_fcntl(made.output, F_SETFL, Int(O_NONBLOCK)) }
  }

  private func output(_ target: StreamTarget) throws(ServiceError) -> Int32 {
    switch target {
    case .null:
      return try end("/dev/null", O_RDWR)
    case .file(let path):
      try step("make the directory of \(path)") { () throws(SystemError) in try Files.makeDirectories(Files.parent(of: path)) }
      return try end(path, O_WRONLY | O_CREAT | O_APPEND)
    case .fifo(let path):
      let held = try step("open \(path)") { () throws(SystemError) in try Files.open(path, O_RDWR | O_NONBLOCK).release() }
      outputs.append(held)
      return terminal ? held : try end("/proc/self/fd/\(held)", O_WRONLY)
    case .program(let path, _): throw ServiceError(.invalidArgument, "stream \(path): a program for the error output takes the output too")
    }
  }

  private func changeOwner() throws(ServiceError) {
    for fd in Set([stdio.stdin, stdio.stdout, stdio.stderr]) {
      var info = stat()
      // /dev/null is everybody's already.
      guard fstat(fd, &info) == 0, info.st_mode & mode_t(S_IFMT) == mode_t(S_IFIFO) else { continue }
      try step("give a stream to \(owner.uid):\(owner.gid)") { () throws(SystemError) in
        _ = try check("fchown", "fd \(fd)") { fchown(fd, owner.uid, owner.gid) }
      }
    }
  }

  /// The process has its ends; `master` is its terminal, which is taken over.
  func started(master: Int32?) {
    if let master {
      // Files have no held descriptor: the end itself is what the relay writes to.
      let target = stdio.stdout
      ends.removeAll { $0 == target }
      if !outputs.contains(target) { outputs.append(target) }
      relay = TerminalRelay(loop, master: master, input: input, output: target)
    }
    ends.forEach { _ = CLinux.close($0) }
    ends = []
  }

  func closeInput() {
    relay?.stopInput()
    if input >= 0 { CLinux.close(input) }
    input = -1
  }

  func resize(width: UInt32, height: UInt32) throws(ServiceError) {
    guard let relay else { throw ServiceError(.failedPrecondition, "the process has no terminal") }
    try relay.resize(width: width, height: height)
  }

  /// The process has ended: what is still in its terminal is delivered, then readers see the end of the file.
  func ended() {
    closeInput()
    guard let relay else { return close() }
    relay.finish { [self] in close() }
  }

  /// Calls once: when the terminal of an ended process is empty, or when its client has not read for too long.
  func whenDelivered(_ action: @escaping () -> Void) {
    if relay == nil { return action() }
    onDelivered.append(action)
    if onDelivered.count == 1 { loop.after(milliseconds: Self.patience) { [weak self] in self?.delivered() } }
  }

  private func delivered() {
    let actions = onDelivered
    onDelivered = []
    actions.forEach { $0() }
  }

  /// At once.
  func close() {
    relay?.close()
    relay = nil
    closeInput()
    for fd in outputs + ends { CLinux.close(fd) }
    outputs = []
    ends = []
    program?.finish()
    program = nil
    delivered()
  }
}
