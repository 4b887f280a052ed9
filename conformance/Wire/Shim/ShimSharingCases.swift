import ConformanceSuites
import ContainerdAPI
import Protocols
import SystemKit

extension ShimSuite {
  static let sharing: [ContractCase<ShimSubject>] = [
    ContractCase(
      "shim.group.shared", "containers of one group share one shim, which ends with the last of them", "SHIM-01; SH-20", level: .should,
      why: "The containers of a pod would have a process each, and the daemon a shim to lose for every one of them."
    ) { subject in
      func configuration(_ id: String) -> String {
        let group = #""annotations":{"io.containerd.runc.v2.group":"pod","io.kubernetes.cri.sandbox-id":"pod"},"hostname""#
        return subject.configuration(id, ShimSubject.Program()).replacing(#""hostname""#, with: group)
      }
      let first = try await subject.shim("a", configuration: configuration("a"))
      _ = try await first.create()
      try await first.start()
      let second = try await subject.shim("b", configuration: configuration("b"))
      try expectEqual(second.socket, first.socket, "the socket that start names for the second container of a group")
      try expectEqual(try subject.scene.shims().count, 1, "shims of one group")
      _ = try await second.create()
      try await second.start()

      try await first.kill()
      _ = try await first.wait()
      try await first.delete()
      try await first.shutdown()
      try expectEqual(try await second.state().status, .running, "state of the second container after the first was deleted and Shutdown called for it")
      try expectEqual(try subject.scene.shims().count, 1, "shims while the second container runs")
      subject.scene.forget("a")
      try await second.end()
    },
    ContractCase(
      "shim.group.alone", "containers without a group have a shim each", "SHIM-01; SH-20", level: .should,
      why: "Containers that have nothing to do with each other would die with each other's shim."
    ) { subject in
      let first = try await subject.started("a")
      let second = try await subject.started("b")
      try expect(first.socket != second.socket, "start names the same socket for two containers without a group: \(first.socket)")
      try expectEqual(try subject.scene.shims().count, 2, "shims of two containers without a group")
      for task in [first, second] {
        try await task.kill()
        _ = try await task.wait()
        try await task.delete()
        try await task.shutdown()
        subject.scene.forget(task.id)
      }
      try await eventually("the end of both shims after Shutdown") { try subject.scene.shims().isEmpty ? true : nil }
    },
    ContractCase(
      "shim.events.daemon-away", "an end that comes while the daemon is away is told when it is back", "SHIM-07; SH-28, SH-12",
      why: "A daemon is restarted for every update: what ended meanwhile would be shown as running for ever.",
      threads: ["containerd/containerd#6771"]
    ) { subject in
      let task = try await subject.started("c", ShimSubject.Program("exit 6"))
      let other = try await subject.started("d")
      _ = try await task.wait()
      _ = try await subject.events(of: task.id, until: "/tasks/exit")
      subject.scene.listener.pause()
      try await other.kill()
      try expectEqual(try await other.wait().code, 137, "code of an end while the daemon is away")
      try await Task.sleep(for: .milliseconds(1500))
      try subject.scene.listener.resume()
      let events = try await eventually("the exit of a task that ended while the daemon was away, told after its return", within: 15) {
        let exits = subject.events().filter { $0.container == other.id && $0.topic == "/tasks/exit" }
        return exits.isEmpty ? nil : exits
      }
      try expectEqual(events.map(\.code), [137], "codes in the exits that were told")
      for task in [task, other] {
        try await task.delete()
        try await task.shutdown()
        subject.scene.forget(task.id)
      }
      try await eventually("the end of both shims after Shutdown") { try subject.scene.shims().isEmpty ? true : nil }
    },
    ContractCase(
      "shim.events.oom", "a container that runs out of memory is told so", "SHIM-09; SH-24", level: .should,
      why: "137 alone looks like a kill: nobody learns that the limit is too low."
    ) { subject in
      let swaps = String(decoding: try Files.read("/proc/swaps"), as: UTF8.self).split(separator: "\n").count
      if swaps > 1 { throw CaseSkipped(.environment, "this machine has swap: what exceeds a limit goes there") }
      let limit = 96 << 20
      let task = try await subject.started(
        "c", ShimSubject.Program("dd if=/dev/zero of=/dev/null bs=320M count=1; exit 0", linux: #","resources":{"memory":{"limit":\#(limit)}}"#))
      _ = try await task.wait()
      _ = try await subject.events(of: task.id, until: "/tasks/oom")
      try await task.finish()
    },
  ]
}
