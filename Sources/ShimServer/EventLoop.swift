import CLinux

/// Everything a shim does happens here, on one thread: descriptors that become ready and timers.
final class EventLoop {
  private struct Watch {
    let serial: UInt64
    let events: Int16
    let action: (Int16) -> Void
  }
  private var watches: [Int32: Watch] = [:]
  private var timers: [(deadline: Int64, action: () -> Void)] = []
  private var serial: UInt64 = 0
  private var stopped = false

  /// Replaces an earlier watch of the same descriptor. Hang-up and error are always told.
  func watch(_ fd: Int32, _ events: Int32, _ action: @escaping (Int16) -> Void) {
    serial += 1
    watches[fd] = Watch(serial: serial, events: Int16(events), action: action)
  }

  /// Before the descriptor is closed.
  func unwatch(_ fd: Int32) { watches[fd] = nil }

  func after(milliseconds: Int64, _ action: @escaping () -> Void) {
    timers.append((Clock.monotonicMilliseconds() + milliseconds, action))
  }

  func stop() { stopped = true }

  func run() {
    while !stopped {
      let entries = watches.map { (fd: $0.key, watch: $0.value) }
      var polled = entries.map { pollfd(fd: $0.fd, events: $0.watch.events, revents: 0) }
      let ready = poll(&polled, nfds_t(polled.count), timeout())
      runTimers()
      if ready <= 0 { continue }
      for (index, entry) in entries.enumerated() where polled[index].revents != 0 {
        // An earlier action may have closed the descriptor, and its number may be another's now.
        if watches[entry.fd]?.serial == entry.watch.serial { entry.watch.action(polled[index].revents) }
      }
    }
  }

  private func timeout() -> Int32 {
    guard let first = timers.map(\.deadline).min() else { return -1 }
    return Int32(clamping: max(0, first - Clock.monotonicMilliseconds()))
  }

  private func runTimers() {
    if timers.isEmpty { return }
    let now = Clock.monotonicMilliseconds()
    let due = timers.filter { $0.deadline <= now }
    timers.removeAll { $0.deadline <= now }
    for timer in due { timer.action() }
  }
}
