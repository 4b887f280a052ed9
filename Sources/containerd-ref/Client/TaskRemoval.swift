import Protocols

enum TaskRemoval {
  /// Ends the task, whatever it is doing, and frees it. No task is fine.
  static func force(_ task: any ContainerTask) async throws {
    do {
      if try await task.state(exec: nil).status != .stopped {
        do { try await task.kill(exec: nil, signal: 9, all: true) } catch let error as ContainerdError where error.code == .notFound {}
        _ = try await task.wait(exec: nil)
      }
      _ = try await task.delete(exec: nil)
    } catch let error as ContainerdError where error.code == .notFound {}
  }
}
