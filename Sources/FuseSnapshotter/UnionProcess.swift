import CLinux
import Protocols
import Synchronization
import SystemKit

/// Processes that serve one union each, and end with it. Calls block.
enum UnionProcess {
  private static let children = Mutex<[pid_t]>([])

  /// Starts one. Returns when it has closed its standard output, having mounted: then what it has written there is empty.
  static func start(_ command: [String], log: String) throws {
    reap()
    var ends: [Int32] = [-1, -1]
    try check("pipe2", "a union's process") { clinux_pipe(&ends) }
    let reading = OwnedFD(adopting: ends[0])
    let writing = OwnedFD(adopting: ends[1])
    let pid = try DetachedProcess.start(
      command, input: .path("/dev/null", O_RDONLY), output: .descriptor(writing.raw), errors: .path(log, O_WRONLY | O_CREAT | O_APPEND))
    children.withLock { $0.append(pid) }
    _ = consume writing
    let said = try Files.readAll(reading, path: "a union's process", limit: 64 << 10)
    if said.isEmpty { return }
    throw ContainerdError.failedPrecondition(String(decoding: said, as: UTF8.self))
  }

  /// Lets go of those that have ended: a container's union ends with it, and must not stay as a zombie as long as we live.
  /// - Returns: how many live.
  @discardableResult
  static func reap() -> Int {
    children.withLock { children in
      children.removeAll { DetachedProcess.reap($0) }
      return children.count
    }
  }
}
