import Protocols

// The methods that only hand on.
extension ShimTask {
  func state(exec: String?) async throws -> ProcessState {
    let timeout = context.configuration.stateTimeout
    let state = try await ask { try await $0.state(exec: exec, timeout: timeout) }
    if exec == nil, let exit = state.exit { noteExit(exit, published: false) }
    return state
  }

  func start(exec: String?) async throws -> UInt32 {
    let pid = try await ask { try await $0.start(exec: exec) }
    notePid(pid, exec: exec ?? "")
    return pid
  }

  func exec(_ request: ExecCreation) async throws {
    try Identifiers.validate(request.id, kind: "exec id")
    try await ask { try await $0.exec(request) }
  }

  func kill(exec: String?, signal: UInt32, all: Bool) async throws {
    try await ask { try await $0.kill(exec: exec, signal: signal, all: all) }
  }

  func pids() async throws -> [UInt32] { try await ask { try await $0.pids() } }
  func pause() async throws { try await ask { try await $0.pause() } }
  func resume() async throws { try await ask { try await $0.resume() } }
  func stats() async throws -> TypedValue { try await ask { try await $0.stats() } }

  func resize(exec: String?, width: UInt32, height: UInt32) async throws {
    try await ask { try await $0.resize(exec: exec, width: width, height: height) }
  }

  func closeStdin(exec: String?) async throws {
    try await ask { try await $0.closeStdin(exec: exec) }
  }

  func update(_ resources: TypedValue, annotations: Labels) async throws {
    try await ask { try await $0.update(resources, annotations: annotations) }
  }

  func checkpoint(path: String, options: TypedValue?) async throws {
    try await ask { try await $0.checkpoint(path: path, options: options) }
  }
}
