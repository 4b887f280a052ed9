import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of runtimes and tasks.
enum TaskMutants {
  static let all: [Mutant] = controls + lifecycle + ends + execs + control

  private static let controls: [Mutant] = [
    runtime("identity-runtime", "every call is handed on unchanged", kills: []) { _ in },
    task("slow-runtime", "starting and waiting take a little longer", kills: []) {
      $0.onStart = { base, exec in
        try await Task.sleep(for: .milliseconds(5))
        return try await base.start(exec: exec)
      }
      $0.onWait = { base, exec in
        let exit = try await base.wait(exec: exec)
        try await Task.sleep(for: .milliseconds(5))
        return exit
      }
    },
  ]

  private static let lifecycle: [Mutant] = [
    runtime("create-starts", "create runs the program", kills: ["runtime.create.created"], symptom: "status: expected created") {
      $0.onCreate = { base, request in
        let task = try await base.create(request)
        _ = try await task.start(exec: nil)
        return task
      }
    },
    runtime(
      "create-shares", "a second creation gives the task of the first", kills: ["runtime.create.existing", "runtime.race.create"], symptom: "succeeded"
    ) {
      $0.onCreate = { base, request in
        do { return try await base.create(request) } catch let error as ContainerdError where error.code == .alreadyExists {
          return try await base.task(request.id, namespace: request.namespace)
        }
      }
    },
    runtime("create-any-spec", "a spec that cannot be used makes a container all the same", kills: ["runtime.create.bad-spec"], symptom: "it succeeded") {
      $0.onCreate = { base, request in
        var request = request
        if request.spec.value.isEmpty { request.spec.value = [1] }
        return try await base.create(request)
      }
    },
    runtime("tasks-everywhere", "the tasks of one namespace are seen from all", kills: ["runtime.find"], symptom: "tasks of another namespace") {
      $0.onTasks = { base, _ in try await base.tasks(in: "default") }
    },
    task("start-another-pid", "start tells the pid of another process", kills: ["runtime.start.runs"], symptom: "pid of the start") {
      $0.onStart = { base, exec in try await base.start(exec: exec) + 1 }
    },
    task("start-again", "a second start is taken for done", kills: ["runtime.start.twice", "runtime.race.start"], symptom: "succeeded") {
      $0.onStart = { base, exec in
        do { return try await base.start(exec: exec) } catch let error as ContainerdError where error.code == .failedPrecondition {
          return try await base.state(exec: exec).pid
        }
      }
    },
    task("delete-created-nothing", "the deletion of what never ran does nothing", kills: ["runtime.delete.created"], symptom: "state after the deletion") {
      $0.onDelete = { base, exec in
        let state = try await base.state(exec: exec)
        if state.status == .created { return ExitStatus(pid: state.pid, code: 137, exitedAt: Timestamp.now()) }
        return try await base.delete(exec: exec)
      }
    },
    task("delete-kills", "delete ends what runs", kills: ["runtime.delete.running", "runtime.pause.delete"], symptom: "it succeeded") {
      $0.onDelete = { base, exec in
        do { return try await base.delete(exec: exec) } catch let error as ContainerdError where error.code == .failedPrecondition {
          try await base.kill(exec: exec, signal: 9, all: true)
          return try await base.delete(exec: exec)
        }
      }
    },
    task("deleted-answers-wait", "whoever waits for a deleted task is told 0", kills: ["runtime.delete.ends-all"], symptom: "wait: expected") {
      $0.onWait = { base, exec in
        do { return try await base.wait(exec: exec) } catch let error as ContainerdError where error.code == .notFound && exec == nil {
          return ExitStatus(pid: 0, code: 0, exitedAt: Timestamp.now())
        }
      }
    },
  ]

