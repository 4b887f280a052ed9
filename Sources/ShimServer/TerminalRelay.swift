import CLinux
import SystemKit

/// Copies between the master side of a terminal and the client's FIFOs.
final class TerminalRelay {
  /// After the end of the process, how long the terminal may stay quiet before it counts as empty.
  private static let quiet: Int64 = 200

  private let loop: EventLoop
  private var master: Int32
  private var input: Int32
  private let output: Int32
  private var toTerminal: [UInt8] = []
  private var toClient: [UInt8] = []
  private var onEmpty: (() -> Void)?
  private var activity: UInt64 = 0

  /// Takes over the master; the other two stay the caller's.
  init(_ loop: EventLoop, master: Int32, input: Int32, output: Int32) {
    self.loop = loop
    self.master = master
    self.input = input
    self.output = output
    _ = clinux_fcntl(master, F_SETFL, Int(clinux_fcntl(master, F_GETFL, 0) | O_NONBLOCK))
    update()
  }

  func resize(width: UInt32, height: UInt32) throws(ServiceError) {
    var size = winsize(ws_row: UInt16(clamping: height), ws_col: UInt16(clamping: width), ws_xpixel: 0, ws_ypixel: 0)
    if clinux_ioctl(master, UInt(TIOCSWINSZ), &size) != 0 {
      throw ServiceError(.unknown, "resize the terminal: \(SystemError.last("ioctl", "terminal").reason)")
    }
  }

  func stopInput() {
    if input >= 0 { loop.unwatch(input) }
    input = -1
  }

  /// Calls once, when everything the terminal held has been written.
  func finish(_ action: @escaping () -> Void) {
    onEmpty = action
    pump()
    armQuiet()
  }

  func close() {
    onEmpty = nil
    stopInput()
    loop.unwatch(output)
    if master >= 0 {
      loop.unwatch(master)
      CLinux.close(master)
    }
    master = -1
  }

  private func armQuiet() {
    let before = activity
    loop.after(milliseconds: Self.quiet) { [self] in
      guard onEmpty != nil else { return }
      if activity == before, toClient.isEmpty { done() } else { armQuiet() }
    }
  }

  private func done() {
    let action = onEmpty
    close()
    action?()
  }

  private func update() {
    guard master >= 0 else { return }
    var events: Int32 = 0
    if toClient.isEmpty { events |= POLLIN }
    if !toTerminal.isEmpty { events |= POLLOUT }
    if events == 0 {
      // A hang-up is always told, and would be told again and again while the client does not read.
      loop.unwatch(master)
    } else {
      loop.watch(master, events) { [self] _ in pump() }
    }
    if input >= 0 {
      if toTerminal.isEmpty { loop.watch(input, POLLIN) { [self] _ in takeInput() } } else { loop.unwatch(input) }
    }
    if toClient.isEmpty { loop.unwatch(output) } else { loop.watch(output, POLLOUT) { [self] _ in pump() } }
  }

  private func takeInput() {
    toTerminal += Self.take(input).bytes
    pump()
  }

  private func pump() {
    guard master >= 0 else { return }
    Self.give(&toTerminal, to: master)
    var over = false
    Self.give(&toClient, to: output)
    if toClient.isEmpty {
      let taken = Self.take(master)
      over = taken.over
      if !taken.bytes.isEmpty { activity += 1 }
      toClient = taken.bytes
      Self.give(&toClient, to: output)
    }
    if over {
      // Every process has closed the terminal; without an end of our process it may be opened again.
      if onEmpty != nil { return done() }
      loop.unwatch(master)
      loop.after(milliseconds: 50) { [self] in update() }
      return
    }
    update()
  }

  private static func take(_ fd: Int32) -> (bytes: [UInt8], over: Bool) {
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    let count = read(fd, &chunk, chunk.count)
    if count > 0 { return (Array(chunk[0..<count]), false) }
    return ([], count == 0 || (clinux_errno() != EAGAIN && clinux_errno() != EINTR))
  }

  /// Keeps what does not fit; drops everything when the other side is broken.
  private static func give(_ bytes: inout [UInt8], to fd: Int32) {
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { write(fd, $0.baseAddress!, $0.count) }
      if count >= 0 {
        bytes.removeFirst(count)
      } else if clinux_errno() == EAGAIN {
        return
      } else if clinux_errno() != EINTR {
        bytes = []
      }
    }
  }
}
