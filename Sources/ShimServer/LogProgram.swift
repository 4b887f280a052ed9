import CLinux
import SystemKit

/// A program that takes what a process prints: a stream `binary:///path?argument`.
///
/// It gets the reading ends of the process's output and error output as 3 and 4, and tells that it is ready by closing 5. Its
/// environment is the names of the process and of the namespace, nothing else. It ends when the streams end.
final class LogProgram {
  /// How long it may take to get ready, and to end when nobody writes any more.
  private static let patience: Int64 = 12_000

  private let loop: EventLoop
  private let process: OwnedFD
  /// The writing ends, the owner's to close.
  let output: Int32
  let errors: Int32

  init(_ loop: EventLoop, path: String, arguments: [String], id: String, namespace: String) throws(SystemError) {
    self.loop = loop
    let out = try Pipe()
    let err = try Pipe()
    var ready = try Pipe()
    let pid = try ChildProgram.spawn(
      path, arguments: [path] + arguments, environment: ["CONTAINER_ID=\(id)", "CONTAINER_NAMESPACE=\(namespace)"],
      descriptors: [-1, -1, -1, out.reading, err.reading, ready.writing])
    process = OwnedFD(adopting: try check("pidfd_open", path) { clinux_pidfd_open(pid, 0) })
    ready.closeWriting()
    try Self.awaitReady(ready.reading, path: path, process: process.raw)
    output = out.takeWriting()
    errors = err.takeWriting()
  }

  /// A byte, or the end of the file: ready, or gone without a word, which containerd takes for ready too.
  private static func awaitReady(_ ready: Int32, path: String, process: Int32) throws(SystemError) {
    let deadline = Clock.monotonicMilliseconds() + patience
    while true {
      var watch = pollfd(fd: ready, events: Int16(POLLIN), revents: 0)
      let count = poll(&watch, 1, Int32(clamping: max(0, deadline - Clock.monotonicMilliseconds())))
      if count > 0 { return }
      if count < 0, clinux_errno() == EINTR { continue }
      _ = clinux_pidfd_send_signal(process, SIGKILL)
      throw SystemError(errno: ETIMEDOUT, operation: "wait for readiness", object: path)
    }
  }

  /// The process is gone and its ends are closed: the program reads to the end and ends; one that does not is ended.
  func finish() {
    loop.after(milliseconds: Self.patience) { [self] in
      // Fails when it has ended by itself; a descriptor of a process cannot mean anybody else.
      _ = clinux_pidfd_send_signal(process.raw, SIGTERM)
    }
  }
}

/// Both ends close-on-exec, closed with the value unless taken.
private struct Pipe: ~Copyable {
  let reading: Int32
  private(set) var writing: Int32

  init() throws(SystemError) {
    var ends: [Int32] = [-1, -1]
    try check("pipe2", "log program") { pipe2(&ends, O_CLOEXEC) }
    reading = ends[0]
    writing = ends[1]
  }

  deinit {
    close(reading)
    if writing >= 0 { close(writing) }
  }

  mutating func closeWriting() {
    close(writing)
    writing = -1
  }

  consuming func takeWriting() -> Int32 {
    let taken = writing
    writing = -1
    return taken
  }
}
