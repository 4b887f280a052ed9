import ConformanceSuites
import ContainerdAPI
import Protocols

extension ShimSuite {
  static let events: [ContractCase<ShimSubject>] = [
    ContractCase(
      "shim.events.order", "a task is told as created, started, ended and deleted, in that order", "SHIM-07; SH-03",
      why: "Who follows the events counts a container as running after its exit.", threads: ["containerd/containerd#7111"]
    ) { subject in
      let task = try await subject.started("c", ShimSubject.Program("exit 3"))
      _ = try await task.wait()
      try await task.finish()
      let events = try await subject.events(of: task.id, until: "/tasks/delete")
      try expectEqual(events.map(\.topic), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"], "events of a task")
    },
    ContractCase(
      "shim.events.never-started", "a task that never ran is told as created and deleted", "SHIM-07; SH-03", level: .should,
      why: "Who counts containers by their events counts one too many for ever."
    ) { subject in
      let task = try await subject.created()
      try await task.finish()
      let events = try await subject.events(of: task.id, until: "/tasks/delete")
      try expect(events.first?.topic == "/tasks/create" && events.last?.topic == "/tasks/delete", "events of a task that never ran: \(events)")
      try expect(!events.contains { $0.topic == "/tasks/start" }, "a start was told of a task that never ran: \(events)")
    },
    ContractCase(
      "shim.events.exec-order", "an exec is told as added, started and ended, in that order, however short it is", "SHIM-08; SH-03",
      why: "An exec that is told as ended before it was started hangs in its client.", threads: ["containerd/containerd#7111"]
    ) { subject in
      let task = try await subject.started()
      for name in ["e", "f", "g"] {
        try await task.exec(name, ShimSubject.Program("exit 0"))
        try await task.start(name)
        _ = try await task.wait(name)
        let events = try await subject.events(of: task.id, until: "/tasks/exit", process: name).filter { $0.process == name }
        try expectEqual(events.map(\.topic), ["/tasks/exec-added", "/tasks/exec-started", "/tasks/exit"], "events of the exec \(name)")
        try await task.delete(name)
      }
      try await task.end()
    },
    ContractCase(
      "shim.events.exec-before-init", "the end of an exec is told before the end of the task", "SH-04; REF-R20",
      why: "Who has been told that the task is over listens no more: the exec's client waits for ever.", threads: ["containerd/containerd#9719"]
    ) { subject in
      let task = try await subject.started()
      for name in ["e", "f"] {
        try await task.exec(name, ShimSubject.Program())
        try await task.start(name)
      }
      try await task.kill()
      _ = try await task.wait()
      let events = try await subject.events(of: task.id, until: "/tasks/exit", process: task.id)
      let exits = events.filter { $0.topic == "/tasks/exit" }.map(\.process)
      try expectEqual(exits.last, task.id, "the process whose end is told last (told: \(exits))")
      try expectEqual(Set(exits), ["e", "f", task.id], "processes whose end is told")
      try await task.finish()
    },
    ContractCase(
      "shim.events.exit-once", "the end of a process is told once", "SH-04; REF-R19",
      why: "A second exit, often with 137, overwrites the true code.", threads: ["containerd/containerd#6429", "containerd/containerd#4769"]
    ) { subject in
      let task = try await subject.started()
      try await task.exec("e", ShimSubject.Program("exit 3"))
      try await task.start("e")
      _ = try await task.wait("e")
      try await task.delete("e")
      try await task.kill("", 9, all: true)
      _ = try await task.wait()
      try await task.finish()
      let events = try await subject.events(of: task.id, until: "/tasks/delete", process: nil)
      let exits = events.filter { $0.topic == "/tasks/exit" }
      for process in ["e", task.id] {
        let told = exits.filter { $0.process == process }
        try expect(told.count == 1, "the end of \(process) was told \(told.count) times, with the codes \(told.map(\.code))")
      }
    },
    ContractCase(
      "shim.events.exit-agrees", "code and time of an end are the same in the event, in Wait, in State and in Delete", "SH-05; REF-R18",
      why: "What a client shows depends on whom it asked.", threads: ["containerd/containerd#583", "containerd/containerd#8381"]
    ) { subject in
      let task = try await subject.started("c", ShimSubject.Program("exit 42"))
      let waited = try await task.wait()
      try expectEqual(waited.code, 42, "code that Wait tells")
      let state = try await task.state()
      try expectEqual(state.status, .stopped, "state after the end")
      try expectEqual(ShimTask.Exit(code: state.exitStatus, at: ExitTime(state.exitedAt)), waited, "end that State tells, against Wait's")
      try expectEqual(try await task.finish(), waited, "end that Delete tells, against Wait's")
      for topic in ["/tasks/exit", "/tasks/delete"] {
        let event = try await subject.events(of: task.id, until: topic).first { $0.topic == topic }
        try expectEqual(event?.code, waited.code, "code in \(topic)")
        try expectEqual(event?.exitedAt, waited.at, "time in \(topic)")
      }
    },
    ContractCase(
      "shim.events.namespace", "every event carries the namespace that the shim was started for", "SHIM-01; SH-27",
      why: "The daemon files events by it."
    ) { subject in
      let task = try await subject.started("c", ShimSubject.Program("exit 0"))
      _ = try await task.wait()
      try await task.finish()
      let events = try await subject.events(of: task.id, until: "/tasks/delete")
      try expectEqual(Set(events.map(\.namespace)), [subject.scene.namespace], "namespaces of the events")
    },
    ContractCase(
      "shim.events.pause", "a pause and its end are told, and seen in the state", "SHIM-09; SH-18", level: .should,
      why: "Who follows the events does not know that nothing moves."
    ) { subject in
      let task = try await subject.started()
      try await task.pause()
      try expectEqual(try await task.state().status, .paused, "state of a paused task")
      _ = try await subject.events(of: task.id, until: "/tasks/paused")
      try await task.resume()
      try expectEqual(try await task.state().status, .running, "state of a task that was resumed")
      _ = try await subject.events(of: task.id, until: "/tasks/resumed")
      try await task.end()
    },
  ]
}
