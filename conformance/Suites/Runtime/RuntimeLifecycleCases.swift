import Protocols

extension RuntimeSuite {
  static let lifecycle: [ContractCase<RuntimeSubject>] = [
    ContractCase("runtime.create.created", "create makes the environment and runs nothing of the user's", "Runtime.create; law 6; RT-L11, LAW-06") { subject in
      let task = try await subject.create("a", .exits(0))
      let state = try await task.state(exec: nil)
      try expectEqual(state.status, .created, "status")
      try expectEqual(state.containerID, "a", "container")
      try expect(state.pid > 0, "no pid to find the namespaces by")
      try expect(state.exit == nil, "an exit status before the start: \(String(describing: state.exit))")
      _ = try await task.start(exec: nil)
      _ = try await inTime("the end") { try await task.wait(exec: nil) }
      _ = try await task.delete(exec: nil)
    },
    ContractCase("runtime.create.existing", "a container has one task", "Runtime.create; REF-R02") { subject in
      let task = try await subject.create()
      try await expectError(.alreadyExists, from: "a second task of one container") { _ = try await subject.create() }
      try await subject.expectStatus(task, .created)
      _ = try await task.delete(exec: nil)
    },
    ContractCase("runtime.create.bad-spec", "a spec that cannot be used is refused, and nothing is left", "Runtime.create; RT-O15, REF-R01") { subject in
      var request = try subject.creation("a", .waits)
      request.spec.value = []
      let broken = request
      try await expectError(.invalidArgument, from: "create with an empty spec") { _ = try await subject.runtime.create(broken) }
      try await expectError(.notFound, from: "the task of the failed creation") { _ = try await subject.runtime.task("a", namespace: broken.namespace) }
      _ = try await subject.create().delete(exec: nil)
    },
    ContractCase("runtime.find", "a task is found by its namespace and id", "Runtime.task, tasks; REF-R03") { subject in
      let namespace = try subject.creation("a", .waits).namespace
      try await expectError(.notFound, from: "a task that is not there") { _ = try await subject.runtime.task("a", namespace: namespace) }
      let tasks = [try await subject.create("a"), try await subject.create("b")]
      try expectEqual(try await subject.runtime.tasks(in: namespace).map(\.id).sorted(), ["a", "b"], "tasks of the namespace")
      try expectEqual(try await subject.runtime.tasks(in: "elsewhere").map(\.id), [], "tasks of another namespace")
      let found = try await subject.runtime.task("b", namespace: namespace)
      try expectEqual(found.namespace, namespace, "namespace")
      try expectEqual(try await found.state(exec: nil).pid, try await tasks[1].state(exec: nil).pid, "pid of the task that was found")
      try await expectError(.notFound, from: "the task in another namespace") { _ = try await subject.runtime.task("a", namespace: "elsewhere") }
      for task in tasks { _ = try await task.delete(exec: nil) }
      try expectEqual(try await subject.runtime.tasks(in: namespace).count, 0, "tasks left")
    },
    ContractCase("runtime.start.runs", "start runs the program, in the process that create made", "ContainerTask.start; law 6; RT-O22, LAW-06") { subject in
      let task = try await subject.create()
      let pid = try await task.state(exec: nil).pid
      try expectEqual(try await task.start(exec: nil), pid, "pid of the start")
      try await subject.expectStatus(task, .running)
      try expect(try await task.pids().contains(pid), "the pid is not among the task's")
      try await subject.end(task)
    },
    ContractCase("runtime.start.twice", "a program is started once", "ContainerTask.start; RT-O21, REF-R05") { subject in
      let task = try await subject.started()
      try await expectError(.failedPrecondition, from: "a second start") { _ = try await task.start(exec: nil) }
      try await subject.expectStatus(task, .running)
      try await task.kill(exec: nil, signal: 9, all: false)
      _ = try await inTime("the end") { try await task.wait(exec: nil) }
      try await expectError(.failedPrecondition, from: "a start after the end") { _ = try await task.start(exec: nil) }
      _ = try await task.delete(exec: nil)
    },
    ContractCase("runtime.delete.created", "a task that never ran can be deleted", "ContainerTask.delete; SH-08; REF-R11") { subject in
      let task = try await subject.create()
      _ = try await inTime("the deletion") { try await task.delete(exec: nil) }
      try await expectError(.notFound, from: "state after the deletion") { _ = try await task.state(exec: nil) }
      _ = try await subject.create().delete(exec: nil)
    },
    ContractCase("runtime.delete.running", "a task that runs cannot be deleted", "ContainerTask.delete; SH-08; REF-R11") { subject in
      let task = try await subject.started()
      try await expectError(.failedPrecondition, from: "delete of a running task") { _ = try await task.delete(exec: nil) }
      try await subject.expectStatus(task, .running)
      try await subject.end(task)
    },
    ContractCase("runtime.delete.ends-all", "a deleted task is not found by anything, and the id is free", "ContainerTask; RT-O44, REF-R04") { subject in
      let task = try await subject.started()
      let request = try subject.exec("a", "e", .waits)
      try await subject.end(task)
      try await expectError(.notFound, from: "state") { _ = try await task.state(exec: nil) }
      try await expectError(.notFound, from: "start") { _ = try await task.start(exec: nil) }
      try await expectError(.notFound, from: "kill") { try await task.kill(exec: nil, signal: 9, all: false) }
      try await expectError(.notFound, from: "wait") { _ = try await inTime("wait") { try await task.wait(exec: nil) } }
      try await expectError(.notFound, from: "delete") { _ = try await task.delete(exec: nil) }
      try await expectError(.notFound, from: "pids") { _ = try await task.pids() }
      try await expectError(.notFound, from: "exec") { try await task.exec(request) }
      try await expectError(.notFound, from: "pause") { try await task.pause() }
      try await expectError(.notFound, from: "looking for it") { _ = try await subject.runtime.task("a", namespace: task.namespace) }
      try await subject.end(try await subject.started())
    },
    ContractCase("runtime.race.create", "of many that create one task, one does", "Runtime.create, concurrency; REF-R02") { subject in
      let request = try subject.creation("a", .waits)
      let results = try await concurrently(6) { _ in _ = try await subject.runtime.create(request) }
      try expectOneWinner(results, others: .alreadyExists, what: "creating one task")
      _ = try await subject.runtime.task("a", namespace: request.namespace).delete(exec: nil)
    },
    ContractCase("runtime.race.start", "of many that start one task, one does", "ContainerTask.start, concurrency; REF-R05") { subject in
      let task = try await subject.create()
      let results = try await concurrently(6) { _ in _ = try await task.start(exec: nil) }
      try expectOneWinner(results, others: .failedPrecondition, what: "starting one task")
      try await subject.end(task)
    },
  ]

