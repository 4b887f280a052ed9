import CLinux
import SystemKit

/// Tells when the kernel ran out of a container's memory.
final class OutOfMemoryWatch {
  private enum Source {
    /// v1: the kernel counts on an eventfd; `control` shows whether the cgroup is still there.
    case counter(event: Int32, control: Int32)
    /// Unified: `memory.events`, which the kernel marks as changed.
    case events(Int32, kills: UInt64)
  }

  private let loop: EventLoop
  private var source: Source?
  private let told: () -> Void

  /// - Parameter paths: the container's cgroup by controller, "" for the unified one. Without a memory controller nothing is ever told.
  init(_ loop: EventLoop, paths: [String: String], told: @escaping () -> Void) {
    self.loop = loop
    self.told = told
    if let path = paths["memory"] { source = Self.counter(path) ?? Self.events(path) }
    switch source {
    case .counter(let event, _): loop.watch(event, POLLIN) { [weak self] _ in self?.check() }
    case .events(let file, _): loop.watch(file, POLLPRI) { [weak self] _ in self?.check() }
    case nil: break
    }
  }

  private static func counter(_ path: String) -> Source? {
    guard let control = try? Files.open(path + "/memory.oom_control", O_RDONLY) else { return nil }
    let event = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard event >= 0 else { return nil }
    do { try SmallFile.write("\(event) \(control.raw)", to: path + "/cgroup.event_control") } catch {
      CLinux.close(event)
      return nil
    }
    return .counter(event: event, control: control.release())
  }

  private static func events(_ path: String) -> Source? {
    guard let file = try? Files.open(path + "/memory.events", O_RDONLY) else { return nil }
    let raw = file.release()
    return .events(raw, kills: kills(raw) ?? 0)
  }

  private static func read(_ file: Int32) -> String? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = pread(file, &bytes, bytes.count, 0)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }

  private static func kills(_ file: Int32) -> UInt64? {
    read(file)?.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }.flatMap { UInt64($0.dropFirst(9)) }
  }

  /// Looks now: what happened before the end of a process is told before its end.
  func check() {
    switch source {
    case .counter(let event, let control):
      var count: UInt64 = 0
      guard CLinux.read(event, &count, 8) == 8 else { return }
      // The removal of the cgroup counts too.
      if Self.read(control) != nil { told() } else { close() }
    case .events(let file, let before):
      guard let now = Self.kills(file) else { return close() }
      source = .events(file, kills: now)
      if now > before { told() }
    case nil: break
    }
  }

  func close() {
    switch source {
    case .counter(let event, let control):
      loop.unwatch(event)
      CLinux.close(event)
      CLinux.close(control)
    case .events(let file, _):
      loop.unwatch(file)
      CLinux.close(file)
    case nil: break
    }
    source = nil
  }
}
