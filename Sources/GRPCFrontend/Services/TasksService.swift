import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct TasksService: Containerd_Services_Tasks_V1_Tasks.SimpleServiceProtocol {
  let metadata: any MetadataStore
  let runtime: any Runtime

  private func task(_ container: String) async throws -> any ContainerTask {
    try await runtime.task(container, namespace: RequestScope.required().namespace)
  }

  func create(request: Containerd_Services_Tasks_V1_CreateTaskRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_CreateTaskResponse {
    let scope = try RequestScope.required()
    if request.hasCheckpoint { throw ContainerdError.notImplemented("restoring task \(request.containerID) from a checkpoint") }
    let container = try await metadata.containers(in: scope).get(request.containerID)
    guard let spec = container.spec else { throw ContainerdError.failedPrecondition("container \(container.id) has no spec") }
    let creation =
      TaskCreation(
        namespace: scope.namespace, id: container.id, spec: spec, rootfs: request.rootfs.map(Mount.init(wire:)),
        io: TaskIO(stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal),
        options: request.hasOptions ? TypedValue(wire: request.options) : container.runtimeOptions,
        runtime: request.runtimePath.isEmpty ? container.runtime : request.runtimePath)
    // A client that hangs up before it learns of the task leaves none behind.
    let task = try await untilClientLeaves(context) { [runtime] in try await runtime.create(creation) }
    let state = try await task.state(exec: nil)
    return .with {
      $0.containerID = container.id
      $0.pid = state.pid
    }
  }

  func start(request: Containerd_Services_Tasks_V1_StartRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_StartResponse {
    let pid = try await task(request.containerID).start(exec: optional(request.execID))
    return .with { $0.pid = pid }
  }

  func delete(request: Containerd_Services_Tasks_V1_DeleteTaskRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_DeleteResponse {
    let exit = try await task(request.containerID).delete(exec: nil)
    return exit.wire(id: request.containerID)
  }

  func deleteProcess(
    request: Containerd_Services_Tasks_V1_DeleteProcessRequest, context: ServerContext
  ) async throws -> Containerd_Services_Tasks_V1_DeleteResponse {
    if request.execID.isEmpty { throw ContainerdError.invalidArgument("exec id must not be empty") }
    let exit = try await task(request.containerID).delete(exec: request.execID)
    return exit.wire(id: request.execID)
  }

  func get(request: Containerd_Services_Tasks_V1_GetRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_GetResponse {
    let state = try await task(request.containerID).state(exec: optional(request.execID))
    return .with { $0.process = state.wire }
  }

  func list(request: Containerd_Services_Tasks_V1_ListTasksRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_ListTasksResponse {
    var states: [ProcessState] = []
    for task in try await runtime.tasks(in: RequestScope.required().namespace) {
      // A task may end and be deleted while we list.
      do { states.append(try await task.state(exec: nil)) } catch let error as ContainerdError where error.code == .notFound {}
    }
    return .with { $0.tasks = states.sorted { $0.containerID < $1.containerID }.map(\.wire) }
  }

  func kill(request: Containerd_Services_Tasks_V1_KillRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await task(request.containerID).kill(exec: optional(request.execID), signal: request.signal, all: request.all)
    return Google_Protobuf_Empty()
  }

  func exec(request: Containerd_Services_Tasks_V1_ExecProcessRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    if request.execID.isEmpty { throw ContainerdError.invalidArgument("exec id must not be empty") }
    try Identifiers.validate(request.execID, kind: "exec id")
    try await task(request.containerID).exec(
      ExecCreation(
        id: request.execID, process: TypedValue(wire: request.spec),
        io: TaskIO(stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal)))
    return Google_Protobuf_Empty()
  }

  func resizePty(request: Containerd_Services_Tasks_V1_ResizePtyRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await task(request.containerID).resize(exec: optional(request.execID), width: request.width, height: request.height)
    return Google_Protobuf_Empty()
  }

  func closeIO(request: Containerd_Services_Tasks_V1_CloseIORequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    if request.stdin { try await task(request.containerID).closeStdin(exec: optional(request.execID)) }
    return Google_Protobuf_Empty()
  }

  func pause(request: Containerd_Services_Tasks_V1_PauseTaskRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await task(request.containerID).pause()
    return Google_Protobuf_Empty()
  }

  func resume(request: Containerd_Services_Tasks_V1_ResumeTaskRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await task(request.containerID).resume()
    return Google_Protobuf_Empty()
  }

  func listPids(request: Containerd_Services_Tasks_V1_ListPidsRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_ListPidsResponse {
    let pids = try await task(request.containerID).pids()
    return .with { $0.processes = pids.map { pid in .with { $0.pid = pid } } }
  }

  func checkpoint(
    request: Containerd_Services_Tasks_V1_CheckpointTaskRequest, context: ServerContext
  ) async throws -> Containerd_Services_Tasks_V1_CheckpointTaskResponse {
    throw ContainerdError.notImplemented("checkpoint of task \(request.containerID)")
  }

  func update(request: Containerd_Services_Tasks_V1_UpdateTaskRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await task(request.containerID).update(TypedValue(wire: request.resources), annotations: request.annotations)
    return Google_Protobuf_Empty()
  }

  func metrics(request: Containerd_Services_Tasks_V1_MetricsRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_MetricsResponse {
    let scope = try RequestScope.required()
    let filters = try FilterSet(parsing: request.filters)
    var response = Containerd_Services_Tasks_V1_MetricsResponse()
    for task in try await runtime.tasks(in: scope.namespace) where filters.matches(TaskName(id: task.id, namespace: task.namespace)) {
      // A task that has ended has no statistics any more; the others' are still wanted.
      guard let stats = try? await task.stats() else { continue }
      response.metrics.append(
        .with {
          $0.timestamp = Timestamp.now().wire
          $0.id = task.id
          $0.data = stats.wire
        })
    }
    return response
  }

  func wait(request: Containerd_Services_Tasks_V1_WaitRequest, context: ServerContext) async throws -> Containerd_Services_Tasks_V1_WaitResponse {
    let task = try await task(request.containerID)
    let exit = try await untilClientLeaves(context) { try await task.wait(exec: optional(request.execID)) }
    return .with {
      $0.exitStatus = exit.code
      $0.exitedAt = exit.exitedAt.wire
    }
  }
}

private struct TaskName: Filterable {
  let id: String
  let namespace: String
  func filterValue(_ path: [String]) -> String? { path == ["id"] ? id : path == ["namespace"] ? namespace : nil }
}
