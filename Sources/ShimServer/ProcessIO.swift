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

  private let loop: EventLoop
  private let terminal: Bool
  /// Held until the input is closed, and until the process has ended.
  private var input: Int32 = -1
  private var outputs: [Int32] = []
  /// The ends for the process, closed as soon as it has them.
  private var ends: [Int32] = []
  private(set) var stdio = Stdio(stdin: -1, stdout: -1, stderr: -1)
  private var relay: TerminalRelay?

  init(_ loop: EventLoop, _ paths: Paths) throws(ServiceError) {
    self.loop = loop
    terminal = paths.terminal
    do throws(SystemError) {
      switch try Self.target(paths.stdin) {
      case .null: stdio.stdin = try end("/dev/null", O_RDONLY)
      case .file(let path): stdio.stdin = try end(path, O_RDONLY)
      case .fifo(let path):
        input = try Files.open(path, O_RDWR | O_NONBLOCK).release()
        stdio.stdin = terminal ? try end("/dev/null", O_RDONLY) : try end("/proc/self/fd/\(input)", O_RDONLY)
      }
      stdio.stdout = try output(paths.stdout)
      stdio.stderr = terminal ? stdio.stdout : try output(paths.stderr)
    } catch {
      close()
      throw ServiceError(error.errno == ENOENT ? .notFound : error.errno == ENOTSUP ? .unimplemented : .unknown, "open the standard streams: \(error)")
    }
  }

  private static func target(_ text: String) throws(SystemError) -> StreamTarget {
    do throws(ServiceError) { return try StreamTarget(text) } catch {
      throw SystemError(errno: error.code == .notFound ? ENOENT : error.code == .unimplemented ? ENOTSUP : EINVAL, operation: "open", object: text)
    }
  }

  private func end(_ path: String, _ flags: Int32) throws(SystemError) -> Int32 {
    let fd = try Files.open(path, flags, mode: 0o644).release()
    ends.append(fd)
    return fd
  }

  private func output(_ text: String) throws(SystemError) -> Int32 {
    switch try Self.target(text) {
    case .null:
      return try end("/dev/null", O_RDWR)
    case .file(let path):
      try Files.makeDirectories(Files.parent(of: path))
      return try end(path, O_WRONLY | O_CREAT | O_APPEND)
    case .fifo(let path):
      let held = try Files.open(path, O_RDWR | O_NONBLOCK).release()
      outputs.append(held)
      return terminal ? held : try end("/proc/self/fd/\(held)", O_WRONLY)
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

  /// At once.
  func close() {
    relay?.close()
    relay = nil
    closeInput()
    for fd in outputs + ends { CLinux.close(fd) }
    outputs = []
    ends = []
  }
}
