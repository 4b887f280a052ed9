import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// The tasks of a daemon: what runs. The daemon takes spec and runtime from the container, so a client names only the container.
public struct RemoteTasks: Sendable {
  typealias API = Containerd_Services_Tasks_V1_Tasks
  let connection: ContainerdClient

  private var api: API.Client<ContainerdClient.Transport> { API.Client(wrapping: connection.client) }

  /// Makes the environment of a container that the daemon knows, and returns its task, not started.
  public func create(_ container: String, rootfs: [Mount], io: TaskIO, options: TypedValue? = nil) async throws -> any ContainerTask {
    _ = try await connection.call {
      try await api.create(
        .with {
          $0.containerID = container
          $0.rootfs = rootfs.map(\.wire)
          $0.stdin = io.stdin
          $0.stdout = io.stdout
          $0.stderr = io.stderr
          $0.terminal = io.terminal
          if let options { $0.options = options.wire }
        }, metadata: connection.metadata)
    }
    return task(container)
  }

  /// The task of a container; its calls are `notFound` if there is none.
  public func task(_ container: String) -> any ContainerTask { RemoteTask(connection: connection, id: container) }

  public func list() async throws -> [ProcessState] {
    try await connection.call {
      try await api.list(.init(), metadata: connection.metadata).tasks.map { ProcessState(wire: $0, container: $0.id) }
    }
  }
}

struct RemoteTask: ContainerTask {
  typealias API = Containerd_Services_Tasks_V1_Tasks
  let connection: ContainerdClient
  let id: String

  var namespace: String { connection.scope.namespace }
  private var api: API.Client<ContainerdClient.Transport> { API.Client(wrapping: connection.client) }
  private var metadata: Metadata { connection.metadata }

  func state(exec: String?) async throws -> ProcessState {
    try await connection.call {
      ProcessState(
        wire: try await api.get(
          .with {
            $0.containerID = id
            $0.execID = exec ?? ""
          }, metadata: metadata
        ).process, container: id, exec: exec)
    }
  }

  func start(exec: String?) async throws -> UInt32 {
    try await connection.call {
      try await api.start(
        .with {
          $0.containerID = id
          $0.execID = exec ?? ""
        }, metadata: metadata
      ).pid
    }
  }

  func exec(_ request: ExecCreation) async throws {
    _ = try await connection.call {
      try await api.exec(
        .with {
          $0.containerID = id
          $0.execID = request.id
          $0.spec = request.process.wire
          $0.stdin = request.io.stdin
          $0.stdout = request.io.stdout
          $0.stderr = request.io.stderr
          $0.terminal = request.io.terminal
        }, metadata: metadata)
    }
  }

  func kill(exec: String?, signal: UInt32, all: Bool) async throws {
    _ = try await connection.call {
      try await api.kill(
        .with {
          $0.containerID = id
          $0.execID = exec ?? ""
          $0.signal = signal
          $0.all = all
        }, metadata: metadata)
    }
  }

  /// The pid is not part of the answer on the wire; it is 0 here.
  func wait(exec: String?) async throws -> ExitStatus {
    try await connection.call {
      let answer = try await api.wait(
        .with {
          $0.containerID = id
          $0.execID = exec ?? ""
        }, metadata: metadata)
      return ExitStatus(pid: 0, code: answer.exitStatus, exitedAt: Timestamp(wire: answer.exitedAt))
    }
  }

  func delete(exec: String?) async throws -> ExitStatus {
    try await connection.call {
      if let exec {
        let request = Containerd_Services_Tasks_V1_DeleteProcessRequest.with { ($0.containerID, $0.execID) = (id, exec) }
        return ExitStatus(wire: try await api.deleteProcess(request, metadata: metadata))
      }
      return ExitStatus(wire: try await api.delete(.with { $0.containerID = id }, metadata: metadata))
    }
  }

  func pids() async throws -> [UInt32] {
    try await connection.call { try await api.listPids(.with { $0.containerID = id }, metadata: metadata).processes.map(\.pid) }
  }

  func pause() async throws { _ = try await connection.call { try await api.pause(.with { $0.containerID = id }, metadata: metadata) } }

  func resume() async throws { _ = try await connection.call { try await api.resume(.with { $0.containerID = id }, metadata: metadata) } }

  func resize(exec: String?, width: UInt32, height: UInt32) async throws {
    _ = try await connection.call {
      try await api.resizePty(
        .with {
          $0.containerID = id
          $0.execID = exec ?? ""
          $0.width = width
          $0.height = height
        }, metadata: metadata)
    }
  }

  func closeStdin(exec: String?) async throws {
    _ = try await connection.call {
      try await api.closeIO(
        .with {
          $0.containerID = id
          $0.execID = exec ?? ""
          $0.stdin = true
        }, metadata: metadata)
    }
  }

  func update(_ resources: TypedValue, annotations: Labels) async throws {
    _ = try await connection.call {
      try await api.update(
        .with {
          $0.containerID = id
          $0.resources = resources.wire
          $0.annotations = annotations
        }, metadata: metadata)
    }
  }

  func stats() async throws -> TypedValue {
    let metrics = try await connection.call {
      try await api.metrics(.with { $0.filters = ["id==\(id)"] }, metadata: metadata).metrics
    }
    guard let own = metrics.first(where: { $0.id == id }) else { throw ContainerdError.notFound("statistics of task \(id)") }
    return TypedValue(wire: own.data)
  }

  func checkpoint(path: String, options: TypedValue?) async throws {
    _ = try await connection.call {
      try await api.checkpoint(
        .with {
          $0.containerID = id
          if let options { $0.options = options.wire }
        }, metadata: metadata)
    }
  }
}
