import CLinux
import ConformanceSuites
import ContainerdAPI
import Foundation
import Protocols
import SwiftProtobuf
import SystemKit

extension ShimSuite {
  static let calls: [ContractCase<ShimSubject>] = [
    ContractCase(
      "shim.calls.unknown", "a method that there is not is refused as not implemented, and the connection goes on", "SHIM-10; SH-16, SH-25",
      why: "A newer daemon asks for what an older shim does not know, and must be able to go on without."
    ) { subject in
      let task = try await subject.created()
      let calls = task.calls
      try await expectError(.notImplemented, from: "a method that there is not") {
        _ = try await inTime("the answer") { try await calls.call(ShimTask.service, "NoSuchMethod", []) }
      }
      try await expectError(.notImplemented, from: "a service that there is not") {
        _ = try await inTime("the answer") { try await calls.call("no.such.Service", "State", []) }
      }
      try expectEqual(try await task.state().status, .created, "state after the unknown calls")
      try await task.finish()
    },
    ContractCase(
      "shim.calls.malformed", "a request that cannot be read is refused, and the shim goes on", "SH-25; TTR-03",
      why: "A shim that dies of it takes the supervision of its container along."
    ) { subject in
      let task = try await subject.created()
      let calls = task.calls
      try await expectRefusal(of: "a State request of bytes that mean nothing") {
        _ = try await inTime("the answer") { try await calls.call(ShimTask.service, "State", [0xff, 0xff, 0xff]) }
      }
      var again = task
      again.calls = try await subject.open(task.socket)
      try expectEqual(try await again.state().status, .created, "state after the request that meant nothing")
      try await again.finish()
    },
    ContractCase(
      "shim.calls.oversized", "a message above the limit of 4 MiB does not end the shim", "SH-25; TTR-01",
      why: "One bad client would end the supervision of a container."
    ) { subject in
      let task = try await subject.created()
      let broken = try await subject.open(task.socket)
      let length = (4 << 20) + 1
      // Whether it is refused or hung up on is the shim's choice.
      let bytes = TTRPCMessage.header(length: UInt32(length), stream: 1, kind: TTRPCMessage.request) + [UInt8](repeating: 0, count: length)
      do {
        _ = try await inTime("the answer to a message above the limit") { try await broken.raw(bytes, stream: 1) }
        throw Mismatch(description: "a message above the limit: expected an error, but it succeeded")
      } catch is ContainerdError {}
      var again = task
      again.calls = try await subject.open(task.socket)
      try expectEqual(try await again.state().status, .created, "state after the message above the limit")
      try await again.finish()
    },
    ContractCase(
      "shim.calls.concurrent", "many calls at once on one connection are each answered with their own answer", "SH-17, SH-25; TTR-02",
      why: "A daemon has one connection for every client of a container.", threads: ["containerd/containerd#8557"]
    ) { subject in
      let task = try await subject.started()
      let codes = try await withThrowingTaskGroup(of: (Int, UInt32).self) { group in
        for number in 1...6 {
          group.addTask {
            let name = "e\(number)"
            try await task.exec(name, ShimSubject.Program("exit \(number)"))
            try await task.start(name)
            let code = try await task.wait(name).code
            try await task.delete(name)
            return (number, code)
          }
        }
        return try await group.reduce(into: [Int: UInt32]()) { $0[$1.0] = $1.1 }
      }
      for number in 1...6 { try expectEqual(codes[number], UInt32(number), "code of the exec e\(number)") }
      let events = try await subject.events(of: task.id, until: "/tasks/exit", process: "e6")
      try await eventually("six ends of execs, of which there are \(events.count { $0.topic == "/tasks/exit" })") {
        subject.events().count { $0.topic == "/tasks/exit" && $0.process != task.id } == 6 ? true : nil
      }
      try await task.end()
    },
    ContractCase(
      "shim.calls.not-held-up", "a call that waits holds up no other", "SH-06, SH-25; TTR-02",
      why: "The daemon always has a Wait under way."
    ) { subject in
      let task = try await subject.started()
      let waiting = Task { try await task.wait() }
      try expectEqual(try await task.state().status, .running, "state while somebody waits")
      try await task.kill()
      try expectEqual(try await waiting.value.code, 137, "code that the waiter is told")
      try await task.finish()
    },
    ContractCase(
      "shim.create.twice", "a second task of one id is refused", "SH-17; REF-R02",
      why: "Two containers would share one bundle."
    ) { subject in
      let task = try await subject.created()
      try await expectRefusal(of: "a second Create of one id") { _ = try await task.create() }
      try expectEqual(try await task.state().status, .created, "state after the refused Create")
      try await task.finish()
    },
    ContractCase(
      "shim.exec.twice", "a second exec of one id is refused as already there", "SH-17; REF-R07",
      why: "The first one's process is lost from sight."
    ) { subject in
      let task = try await subject.started()
      try await task.exec("e", ShimSubject.Program())
      try await expectError(.alreadyExists, from: "a second Exec of one id") { try await task.exec("e", ShimSubject.Program()) }
      try await task.end()
    },
    ContractCase(
      "shim.pids.all", "Pids tells the first process and the execs", "SH-18; REF-R13",
      why: "What is not told is not counted, and not found by who looks for it."
    ) { subject in
      let task = try await subject.started()
      try await task.exec("e", ShimSubject.Program())
      let added = try await task.start("e")
      let first = try await task.state().pid
      let pids = try await task.pids()
      try expect(Set(pids).isSuperset(of: [first, added]), "pids \(pids) without the first process \(first) or the exec \(added)")
      try await task.end()
    },
    ContractCase(
      "shim.stats.type", "Stats gives metrics of control groups, by a known type", "SH-18; REF-R16",
      why: "A client cannot read what it does not know."
    ) { subject in
      let task = try await subject.started()
      let stats = try await task.stats()
      let name = stats.typeURL.split(separator: "/").last.map(String.init) ?? ""
      try expect(["io.containerd.cgroups.v1.Metrics", "io.containerd.cgroups.v2.Metrics"].contains(name), "metrics of the type \(stats.typeURL)")
      try expect(!stats.value.isEmpty, "metrics without anything in them")
      try await task.end()
    },
    ContractCase(
      "shim.connect.pids", "Connect tells the pids of the shim and of the task", "SH-18; REF-R13",
      why: "The daemon finds a shim to kill, and a network to join, by them."
    ) { subject in
      let task = try await subject.created()
      let (shim, process) = try await task.connection()
      let shims = try subject.scene.shims()
      try expect(shims.contains(pid_t(shim)), "the pid \(shim) of the shim is none of the shims \(shims)")
      try expect(shim != process, "the pid \(shim) is told for both the shim and the task")
      try expectEqual(process, try await task.state().pid, "pid of the task")
      try await task.finish()
    },
    ContractCase(
      "shim.shutdown.ignored", "Shutdown is ignored while there is a task", "SH-18; SHD-01",
      why: "A daemon's clean-up would leave the container without its shim."
    ) { subject in
      let task = try await subject.started()
      try await task.shutdown()
      try await Task.sleep(for: .milliseconds(200))
      try expect(try !subject.scene.shims().isEmpty, "the shim has ended, and its task runs")
      try expectEqual(try await task.state().status, .running, "state after Shutdown")
      try await task.end()
    },
    ContractCase(
      "shim.start.twice", "a task is started once", "SH-17; REF-R05",
      why: "The program would run twice, or the answer name a process that is none."
    ) { subject in
      let task = try await subject.started()
      try await expectRefusal(of: "a second Start") { try await task.start() }
      try expectEqual(try await task.state().status, .running, "state after the refused Start")
      try await task.end()
    },
  ]
}
