import CLinux
import LinuxRuntime
import ShimWire

/// The ends of processes.
extension TaskService {
  /// Collects every child that has ended, ours and those that were left to us.
  func reap() {
    while true {
      var raw: Int32 = 0
      let pid = waitpid(-1, &raw, WNOHANG)
      if pid < 0, clinux_errno() == EINTR { continue }
      if pid <= 0 { return }
      let status = clinux_wifexited(raw) != 0 ? clinux_wexitstatus(raw) : 128 + clinux_wtermsig(raw)
      ended(ExitRecord(pid: UInt32(pid), status: UInt32(status), exitedAt: Clock.now()))
    }
  }

  private func ended(_ record: ExitRecord) {
    let pid = Int32(record.pid)
    for owner in containers.values {
      // What ended a process may be the reason why this one is told now.
      owner.memory?.check()
      if owner.first.pid == pid, owner.first.exit == nil { return firstEnded(owner, record) }
      for exec in owner.execs.values where exec.pid == pid && exec.phase == .running {
        exec.ended(record)
        exec.io?.ended()
        tell(owner, id: exec.execID, record)
        if let held = owner.heldExit, !owner.hasRunningExecs { finish(owner, held) }
        return
      }
    }
  }

  /// The container is over: whoever shares its cgroup goes too, and is told before it.
  private func firstEnded(_ owner: ManagedContainer, _ record: ExitRecord) {
    owner.heldExit = record
    do throws(RuntimeError) { try owner.container.kill(signal: SIGKILL, all: true) } catch {
      // The cgroup is gone, and with it everybody in it.
    }
    for exec in owner.execs.values where exec.phase == .running { _ = CLinux.kill(exec.pid, SIGKILL) }
    if !owner.hasRunningExecs { finish(owner, record) }
  }

  private func finish(_ owner: ManagedContainer, _ record: ExitRecord) {
    owner.heldExit = nil
    // A disk that is full must not keep the container from ending.
    try? record.write(bundle: owner.bundle)
    tell(owner, id: owner.id, record)
    owner.first.io?.ended()
    owner.first.ended(record)
  }

  private func tell(_ owner: ManagedContainer, id: String, _ record: ExitRecord) {
    publisher.publish(
      "/tasks/exit", "TaskExit",
      TaskExit(containerID: owner.id, id: id, pid: record.pid, exitStatus: record.status, exitedAt: record.exitedAt))
  }
}
