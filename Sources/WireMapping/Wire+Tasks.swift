import ContainerdAPI
import Protocols
import SwiftProtobuf

extension ExitStatus {
  package init(wire: Containerd_Services_Tasks_V1_DeleteResponse) {
    self.init(pid: wire.pid, code: wire.exitStatus, exitedAt: Timestamp(wire: wire.exitedAt))
  }

  package func wire(id: String) -> Containerd_Services_Tasks_V1_DeleteResponse {
    .with {
      $0.id = id
      $0.pid = pid
      $0.exitStatus = code
      $0.exitedAt = exitedAt.wire
    }
  }
}

extension ProcessState {
  /// A process on the wire says only its own id: which container it belongs to, the caller knows.
  package init(wire: Containerd_V1_Types_Process, container: String, exec: String? = nil) {
    let status = ProcessStatus(wire: wire.status)
    let ended = status == .stopped
    self.init(
      containerID: container, execID: exec, pid: wire.pid, status: status,
      io: TaskIO(stdin: wire.stdin, stdout: wire.stdout, stderr: wire.stderr, terminal: wire.terminal),
      exit: ended ? ExitStatus(pid: wire.pid, code: wire.exitStatus, exitedAt: Timestamp(wire: wire.exitedAt)) : nil)
  }

  package var wire: Containerd_V1_Types_Process {
    .with {
      $0.id = execID ?? containerID
      $0.pid = pid
      $0.status = status.wire
      $0.stdin = io.stdin
      $0.stdout = io.stdout
      $0.stderr = io.stderr
      $0.terminal = io.terminal
      $0.exitStatus = exit?.code ?? 0
      $0.exitedAt = (exit?.exitedAt ?? .never).wire
    }
  }
}

extension ProcessStatus {
  init(wire: Containerd_V1_Types_Status) {
    self =
      switch wire {
      case .created: .created
      case .running: .running
      case .stopped: .stopped
      case .paused: .paused
      case .pausing: .pausing
      case .unknown, .UNRECOGNIZED: .unknown
      }
  }

  var wire: Containerd_V1_Types_Status {
    switch self {
    case .unknown: .unknown
    case .created: .created
    case .running: .running
    case .stopped: .stopped
    case .paused: .paused
    case .pausing: .pausing
    }
  }
}
