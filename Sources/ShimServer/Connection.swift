import CLinux
import ShimWire

/// One ttrpc connection of either side: frames in, frames out, never blocking.
final class Connection {
  private let loop: EventLoop
  private let fd: Int32
  private var decoder = TTRPCFrameDecoder()
  private var output: [UInt8] = []
  private var written = 0
  private(set) var isOpen = true
  var onItem: ((TTRPCFrameDecoder.Item) -> Void)?
  var onClose: (() -> Void)?

  /// Takes the descriptor over.
  init(_ loop: EventLoop, fd: Int32) {
    self.loop = loop
    self.fd = fd
    rewatch()
  }

  func send(_ frame: TTRPCFrame) {
    guard isOpen else { return }
    output += frame.encoded
    flush()
  }

  func close() {
    guard isOpen else { return }
    isOpen = false
    loop.unwatch(fd)
    CLinux.close(fd)
    let closed = onClose
    onItem = nil
    onClose = nil
    closed?()
  }

  private func rewatch() {
    let events = written < output.count ? POLLIN | POLLOUT : POLLIN
    loop.watch(fd, events) { [self] ready in
      if ready & Int16(POLLOUT) != 0 { flush() }
      if isOpen, ready & Int16(POLLIN | POLLHUP | POLLERR) != 0 { receive() }
    }
  }

  private func flush() {
    while written < output.count {
      let count = output.withUnsafeBytes { CLinux.send(fd, $0.baseAddress! + written, $0.count - written, Int32(MSG_NOSIGNAL)) }
      if count >= 0 {
        written += count
      } else if clinux_errno() == EAGAIN {
        break
      } else if clinux_errno() != EINTR {
        return close()
      }
    }
    if written == output.count {
      output.removeAll(keepingCapacity: output.count < 64 << 10)
      written = 0
    }
    rewatch()
  }

  private func receive() {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    let count = read(fd, &chunk, chunk.count)
    if count < 0, clinux_errno() == EAGAIN || clinux_errno() == EINTR { return }
    if count <= 0 { return close() }
    decoder.feed(chunk[0..<count])
    while isOpen, let item = decoder.next() { onItem?(item) }
  }
}
