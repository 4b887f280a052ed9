import BlockingIO
import CLinux
import Protocols
import Synchronization
import SystemKit

/// Named pipes as a client makes them for a process's streams, and what has come out of them.
final class ShimPipes: Sendable {
  let io: TaskIO
  private struct State {
    var output: [UInt8] = []
    var input: Int32?
    var over = false
  }
  private let state = Mutex(State())

  var output: [UInt8] { state.withLock { $0.output } }
  var text: String { String(decoding: output, as: UTF8.self) }

  /// - Parameter reads: whether anybody reads the output from the beginning on.
  init(_ subject: ShimSubject, _ name: String, input: Bool = false, reads: Bool = true, terminal: Bool = false) throws {
    let base = "\(subject.scene.directory)/\(name)"
    // A terminal has one stream for both; without one, some shims refuse one pipe without the other.
    io = TaskIO(stdin: input ? base + "-in" : "", stdout: base + "-out", stderr: terminal ? "" : base + "-err", terminal: terminal)
    for path in [io.stdin, io.stdout, io.stderr] where !path.isEmpty { try check("mkfifo", path) { mkfifo(path, 0o600) } }
    if !terminal { subject.scene.hold(try Files.open(io.stderr, O_RDWR | O_NONBLOCK).release()) }
    if input {
      let descriptor = try Files.open(io.stdin, O_RDWR | O_NONBLOCK).release()
      state.withLock { $0.input = descriptor }
    }
    if reads { try read() } else { subject.scene.hold(try Files.open(io.stdout, O_RDWR | O_NONBLOCK).release()) }
  }

  deinit { closeInput() }

  func write(_ text: String) throws {
    guard let input = state.withLock({ $0.input }) else { return }
    let bytes = Array(text.utf8)
    try check("write", io.stdin) { CLinux.write(input, bytes, bytes.count) }
  }

  func closeInput() {
    let input = state.withLock { state in
      defer { state.input = nil }
      return state.input
    }
    if let input { close(input) }
  }

  /// Nobody reads any more.
  func stop() { state.withLock { $0.over = true } }

  private func read() throws {
    let descriptor = try Files.open(io.stdout, O_RDONLY | O_NONBLOCK)
    let raw = descriptor.release()
    let reader = Reader(pipes: self)
    Task {
      // Ends with the pipes' owner, or when it is told that nobody shall read; a thread that cannot be made shows as no output.
      do { try await DedicatedThread.run { while reader.pipes?.take(raw) == true { usleep(1000) } } } catch {}
      close(raw)
    }
  }

  private struct Reader: @unchecked Sendable { weak var pipes: ShimPipes? }

  private func take(_ raw: Int32) -> Bool {
    if state.withLock({ $0.over }) { return false }
    var chunk = [UInt8](repeating: 0, count: 256 << 10)
    while true {
      let count = CLinux.read(raw, &chunk, chunk.count)
      if count <= 0 { return true }
      state.withLock { $0.output += chunk[0..<count] }
    }
  }
}
