import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf
import SystemKit

/// Faults of shims.
enum ShimMutants {
  static let all: [Mutant] = controls + program + events + ends + waits + calls + sharing

  private static let everyday = ["shim.events.order", "shim.events.exit-agrees", "shim.wait.everybody", "shim.calls.unknown", "shim.kill.exited"]

  private static let controls: [Mutant] = [
    FaultyShim.mutant("identity-shim", "every call is handed on unchanged", kills: [], scope: everyday) { $0.wrapCalls { _ in } },
    FaultyShim.mutant("slow-shim", "every answer takes a little longer", kills: [], scope: everyday) {
      $0.wrapCalls {
        $0.onCall = { base, service, method, payload in
          let answer = try await base.call(service, method, payload)
          try await Task.sleep(for: .milliseconds(10))
          return answer
        }
      }
    },
    FaultyShim.mutant("shim-events-of-others", "events of other containers come between", kills: [], scope: everyday) { subject in
      let events = subject.events
      subject.events = {
        events().flatMap { event -> [ShimEvent] in
          var other = event
          (other.container, other.process) = ("other", "other")
          return [other, event]
        }
      }
    },
  ]

  private static let program: [Mutant] = [
    FaultyShim.program("shim-start-silent", "start prints nothing", kills: ["shim.start.address"], symptom: "no address", action: "start") { command, run in
      var result = try await run(command)
      result.output = []
      return result
    },
    FaultyShim.program(
      "shim-socket-grows", "the socket's path grows with the id", kills: ["shim.start.long-names"], symptom: "too long", action: "start"
    ) { command, run in
      var result = try await run(command)
      let id = command.arguments.drop { $0 != "-id" }.dropFirst().first ?? ""
      let padding = String(repeating: "./", count: id.utf8.count)
      if let slash = result.text.lastIndex(of: "/") {
        result.output = Array("\(result.text[...slash])\(padding)\(result.text[result.text.index(after: slash)...])".utf8)
      }
      return result
    },
    FaultyShim.program(
      "shim-delete-nothing", "delete does nothing and says done", kills: ["shim.delete-command.cleans"], symptom: "the container's process", action: "delete"
    ) { _, _ in
      let answer = Containerd_Task_V2_DeleteResponse.with { ($0.exitStatus, $0.exitedAt) = (137, .init(seconds: 1)) }
      return ShimCommand.Result(status: 0, output: try answer.serializedBytes(), errors: "")
    },
    FaultyShim.calls("shim-errors-mute", "errors have no text", kills: ["shim.create.fails"], symptom: "does not name") { base, service, method, payload in
      do { return try await base.call(service, method, payload) } catch let error as ContainerdError { throw ContainerdError(error.code, "failed") }
    },
    FaultyShim.calls("shim-create-any", "whatever is created is taken for made", kills: ["shim.create.bad-spec", "shim.create.twice"], symptom: "it succeeded")
    {
      base, service, method, payload in
      do { return try await base.call(service, method, payload) } catch let error as ContainerdError {
        if method == "Create" { return [] }
        throw error
      }
    },
    FaultyShim.method(
      "shim-create-starts", "create runs the program", kills: ["shim.create.runs-nothing"], symptom: "the program ran before start", "Create",
      Containerd_Task_V2_CreateTaskRequest.self, Containerd_Task_V2_CreateTaskResponse.self
    ) { base, request in
      let answer = try await base.ask("Create", request, Containerd_Task_V2_CreateTaskResponse.self)
      _ = try await base.ask("Start", Containerd_Task_V2_StartRequest.with { $0.id = request.id }, Containerd_Task_V2_StartResponse.self)
      return answer
    },
    FaultyShim.mutant(
      "shim-rootfs-stays", "the root file system stays mounted", kills: ["shim.rootfs.mounted", "shim.delete.leaves-nothing"], symptom: "is mounted"
    ) { subject in
      let made = Kept<(source: String, target: String)?>(nil)
      subject.wrapCalls {
        $0.onCall = { base, service, method, payload in
          if method == "Create" {
            let request = try Containerd_Task_V2_CreateTaskRequest(serializedBytes: payload)
            if let source = request.rootfs.first?.source { made.set((source, request.bundle + "/rootfs")) }
          }
          let answer = try await base.call(service, method, payload)
          if method == "Delete", let made = made.now {
            try await DedicatedThread.run { try Mounts.mount(type: "bind", source: made.source, target: made.target, options: ["bind"]) }
          }
          return answer
        }
      }
    },
  ]

