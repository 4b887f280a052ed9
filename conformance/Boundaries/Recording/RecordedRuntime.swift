import Protocols

/// Any runtime, with the making of tasks and the steps of their lives on a tape.
struct RecordedRuntime: Runtime {
  let base: any Runtime
  let tape: Tape

  var name: String { base.name }
  func create(_ request: TaskCreation) async throws -> any ContainerTask {
    let spec = String(decoding: request.spec.value, as: UTF8.self)
    return try await tape.perform(.runtime, "create", [request.namespace, request.id, request.runtime, spec], mounts: request.rootfs) {
      RecordedTask(base: try await base.create(request), tape: tape)
    }
  }
  func task(_ id: String, namespace: String) async throws -> any ContainerTask { RecordedTask(base: try await base.task(id, namespace: namespace), tape: tape) }
  func tasks(in namespace: String) async throws -> [any ContainerTask] {
    try await base.tasks(in: namespace).map { RecordedTask(base: $0, tape: tape) }
  }
}

private struct RecordedTask: ContainerTask {
  let base: any ContainerTask
  let tape: Tape

  var id: String { base.id }
  var namespace: String { base.namespace }

  func start(exec: String?) async throws -> UInt32 { try await tape.perform(.runtime, "start", [id, exec ?? ""]) { try await base.start(exec: exec) } }
  func kill(exec: String?, signal: UInt32, all: Bool) async throws {
    try await tape.perform(.runtime, "kill", [id, exec ?? "", "\(signal)"]) { try await base.kill(exec: exec, signal: signal, all: all) }
  }
  func wait(exec: String?) async throws -> ExitStatus { try await tape.perform(.runtime, "wait", [id, exec ?? ""]) { try await base.wait(exec: exec) } }
  func delete(exec: String?) async throws -> ExitStatus { try await tape.perform(.runtime, "delete", [id, exec ?? ""]) { try await base.delete(exec: exec) } }
  func exec(_ request: ExecCreation) async throws { try await tape.perform(.runtime, "exec", [id, request.id]) { try await base.exec(request) } }

  func state(exec: String?) async throws -> ProcessState { try await base.state(exec: exec) }
  func pids() async throws -> [UInt32] { try await base.pids() }
  func pause() async throws { try await base.pause() }
  func resume() async throws { try await base.resume() }
  func resize(exec: String?, width: UInt32, height: UInt32) async throws { try await base.resize(exec: exec, width: width, height: height) }
  func closeStdin(exec: String?) async throws { try await base.closeStdin(exec: exec) }
  func update(_ resources: TypedValue, annotations: Labels) async throws { try await base.update(resources, annotations: annotations) }
  func stats() async throws -> TypedValue { try await base.stats() }
  func checkpoint(path: String, options: TypedValue?) async throws { try await base.checkpoint(path: path, options: options) }
}
