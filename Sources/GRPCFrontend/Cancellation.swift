import GRPCCore

/// Runs a body that may wait for long, and cancels it when the client goes away: a handler's task is not cancelled by itself.
func untilClientLeaves<Value: Sendable>(_ context: ServerContext, _ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
  try await withThrowingTaskGroup(of: Value?.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await context.cancellation.cancelled
      return nil
    }
    defer { group.cancelAll() }
    guard let first = try await group.next(), let value = first else { throw RPCError(code: .cancelled, message: "the client has left") }
    return value
  }
}