  static let ends: [ContractCase<RuntimeSubject>] = [
    ContractCase("runtime.exit.code", "the exit code is what the program exited with", "ExitStatus; SH-05; REF-R17") { subject in
      for (number, code) in [UInt32(0), 1, 3, 42, 255].enumerated() {
        let before = Timestamp.now().advanced(bySeconds: -2)
        let task = try await subject.started("a\(number)", .exits(code))
        let pid = try? await task.state(exec: nil).pid  // it may be gone from the state by now
        let exit = try await inTime("the end") { try await task.wait(exec: nil) }
        try expectEqual(exit.code, code, "exit code")
        if let pid { try expectEqual(exit.pid, pid, "pid") }
        try expect(exit.exitedAt >= before && exit.exitedAt <= Timestamp.now().advanced(bySeconds: 2), "exited at \(exit.exitedAt)")
        let state = try await task.state(exec: nil)
        try expectEqual(state.status, .stopped, "status")
        try expectEqual(state.exit, exit, "exit status in the state")
        try expectEqual(try await task.delete(exec: nil), exit, "exit status of the deletion")
      }
    },
    ContractCase("runtime.exit.signal", "a process that a signal ended has 128 and the signal as its code", "ExitStatus; REF-R17") { subject in
      let task = try await subject.started()
      try await task.kill(exec: nil, signal: 9, all: false)
      try expectEqual(try await inTime("the end") { try await task.wait(exec: nil) }.code, 137, "exit code after SIGKILL")
      try expectEqual(try await task.delete(exec: nil).code, 137, "exit code of the deletion")
    },
    ContractCase("runtime.wait.everybody", "all waiters, early and late, get the same answer", "ContainerTask.wait; SH-06; REF-R10") { subject in
      let task = try await subject.create()
      let early = (0..<4).map { _ in Task { try await task.wait(exec: nil) } }
      _ = try await task.start(exec: nil)
      let running = (0..<4).map { _ in Task { try await task.wait(exec: nil) } }
      try await Task.sleep(for: .milliseconds(50))
      try await task.kill(exec: nil, signal: 9, all: false)
      let late = try await inTime("the end") { try await task.wait(exec: nil) }
      for waiter in early + running { try expectEqual(try await inTime("a waiter's answer") { try await waiter.value }, late, "answer of a waiter") }
      try expectEqual(try await task.wait(exec: nil), late, "answer when asked again")
      _ = try await task.delete(exec: nil)
    },
    ContractCase("runtime.wait.cancelled", "a waiter that gives up takes nothing from the others", "ContainerTask.wait; REF-R10") { subject in
      let task = try await subject.started()
      let impatient = Task { try await task.wait(exec: nil) }
      let patient = Task { try await task.wait(exec: nil) }
      try await Task.sleep(for: .milliseconds(20))
      impatient.cancel()
      let gaveUp = try await inTime("the answer to a waiter that gave up") { await impatient.result }
      if case .success(let exit) = gaveUp { throw Mismatch(description: "the waiter of a running task got \(exit)") }
      try await task.kill(exec: nil, signal: 9, all: false)
      try expectEqual(try await inTime("the end") { try await patient.value }.code, 137, "exit code")
      _ = try await task.delete(exec: nil)
    },
    ContractCase("runtime.kill.finished", "what has ended cannot be signalled", "ContainerTask.kill; SH-07; REF-R09") { subject in
      let task = try await subject.started("a", .exits(0))
      _ = try await inTime("the end") { try await task.wait(exec: nil) }
      try await expectError(.notFound, from: "kill after the end") { try await task.kill(exec: nil, signal: 9, all: false) }
      _ = try await task.delete(exec: nil)
    },
    ContractCase("runtime.kill.probe", "signal 0 asks and does nothing", "ContainerTask.kill; SH-07; REF-R09") { subject in
      let task = try await subject.started()
      try await task.kill(exec: nil, signal: 0, all: false)
      try await subject.expectStatus(task, .running)
      try await subject.end(task)
    },
  ]
}