  private static let ends: [Mutant] = [
    task("exit-code-cut", "exit codes lose their highest bit", kills: ["runtime.exit.code"], symptom: "exit code") {
      $0.onWait = { base, exec in
        var exit = try await base.wait(exec: exec)
        if exit.code == 255 { exit.code &= 0x7f }
        return exit
      }
    },
    task("exit-signal-alone", "after a signal the code is the signal", kills: ["runtime.exit.signal"], symptom: "exit code after SIGKILL") {
      $0.onWait = { base, exec in
        var exit = try await base.wait(exec: exec)
        if exit.code == 137 { exit.code = 9 }
        return exit
      }
    },
    task("wait-time-of-answer", "every waiter is told the time of its own answer", kills: ["runtime.wait.everybody"], symptom: "answer") {
      $0.onWait = { base, exec in
        var exit = try await base.wait(exec: exec)
        exit.exitedAt = Timestamp.now()
        return exit
      }
    },
    task("wait-given-up-answers", "a waiter that gives up is told an exit", kills: ["runtime.wait.cancelled"], symptom: "the waiter of a running task got") {
      $0.onWait = { base, exec in
        do { return try await base.wait(exec: exec) } catch let error as ContainerdError where error.code == .canceled {
          return ExitStatus(pid: 0, code: 255, exitedAt: Timestamp.now())
        }
      }
    },
    task("kill-finished-silent", "a signal to what has ended is taken for delivered", kills: ["runtime.kill.finished"], symptom: "kill after the end") {
      $0.onKill = { base, exec, signal, all in
        do { try await base.kill(exec: exec, signal: signal, all: all) } catch let error as ContainerdError where error.code == .notFound {
          _ = try await base.state(exec: exec)
        }
      }
    },
    task("kill-zero-ends", "signal 0 is taken for the usual signal", kills: ["runtime.kill.probe"], symptom: "status of the init") {
      $0.onKill = { base, exec, signal, all in try await base.kill(exec: exec, signal: signal == 0 ? 15 : signal, all: all) }
    },
  ]

  private static let execs: [Mutant] = [
    task("exec-delete-keeps", "a deleted exec stays", kills: ["runtime.exec.lifecycle"], symptom: "state of a deleted exec") {
      $0.onDelete = { base, exec in
        if exec != nil, let exit = try await base.state(exec: exec).exit { return exit }
        return try await base.delete(exec: exec)
      }
    },
    task("exec-id-shared", "a second exec of one id is taken for the first", kills: ["runtime.exec.existing"], symptom: "a second exec of one id") {
      $0.onExec = { base, request in
        do { try await base.exec(request) } catch let error as ContainerdError where error.code == .alreadyExists {}
      }
    },
    task("exec-while-paused", "an exec is added to a paused task", kills: ["runtime.exec.states"], symptom: "exec in a paused task") {
      $0.onExec = { base, request in
        guard try await base.state(exec: nil).status == .paused else { return try await base.exec(request) }
        try await base.resume()
        try await base.exec(request)
        try await base.pause()
      }
    },
    task("exec-unknown-is-init", "an exec that is not there is taken for the init", kills: ["runtime.exec.unknown"], symptom: "state: expected") {
      $0.onState = { base, exec in
        do { return try await base.state(exec: exec) } catch let error as ContainerdError where error.code == .notFound && exec != nil {
          return try await base.state(exec: nil)
        }
      }
    },
    task("exec-kill-ends-init", "a signal to an exec reaches the init", kills: ["runtime.exec.killed-alone"], symptom: "status of the init") {
      $0.onKill = { base, exec, signal, all in
        try await base.kill(exec: exec, signal: signal, all: all)
        if exec != nil { try await base.kill(exec: nil, signal: signal, all: all) }
      }
    },
    task("exec-end-by-init-zero", "an exec that ended with the init has the code 0", kills: ["runtime.exec.ends-with-init"], symptom: "exit code of") {
      $0.onWait = { base, exec in
        var exit = try await base.wait(exec: exec)
        if exec != nil, try await base.state(exec: nil).status == .stopped { exit.code = 0 }
        return exit
      }
    },
  ]

  private static let control: [Mutant] = [
    task("pause-nothing", "pause does nothing", kills: ["runtime.pause.and-resume"], symptom: "status of the init: expected paused") {
      $0.onPause = { base in _ = try await base.state(exec: nil) }
      $0.onResume = { base in _ = try await base.state(exec: nil) }
    },
    task("pause-created-silent", "a pause of what does not run is taken for done", kills: ["runtime.pause.created"], symptom: "pause of a created task") {
      $0.onPause = { base in
        do { try await base.pause() } catch let error as ContainerdError where error.code == .failedPrecondition {}
      }
    },
    task("stats-untyped", "metrics have no known type", kills: ["runtime.stats.running"], symptom: "metrics of the type") {
      $0.onStats = { base in TypedValue(typeURL: "example.Metrics", value: try await base.stats().value) }
    },
    task("pids-init-only", "only the init is told", kills: ["runtime.pids.all"], symptom: "without") {
      $0.onPids = { base in [try await base.state(exec: nil).pid] }
    },
  ]

  private static func runtime(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout RuntimeWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .shim, kills: kills, symptom: symptom) { $0.wrap(RuntimeSubject.self) { $0.runtime = RuntimeWrapper($0.runtime, change) } }
  }
  private static func task(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout TaskWrapper) -> Void
  ) -> Mutant {
    runtime(id, sentence, kills: kills, symptom: symptom) { $0.task = change }
  }
}
