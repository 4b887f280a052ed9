import CLinux
import LinuxRuntime

/// The daemon's view into the shim: `<bundle>/log`, a FIFO that the daemon reads. Without a reader, or when it is full, a
/// line is lost; nothing ever waits for it.
final class ShimLog {
  /// -1 where nobody made a log.
  private let file: Int32
  private let debugs: Bool

  init(bundle: String, debugs: Bool) {
    file = clinux_open(bundle + "/log", O_RDWR | O_NONBLOCK | O_CLOEXEC, 0)
    self.debugs = debugs
  }

  deinit { if file >= 0 { close(file) } }

  func warning(_ message: String) { write("warning", message) }
  func debug(_ message: @autoclosure () -> String) { if debugs { write("debug", message()) } }

  /// In the form of logrus, as daemons expect it.
  private func write(_ level: String, _ message: String) {
    if file < 0 { return }
    let quoted = message.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : $0 == "\n" ? "\\n" : String($0) }.joined()
    let line = Array("time=\"\(Container.timestampNow())\" level=\(level) msg=\"\(quoted)\"\n".utf8)
    _ = CLinux.write(file, line, line.count)
  }
}