  private static let ends: [Mutant] = [
    FaultyShim.method(
      "shim-delete-kills", "Delete ends what runs", kills: ["shim.delete.running", "shim.delete.running-class"], symptom: "it succeeded", "Delete",
      Containerd_Task_V2_DeleteRequest.self, Containerd_Task_V2_DeleteResponse.self
    ) { base, request in
      do { return try await base.ask("Delete", request, Containerd_Task_V2_DeleteResponse.self) } catch let error as ContainerdError
        where error.code == .failedPrecondition
      {
        try await base.kill(request.id)
        _ = try await base.ask("Wait", Containerd_Task_V2_WaitRequest.with { $0.id = request.id }, Containerd_Task_V2_WaitResponse.self)
        return try await base.ask("Delete", request, Containerd_Task_V2_DeleteResponse.self)
      }
    },
    FaultyShim.method(
      "shim-delete-created-nothing", "Delete of what never ran does nothing", kills: ["shim.delete.created"], symptom: "the held process", "Delete",
      Containerd_Task_V2_DeleteRequest.self, Containerd_Task_V2_DeleteResponse.self
    ) { base, request in
      if try await base.state(request.id).status == .created { return Containerd_Task_V2_DeleteResponse() }
      return try await base.ask("Delete", request, Containerd_Task_V2_DeleteResponse.self)
    },
    FaultyShim.method(
      "shim-delete-time", "Delete tells its own time as that of the end", kills: ["shim.events.exit-agrees"], symptom: "end that Delete tells", "Delete",
      Containerd_Task_V2_DeleteRequest.self, Containerd_Task_V2_DeleteResponse.self
    ) { base, request in
      var answer = try await base.ask("Delete", request, Containerd_Task_V2_DeleteResponse.self)
      answer.exitedAt.seconds += 1
      return answer
    },
    FaultyShim.calls(
      "shim-kill-silent", "a signal to nobody is taken for delivered", kills: ["shim.kill.exited", "shim.kill.unknown"], symptom: "it succeeded"
    ) { base, service, method, payload in
      do { return try await base.call(service, method, payload) } catch let error as ContainerdError {
        if method == "Kill" { return [] }
        throw error
      }
    },
    FaultyShim.method(
      "shim-kill-exec-all", "a signal to an exec reaches the task", kills: ["shim.kill.exec"], symptom: "state of the task after", "Kill",
      Containerd_Task_V2_KillRequest.self, Google_Protobuf_Empty.self
    ) { base, request in
      let answer = try await base.ask("Kill", request, Google_Protobuf_Empty.self)
      if !request.execID.isEmpty {
        try await base.kill(request.id)
        _ = try await base.ask("Wait", Containerd_Task_V2_WaitRequest.with { $0.id = request.id }, Containerd_Task_V2_WaitResponse.self)
      }
      return answer
    },
    FaultyShim.method(
      "shim-kill-terminates", "every signal is SIGTERM", kills: ["shim.kill.signals"], symptom: "code after SIGHUP", "Kill",
      Containerd_Task_V2_KillRequest.self, Google_Protobuf_Empty.self
    ) { base, request in
      var request = request
      request.signal = 15
      return try await base.ask("Kill", request, Google_Protobuf_Empty.self)
    },
    FaultyShim.method(
      "shim-children-dead", "the shim leaves its dead children", kills: ["shim.zombies.reaped"], symptom: "dead children", "Connect",
      Containerd_Task_V2_ConnectRequest.self, Containerd_Task_V2_ConnectResponse.self
    ) { base, request in
      var answer = try await base.ask("Connect", request, Containerd_Task_V2_ConnectResponse.self)
      // This process stands for the shim, with a child that nobody waits for.
      var argv: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
      defer { argv.forEach { free($0) } }
      var pid: pid_t = 0
      let failure = posix_spawn(&pid, "/bin/true", nil, nil, &argv, clinux_environ())
      if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: "/bin/true") }
      answer.shimPid = UInt32(getpid())
      return answer
    },
  ]
}
