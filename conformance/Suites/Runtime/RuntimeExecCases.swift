import Protocols

extension RuntimeSuite {
  static let execs: [ContractCase<RuntimeSubject>] = [
    ContractCase("runtime.exec.lifecycle", "an exec is added, started, ended and deleted by itself", "ContainerTask.exec; REF-R08") { subject in
      let task = try await subject.started()
      try await task.exec(subject.exec("a", "e", .exits(7)))
      try await subject.expectStatus(task, exec: "e", .created)
      let pid = try await task.start(exec: "e")
      try expect(pid > 0, "pid \(pid)")
      let exit = try await inTime("the end of the exec") { try await task.wait(exec: "e") }
      try expectEqual(exit.code, 7, "exit code")
      try await subject.expectStatus(task, exec: "e", .stopped)
      try expectEqual(try await task.delete(exec: "e"), exit, "exit status of the deletion")
      try await expectError(.notFound, from: "state of a deleted exec") { _ = try await task.state(exec: "e") }
      try await subject.expectStatus(task, .running)
      try await task.exec(subject.exec("a", "e", .exits(0)))
      _ = try await task.delete(exec: "e")
      try await subject.end(task)
    },
    ContractCase("runtime.exec.existing", "an exec's id is taken until it is deleted", "ContainerTask.exec; REF-R07") { subject in
      let task = try await subject.started()
      let request = try subject.exec("a", "e", .waits)
      try await task.exec(request)
      try await expectError(.alreadyExists, from: "a second exec of one id") { try await task.exec(request) }
      _ = try await task.start(exec: "e")
      try await expectError(.alreadyExists, from: "a second exec of one id, while it runs") { try await task.exec(request) }
      try await subject.end(task)
    },
    ContractCase("runtime.exec.states", "an exec can be added from creation on, not while the task is paused, not after its end", "ContainerTask.exec; REF-R06")
    {
      subject in
      let task = try await subject.create()
      try await task.exec(subject.exec("a", "early", .waits))
      try await subject.expectStatus(task, exec: "early", .created)
      _ = try await task.start(exec: nil)
      let request = try subject.exec("a", "e", .waits)
      try await task.pause()
      try await expectError(.failedPrecondition, from: "exec in a paused task") { try await task.exec(request) }
      try await task.resume()
      try await task.kill(exec: nil, signal: 9, all: false)
      _ = try await inTime("the end") { try await task.wait(exec: nil) }
      try await expectError(.failedPrecondition, from: "exec in a stopped task") { try await task.exec(request) }
      _ = try await task.delete(exec: nil)
    },
    ContractCase("runtime.exec.unknown", "an exec that is not there is not found", "ContainerTask; REF-R04") { subject in
      let task = try await subject.started()
      try await expectError(.notFound, from: "state") { _ = try await task.state(exec: "none") }
      try await expectError(.notFound, from: "start") { _ = try await task.start(exec: "none") }
      try await expectError(.notFound, from: "kill") { try await task.kill(exec: "none", signal: 9, all: false) }
      try await expectError(.notFound, from: "wait") { _ = try await inTime("wait") { try await task.wait(exec: "none") } }
      try await expectError(.notFound, from: "delete") { _ = try await task.delete(exec: "none") }
      try await subject.end(task)
    },
    ContractCase("runtime.exec.killed-alone", "a signal to an exec does not reach the init", "ContainerTask.kill; REF-R08, REF-R09") { subject in
      let task = try await subject.started()
      try await task.exec(subject.exec("a", "e", .waits))
      _ = try await task.start(exec: "e")
      try await expectError(.failedPrecondition, from: "delete of a running exec") { _ = try await task.delete(exec: "e") }
      try await expectError(.failedPrecondition, from: "a second start of the exec") { _ = try await task.start(exec: "e") }
      try await task.kill(exec: "e", signal: 9, all: false)
      try expectEqual(try await inTime("the end of the exec") { try await task.wait(exec: "e") }.code, 137, "exit code")
      try await subject.expectStatus(task, .running)
      try await subject.end(task)
    },
    ContractCase("runtime.exec.ends-with-init", "with the init end all execs", "ContainerTask; SH-04; REF-R20") { subject in
      let task = try await subject.started()
      for id in ["e", "f"] {
        try await task.exec(subject.exec("a", id, .waits))
        _ = try await task.start(exec: id)
      }
      try await task.kill(exec: nil, signal: 9, all: false)
      for id in ["e", "f"] { try expectEqual(try await inTime("the end of \(id)") { try await task.wait(exec: id) }.code, 137, "exit code of \(id)") }
      _ = try await inTime("the end of the init") { try await task.wait(exec: nil) }
      _ = try await task.delete(exec: nil)
    },
  ]

  static let control: [ContractCase<RuntimeSubject>] = [
    ContractCase("runtime.pause.and-resume", "a paused task runs again when it is resumed", "ContainerTask.pause, resume; REF-R14") { subject in
      let task = try await subject.started()
      try await task.pause()
      try await subject.expectStatus(task, .paused)
      try await task.resume()
      try await subject.expectStatus(task, .running)
      try await subject.end(task)
    },
    ContractCase(
      "runtime.pause.created", "what does not run cannot be paused, what is not paused not resumed", "ContainerTask.pause, resume; REF-R15", level: .should
    ) {
      subject in
      let task = try await subject.create()
      try await expectError(.failedPrecondition, from: "pause of a created task") { try await task.pause() }
      _ = try await task.start(exec: nil)
      try await expectError(.failedPrecondition, from: "resume of a running task") { try await task.resume() }
      try await subject.end(task)
    },
    ContractCase("runtime.pause.delete", "a paused task cannot be deleted", "ContainerTask.delete; REF-R11, REF-R21") { subject in
      let task = try await subject.started()
      try await task.pause()
      try await expectError(.failedPrecondition, from: "delete of a paused task") { _ = try await task.delete(exec: nil) }
      try await task.resume()
      try await subject.end(task)
    },
    ContractCase("runtime.stats.running", "a running task has metrics of a known type", "ContainerTask.stats; REF-R16") { subject in
      let task = try await subject.started()
      let type = try await task.stats().typeURL
      try expect(["io.containerd.cgroups.v1.Metrics", "io.containerd.cgroups.v2.Metrics"].contains(type), "metrics of the type \(type)")
      try await subject.end(task)
    },
    ContractCase("runtime.pids.all", "pids tells the init and the execs that run", "ContainerTask.pids; REF-R13") { subject in
      let task = try await subject.started()
      try await task.exec(subject.exec("a", "e", .waits))
      let added = try await task.start(exec: "e")
      let first = try await task.state(exec: nil).pid
      let pids = Set(try await task.pids())
      try expect(pids.isSuperset(of: [first, added]), "pids \(pids.sorted()) without \(first) or \(added)")
      try await subject.end(task)
    },
  ]
}
