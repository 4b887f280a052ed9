import ConformanceSuites
import Protocols

/// Does operations with the task of one container.
package struct TaskDriver: Sendable {
  package let subject: RuntimeSubject
  package let id: String
  package init(_ subject: RuntimeSubject, id: String) {
    self.subject = subject
    self.id = id
  }

  package func perform(_ operation: TaskOperation) async throws -> Came<TaskAnswer> {
    try await Came<TaskAnswer> {
      let creation = try subject.creation(id, .waits)
      if operation == .create {
        _ = try await subject.runtime.create(creation)
        return .done
      }
      let task = try await subject.runtime.task(id, namespace: creation.namespace)
      switch operation {
      case .create: return .done
      case .start(let exec):
        let pid = try await task.start(exec: exec)
        if pid == 0 { throw Finding(kind: "pid", what: operation.description, expected: "a pid", actual: "0") }
        return .done
      case .kill(let exec):
        try await task.kill(exec: exec, signal: 9, all: false)
        return .exit(try await inTime("the end of \(exec ?? "the task") after SIGKILL") { try await task.wait(exec: exec) }.code)
      case .delete(let exec):
        _ = try await task.delete(exec: exec)
        return .done
      case .state(let exec): return .status(try await task.state(exec: exec).status)
      case .pause: try await task.pause()
      case .resume: try await task.resume()
      case .exec(let exec): try await task.exec(subject.exec(id, exec, .waits))
      }
      return .done
    }
  }

  /// Ends and deletes whatever is left.
  package func end() async throws {
    do {
      let task = try await subject.runtime.task(id, namespace: try subject.creation(id, .waits).namespace)
      if try await task.state(exec: nil).status == .paused { try await task.resume() }
      do { try await task.kill(exec: nil, signal: 9, all: true) } catch let error as ContainerdError where error.code == .notFound {}
      _ = try await inTime("the end of task \(id)") { try await task.wait(exec: nil) }
      _ = try await task.delete(exec: nil)
    } catch let error as ContainerdError where error.code == .notFound {}
  }
}
