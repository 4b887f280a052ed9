import CLinux
import ConformanceSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf
import SystemKit

extension ShimSuite {
  static let ends: [ContractCase<ShimSubject>] = [
    ContractCase(
      "shim.wait.everybody", "who waits before the start, while it runs and after the end is told the same", "SH-06; REF-R10",
      why: "The daemon waits, and so does every client that is attached: who is told otherwise shows a wrong code.", threads: ["containerd/containerd#6429"]
    ) { subject in
      let task = try await subject.created("c", ShimSubject.Program("sleep 0.2; exit 5"))
      let early = (0..<3).map { _ in Task { try await task.wait() } }
      try await task.start()
      let running = (0..<3).map { _ in Task { try await task.wait() } }
      let exit = try await task.wait()
      try expectEqual(exit.code, 5, "code")
      for waiter in early { try expectEqual(try await waiter.value, exit, "who waited before the start was told") }
      for waiter in running { try expectEqual(try await waiter.value, exit, "who waited while it ran was told") }
      try expectEqual(try await task.wait(), exit, "who asked after the end was told")
      try await task.finish()
    },
    ContractCase(
      "shim.wait.not-early", "Wait gives no answer while the process runs", "SH-06; REF-R10",
      why: "An answer that comes early ends the client, and the container goes on."
    ) { subject in
      let task = try await subject.started()
      let answered = Visited<ShimTask.Exit>()
      let waiting = Task { answered.append(try await task.wait()) }
      try await Task.sleep(for: .milliseconds(200))
      try expect(answered.items.isEmpty, "Wait answered \(answered.items) for a process that runs")
      try await task.kill()
      try await waiting.value
      try await task.finish()
    },
    ContractCase(
      "shim.wait.deleted", "whoever asks about what was deleted is told that it is not found", "SH-06; REF-R04",
      why: "A daemon takes any other answer for a task that is still there."
    ) { subject in
      let task = try await subject.started()
      try await task.exec("e", ShimSubject.Program("exit 0"))
      try await task.start("e")
      _ = try await task.wait("e")
      try await task.delete("e")
      try await expectError(.notFound, from: "Wait on a deleted exec") { _ = try await task.wait("e") }
      try await expectError(.notFound, from: "State of a deleted exec") { _ = try await task.state("e") }
      try await task.kill()
      _ = try await task.wait()
      try await task.delete()
      try await expectError(.notFound, from: "State of a deleted task") { _ = try await task.state() }
      try await task.leave()
    },
    ContractCase(
      "shim.wait.reconnected", "another connection sees the same state, and the same end", "SH-06, SH-12; REF-R22",
      why: "A daemon that was restarted has nothing but the shim to tell it.", threads: ["containerd/containerd#6771"]
    ) { subject in
      let first = try await subject.started("c", ShimSubject.Program("sleep 0.3; exit 9"))
      let pid = try await first.state().pid
      first.calls.close()
      var second = first
      second.calls = try await subject.open(first.socket)
      let state = try await second.state()
      try expectEqual(state.status, .running, "state that another connection sees")
      try expectEqual(state.pid, pid, "pid that another connection sees")
      second.calls.close()
      let task = second
      let third = try await eventually("a stopped state, seen by a third connection") {
        var third = task
        third.calls = try await subject.open(task.socket)
        return try await third.state().status == .stopped ? third : nil
      }
      try expectEqual(try await third.wait().code, 9, "code of an end that nobody was connected for")
      try await third.finish()
    },
    ContractCase(
      "shim.state.ended", "State tells a task that has ended as stopped, with its code and time", "SH-05; REF-R18",
      why: "A daemon that is told running shows a dead container as up."
    ) { subject in
      let task = try await subject.started("c", ShimSubject.Program("exit 4"))
      _ = try await task.wait()
      let state = try await task.state()
      try expectEqual(state.status, .stopped, "state after the end")
      try expectEqual(state.exitStatus, 4, "code in the state")
      try expect(state.hasExitedAt && state.exitedAt.seconds > 0, "the state has no time of the end")
      try await task.finish()
    },
    ContractCase(
      "shim.kill.exited", "a signal to what has ended is refused as not found", "SH-07; REF-R09",
      why: "The daemon takes not found for done, and anything else for a failure to stop."
    ) { subject in
      let task = try await subject.started("c", ShimSubject.Program("exit 0"))
      _ = try await task.wait()
      try await expectError(.notFound, from: "Kill of a task that has ended") { try await task.kill() }
      try await task.finish()
    },
    ContractCase(
      "shim.kill.unknown", "a signal to an exec that is not there is refused as not found, and hits nobody", "SH-07; REF-R09",
      why: "The signal could hit the container instead."
    ) { subject in
      let task = try await subject.started()
      try await expectError(.notFound, from: "Kill of an exec that is not there") { try await task.kill("none") }
      try expectEqual(try await task.state().status, .running, "state after the signal to nobody")
      try await task.end()
    },
    ContractCase(
      "shim.kill.exec", "a signal to an exec ends the exec alone", "SH-07; REF-R09",
      why: "A health check that is given up would take its container down."
    ) { subject in
      let task = try await subject.started()
      try await task.exec("e", ShimSubject.Program())
      try await task.start("e")
      try await task.kill("e")
      try expectEqual(try await task.wait("e").code, 137, "code of the exec after SIGKILL")
      try expectEqual(try await task.state().status, .running, "state of the task after the end of its exec")
      try await task.delete("e")
      try await task.end()
    },
    ContractCase(
      "shim.kill.signals", "a signal reaches the program as it is", "SH-07; REF-R09",
      why: "A program that is to reload is ended instead, or the other way round."
    ) { subject in
      let ready = subject.scene.rootfs + "/ready"
      let task = try await subject.started("c", ShimSubject.Program("trap 'exit 11' TERM; trap 'exit 12' HUP; echo > /ready; while true; do sleep 0.05; done"))
      try await eventually("the program's readiness") { Files.exists(ready) ? true : nil }
      try await task.kill("", 1)
      try expectEqual(try await task.wait().code, 12, "code after SIGHUP")
      try await task.finish()
    },
    ContractCase(
      "shim.delete.running", "what runs cannot be deleted", "SH-08; REF-R11",
      why: "Its files would be taken from under it.", threads: ["containerd/containerd#4769"]
    ) { subject in
      let task = try await subject.started()
      try await expectRefusal(of: "Delete of a running task") { try await task.delete() }
      try expectEqual(try await task.state().status, .running, "state after the refused Delete")
      try await task.end()
    },
    ContractCase(
      "shim.delete.running-class", "the refusal to delete what runs is a failed precondition", "SH-08; REF-R12", level: .should,
      why: "A client that sees an unknown error cannot know that it must stop the task first."
    ) { subject in
      let task = try await subject.started()
      try await expectError(.failedPrecondition, from: "Delete of a running task") { try await task.delete() }
      try await task.end()
    },
    ContractCase(
      "shim.delete.created", "a task that never ran can be deleted, and leaves no process", "SH-08; REF-R11",
      why: "A pod whose start failed would never go away.", threads: ["google/gvisor#14427"]
    ) { subject in
      let pipes = try ShimPipes(subject, "io", input: true)
      defer { pipes.closeInput() }
      let task = try await subject.shim("c", ShimSubject.Program(io: pipes.io))
      let pid = try await task.create()
      try expectEqual(try await task.state().status, .created, "state before the start")
      try await task.delete()
      try await eventually("the end of the held process \(pid) after Delete", within: 5) { ShimScene.isAlive(pid_t(pid)) ? nil : true }
      try expectEqual(try subject.scene.mounts(), [], "what is mounted after Delete")
      try await task.leave()
    },
    ContractCase(
      "shim.delete.leaves-nothing", "after Delete and Shutdown there is no process, no mount, no control group and no socket", "SHIM-05; SH-15",
      why: "A machine that starts containers all day fills up with what they leave.", threads: ["containerd/containerd#9309", "containerd/containerd#8381"]
    ) { subject in
      let task = try await subject.started("c", ShimSubject.Program("sleep 1000 & sleep 1000"))
      let pids = try await task.pids()
      try await task.end()
      for pid in pids { try expect(!ShimScene.isAlive(pid_t(pid)), "the process \(pid) of the container is there after Delete") }
      try expectEqual(try subject.scene.mounts(), [], "what is mounted after Delete")
      try expectEqual(try subject.scene.cgroups(), [], "control groups after Delete")
      try await eventually("the removal of the socket \(task.socket) after Shutdown", within: 3) { Files.exists(task.socket) ? nil : true }
    },
    ContractCase(
      "shim.zombies.reaped", "processes whose parent has gone are reaped", "SHIM-12; SH-23",
      why: "The dead fill the table of processes until nothing starts any more."
    ) { subject in
      let task = try await subject.started()
      let shim = try await task.connection().shim
      for number in 0..<3 {
        // The parent is gone before the child: the child belongs to whoever reaps.
        try await task.exec("e\(number)", ShimSubject.Program("(sleep 0.1; exit 0) & exit 0"))
        try await task.start("e\(number)")
        _ = try await task.wait("e\(number)")
        try await task.delete("e\(number)")
      }
      try await eventually("the reaping of the shim's dead children", within: 5) { try ShimScene.deadChildren(of: pid_t(shim)).isEmpty ? true : nil }
      try await task.end()
    },
  ]
}
