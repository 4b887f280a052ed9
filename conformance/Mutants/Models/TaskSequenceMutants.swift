import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of runtimes that only some ways through a task's life show.
enum TaskSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD61", "a task that was paused and resumed can be started again", kills: ["runtime.model.exhaustive", "runtime.model.random"], symptom: "start") {
      task in
      let resumed = Memory(false)
      task.onResume = { base in
        try await base.resume()
        resumed.with { $0 = true }
      }
      task.onStart = { base, exec in
        do { return try await base.start(exec: exec) } catch {
          if exec == nil, resumed.value { return try await base.state(exec: nil).pid }
          throw error
        }
      }
    },
    mutant("MD62", "the second kill of a task that was paused is told to have succeeded", kills: ["runtime.model.exhaustive"], symptom: "kill") { task in
      let paused = Memory(false)
      task.onPause = { base in
        try await base.pause()
        paused.with { $0 = true }
      }
      task.onKill = { base, exec, signal, all in
        do { try await base.kill(exec: exec, signal: signal, all: all) } catch { if exec != nil || !paused.value { throw error } }
      }
    },
    mutant("MD63", "the id of a deleted exec is still taken", kills: ["runtime.model.random"], symptom: "already exists") { task in
      let used = Memory<Set<String>>([])
      task.onDelete = { base, exec in
        let exit = try await base.delete(exec: exec)
        if let exec { used.with { _ = $0.insert(exec) } }
        return exit
      }
      task.onExec = { base, request in
        if used.value.contains(request.id) { throw ContainerdError.alreadyExists("exec \(request.id)") }
        try await base.exec(request)
      }
    },
  ]

  static let events: [Mutant] = [
    told("MD64", "the end of a task is told again for an exec that ended by itself") { events in
      let ends = events.filter { if case .taskExit = $0.event { true } else { false } }
      guard let first = ends.first, case .taskExit(let container, let id, _) = first.event, container != id else { return events }
      return events + [first]
    },
    told("MD65", "with the init's end told first, the execs' come after it") { events in
      guard let place = events.lastIndex(where: { if case .taskExit(let container, let id, _) = $0.event { container == id } else { false } }), place > 0,
        case .taskExit(let container, let id, _) = events[place - 1].event, container != id
      else { return events }
      var events = events
      events.swapAt(place, place - 1)
      return events
    },
  ]

  private static func told(_ id: String, _ sentence: String, _ change: @escaping @Sendable ([EventEnvelope]) -> [EventEnvelope]) -> Mutant {
    Mutant(id, sentence, in: .shim, kills: ["tasks.model.events"], symptom: "the events of the task", scope: ["tasks.model"]) {
      $0.wrap(RuntimeSubject.self) { subject in
        if let published = subject.published { subject.published = { change(published()) } }
      }
    }
  }

  static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout TaskWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .lifecycle, kills: kills, symptom: symptom, scope: ["runtime.model"]) {
      $0.wrap(RuntimeSubject.self) { $0.runtime = SequenceRuntime(base: $0.runtime, change: change) }
    }
  }
}

/// A runtime whose tasks are wrapped; a task is the same one each time it is looked for.
private final class SequenceRuntime: Runtime {
  let base: any Runtime
  let change: @Sendable (inout TaskWrapper) -> Void
  let made = Memory<[String: TaskWrapper]>([:])
  init(base: any Runtime, change: @escaping @Sendable (inout TaskWrapper) -> Void) {
    self.base = base
    self.change = change
  }
  var name: String { base.name }
  func create(_ request: TaskCreation) async throws -> any ContainerTask {
    let task = TaskWrapper(try await base.create(request), change)
    made.with { $0[request.id] = task }
    return task
  }
  func task(_ id: String, namespace: String) async throws -> any ContainerTask {
    let found = try await base.task(id, namespace: namespace)
    return made.value[id] ?? found
  }
  func tasks(in namespace: String) async throws -> [any ContainerTask] { try await base.tasks(in: namespace) }
}
