import CInit
import CLinux
import SystemKit

extension Container {
  /// Lets the held process run its program; works from any process. Runs startContainer (inside) and poststart.
  ///
  /// Throws `.notFound` or `.system` with the cause when the program cannot be executed (no such file, permission), and
  /// `.wrongState` unless the container is created.
  public func start() throws(RuntimeError) {
    try release()
    do throws(RuntimeError) {
      if !spec.hooks.poststart.isEmpty { try HookRunner.run(spec.hooks.poststart, kind: "poststart", state: stateJSON(status: .running)) }
    } catch {
      // config.md: a poststart hook that fails stops the container.
      if let process = record.process.open() { _ = clinux_pidfd_send_signal(process.raw, SIGKILL) }
      throw error
    }
  }

  private func release() throws(RuntimeError) {
    let lock = try directory.lock()
    defer { withExtendedLifetime(lock.raw) {} }
    let now = state
    guard now == .created else {
      if now == .creating { throw RuntimeError(.wrongState, "cannot start container \(id): it is still being created") }
      throw RuntimeError(.wrongState, now == .stopped ? "cannot start a container that has stopped: \(id)" : "cannot start an already running container: \(id)")
    }
    let path = try during("open the state directory") { () throws(SystemError) in try Files.open(directory.path, O_PATH | O_DIRECTORY) }
    let connection = cinit_connect_at(path.raw, StateDirectory.gateName)
    guard connection >= 0 else {
      throw RuntimeError(SystemError(errno: -connection, operation: "connect", object: directory.gatePath), doing: "start container \(id)")
    }
    // From here on the container counts as started; a second start finds no gate.
    unlink(directory.gatePath)
    var sync = SyncSocket(OwnedFD(adopting: connection))
    while true {
      guard case .closed = try sync.next() else { continue }
      break
    }
    warnings += sync.warnings
  }

  /// Sends a signal to the first process, or to every process of the container's cgroup. Never to a process that only has
  /// the same pid. Throws `.wrongState` when the container has stopped (not with `all`).
  public func kill(signal: Int32, all: Bool = false) throws(RuntimeError) {
    guard (0...64).contains(signal) else { throw RuntimeError(.invalid, "\(signal) is not a signal") }
    if all { return try record.cgroup.signalAll(signal) }
    guard let process = record.process.open() else { throw RuntimeError(.wrongState, "container not running: \(id)") }
    if clinux_pidfd_send_signal(process.raw, signal) != 0 {
      let failure = SystemError.last("pidfd_send_signal", "pid \(initPID)")
      if failure.errno == ESRCH { throw RuntimeError(.wrongState, "container not running: \(id)") }
      throw RuntimeError(failure, doing: "signal container \(id)")
    }
    guard signal == SIGKILL else { return }
    // Without a pid namespace of its own the end of the first process ends nobody else; SIGKILL means them too, as in runc.
    if !spec.linux.makes(.pid) { try record.cgroup.signalAll(SIGKILL) }
    if record.cgroup.isFrozen { try record.cgroup.setFrozen(false) }
  }

  /// Removes cgroups and state and runs poststop. A created container is killed first; a running one only with `force`,
  /// otherwise `.wrongState`. What a creation has left that was killed, at whatever moment, goes as well.
  public func delete(force: Bool = false) throws(RuntimeError) {
    let lock = try directory.lock()
    defer { withExtendedLifetime(lock.raw) {} }
    let now = state
    if now != .stopped {
      guard force || now == .created else {
        throw RuntimeError(.wrongState, "cannot delete container \(id) that is not stopped: \(now.rawValue)")
      }
      if let process = record.process.open() { _ = clinux_pidfd_send_signal(process.raw, SIGKILL) }
      if record.cgroup.isFrozen { try record.cgroup.setFrozen(false) }
      guard record.process.awaitEnd(milliseconds: 10_000) else {
        throw RuntimeError(.system, "container \(id) did not end within ten seconds of SIGKILL")
      }
    }
    if record.ownsCgroup {
      // The cgroup is the container's alone: what is left there was started by it.
      if record.process.pid == 0, record.cgroup.isFrozen { try record.cgroup.setFrozen(false) }
      try record.cgroup.signalAll(SIGKILL)
      try record.cgroup.remove()
    } else {
      record.cgroup.removeEmpty()
    }
    runPoststop()
    try directory.remove()
  }

  func runPoststop() {
    // Each on its own: the failure of one is a warning and the others still run (config.md, "Poststop").
    for hook in spec.hooks.poststop {
      do throws(RuntimeError) { try HookRunner.run([hook], kind: "poststop", state: stateJSON(status: .stopped)) } catch {
        warnings.append(error.message)
      }
    }
  }
}
