import CLinux
import SystemKit

/// A process that cannot be mistaken for a later one with the same pid.
struct ProcessIdentity {
  var pid: Int32
  /// Clock ticks after boot (proc(5), stat, field 22).
  var startTime: UInt64

  init(pid: Int32, startTime: UInt64) {
    self.pid = pid
    self.startTime = startTime
  }

  init?(pid: Int32) {
    guard let status = Self.status(pid) else { return nil }
    self.init(pid: pid, startTime: status.startTime)
  }

  /// Field 3 and 22 of /proc/PID/stat.
  private static func status(_ pid: Int32) -> (state: UInt8, startTime: UInt64)? {
    guard let bytes = try? Files.read("/proc/\(pid)/stat"), let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19, let state = fields[0].first, let start = UInt64(String(decoding: fields[19], as: UTF8.self)) else { return nil }
    return (state, start)
  }

  /// Running; a process that has ended and only waits to be reaped is not.
  var isAlive: Bool {
    guard pid > 0, let status = Self.status(pid) else { return false }
    return status.startTime == startTime && status.state != UInt8(ascii: "Z") && status.state != UInt8(ascii: "X")
  }

  /// A descriptor of exactly this process, nil when it is gone.
  func open() -> OwnedFD? {
    guard pid > 0 else { return nil }
    let fd = clinux_pidfd_open(pid, 0)
    guard fd >= 0 else { return nil }
    let pinned = OwnedFD(adopting: fd)
    // Only now is the pid sure to stay this process's.
    guard isAlive else { return nil }
    return pinned
  }

  /// Waits for the end, at most `milliseconds`.
  func awaitEnd(milliseconds: Int32) -> Bool {
    guard let pinned = open() else { return true }
    var watch = pollfd(fd: pinned.raw, events: Int16(POLLIN), revents: 0)
    while poll(&watch, 1, milliseconds) < 0 {
      if clinux_errno() != EINTR { return false }
    }
    return !isAlive
  }
}
