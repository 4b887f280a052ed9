import BlockingIO
import CLinux
import SystemKit

/// Copies one stream on a thread of its own. Our own standard streams stay blocking: others hold the same files.
enum StreamCopy {
  private static let chunk = 64 << 10

  /// Told when a copy is to end: a descriptor that becomes readable, and stays so.
  final class Stop: Sendable {
    let descriptor: OwnedFD
    init() throws { descriptor = OwnedFD(adopting: try check("eventfd", "stop") { eventfd(0, Int32(EFD_CLOEXEC)) }) }
    func raise() {
      var one: UInt64 = 1
      // Eight bytes into an event counter: cannot be short, and fails only when the counter is full of earlier calls.
      _ = write(descriptor.raw, &one, MemoryLayout<UInt64>.size)
    }
  }

  /// From a process's FIFO to a stream of ours, until its writers are gone; after `stop`, what is there already and no more.
  ///
  /// When our stream breaks the rest is read and dropped, so that the process is not held up by a reader that left.
  /// Takes over the FIFO's descriptor.
  static func output(from fifo: Int32, to target: Int32, stop: Stop) async throws {
    try await DedicatedThread.run {
      let fifo = OwnedFD(adopting: fifo)
      var buffer = [UInt8](repeating: 0, count: chunk)
      var broken = false
      var stopping = false
      while true {
        var watched = [
          pollfd(fd: fifo.raw, events: Int16(POLLIN), revents: 0),
          pollfd(fd: stopping ? -1 : stop.descriptor.raw, events: Int16(POLLIN), revents: 0),
        ]
        let ready = poll(&watched, 2, stopping ? 0 : -1)
        if ready < 0 && clinux_errno() == EINTR { continue }
        if watched[1].revents != 0 { stopping = true }
        if watched[0].revents == 0 {
          if stopping && ready <= 0 { return }
          continue
        }
        let count = read(fifo.raw, &buffer, buffer.count)
        if count < 0 && (clinux_errno() == EAGAIN || clinux_errno() == EINTR) { continue }
        if count <= 0 { return }
        if !broken { broken = !writeAll(buffer[0..<count], to: target) }
      }
    }
  }

  /// From our input to a process's FIFO. True when the input has ended, false when the process went away first or `stop` was raised.
  /// Takes over the FIFO's descriptor.
  static func input(from source: Int32, to fifo: Int32, stop: Stop) async throws -> Bool {
    try await DedicatedThread.run {
      let fifo = OwnedFD(adopting: fifo)
      var buffer = [UInt8](repeating: 0, count: chunk)
      while true {
        guard wait(for: source, Int16(POLLIN), or: stop) else { return false }
        let count = read(source, &buffer, buffer.count)
        if count < 0 && clinux_errno() == EINTR { continue }
        if count <= 0 { return true }
        var rest = buffer[0..<count]
        while !rest.isEmpty {
          guard wait(for: fifo.raw, Int16(POLLOUT), or: stop) else { return false }
          let written = rest.withUnsafeBytes { write(fifo.raw, $0.baseAddress, $0.count) }
          if written < 0 && (clinux_errno() == EAGAIN || clinux_errno() == EINTR) { continue }
          if written < 0 { return false }
          rest = rest.dropFirst(written)
        }
      }
    }
  }

  /// False when told to stop.
  private static func wait(for descriptor: Int32, _ events: Int16, or stop: Stop) -> Bool {
    while true {
      var watched = [pollfd(fd: descriptor, events: events, revents: 0), pollfd(fd: stop.descriptor.raw, events: Int16(POLLIN), revents: 0)]
      if poll(&watched, 2, -1) < 0 && clinux_errno() == EINTR { continue }
      return watched[1].revents == 0
    }
  }

  private static func writeAll(_ bytes: ArraySlice<UInt8>, to target: Int32) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(target, $0.baseAddress, $0.count) }
      if count < 0 && clinux_errno() == EINTR { continue }
      if count < 0 && clinux_errno() == EAGAIN {
        // Somebody else has made the shared file non-blocking.
        var watched = pollfd(fd: target, events: Int16(POLLOUT), revents: 0)
        _ = poll(&watched, 1, -1)
        continue
      }
      if count < 0 { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}
