import CLinux
import ConformanceKit
import ConformanceWireSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf

extension ShimMutants {
  private typealias WaitRequest = Containerd_Task_V2_WaitRequest
  private typealias WaitAnswer = Containerd_Task_V2_WaitResponse
  private typealias StateRequest = Containerd_Task_V2_StateRequest
  private typealias StateAnswer = Containerd_Task_V2_StateResponse

  static let waits: [Mutant] = [
    FaultyShim.method(
      "shim-wait-late-255", "who asks after the end is told 255", kills: ["shim.wait.everybody"], symptom: "was told", "Wait", WaitRequest.self, WaitAnswer.self
    ) { base, request in
      let over = try await base.state(request.id, request.execID).status == .stopped
      var answer = try await base.ask("Wait", request, WaitAnswer.self)
      if over { answer.exitStatus = 255 }
      return answer
    },
    FaultyShim.method(
      "shim-wait-early", "Wait answers while the process runs", kills: ["shim.wait.not-early", "shim.calls.not-held-up"], symptom: "", "Wait",
      WaitRequest.self, WaitAnswer.self
    ) { base, request in
      if try await base.state(request.id, request.execID).status == .running { return WaitAnswer() }
      return try await base.ask("Wait", request, WaitAnswer.self)
    },
    FaultyShim.method(
      "shim-state-of-deleted", "what was deleted is told as stopped", kills: ["shim.wait.deleted"], symptom: "State of a deleted", "State",
      StateRequest.self, StateAnswer.self
    ) { base, request in
      do { return try await base.ask("State", request, StateAnswer.self) } catch let error as ContainerdError where error.code == .notFound {
        return StateAnswer.with { ($0.id, $0.status) = (request.id, .stopped) }
      }
    },
    FaultyShim.mutant(
      "shim-second-sees-nothing", "only the first connection is told the state", kills: ["shim.wait.reconnected"], symptom: "state that another connection sees"
    ) { subject in
      let (connect, count) = (subject.connect, Kept(0))
      subject.connect = { socket in
        var wrapper = CallsWrapper(base: try await connect(socket))
        let number = count.with { count in
          count += 1
          return count
        }
        wrapper.onCall = { base, service, method, payload in
          if method == "State", number > 1 { return try StateAnswer().serializedBytes() }
          return try await base.call(service, method, payload)
        }
        return wrapper
      }
    },
    FaultyShim.method(
      "shim-state-running", "State tells running after the end", kills: ["shim.state.ended"], symptom: "state after the end", "State",
      StateRequest.self, StateAnswer.self
    ) { base, request in
      var answer = try await base.ask("State", request, StateAnswer.self)
      if answer.status == .stopped { answer.status = .running }
      return answer
    },
    FaultyShim.method(
      "shim-state-paused", "State tells running while paused", kills: ["shim.events.pause"], symptom: "state of a paused task", "State",
      StateRequest.self, StateAnswer.self
    ) { base, request in
      var answer = try await base.ask("State", request, StateAnswer.self)
      if answer.status == .paused { answer.status = .running }
      return answer
    },
    FaultyShim.method(
      "shim-answers-mixed", "an exec is told the end of another", kills: ["shim.calls.concurrent", "shim.output.grandchild"], symptom: "code of the exec",
      "Wait",
      WaitRequest.self, WaitAnswer.self
    ) { base, request in
      var answer = try await base.ask("Wait", request, WaitAnswer.self)
      if !request.execID.isEmpty { answer.exitStatus += 1 }
      return answer
    },
  ]

  static let calls: [Mutant] = [
    FaultyShim.calls("shim-unknown-hangs-up", "an unknown method ends the connection", kills: ["shim.calls.unknown"], symptom: "a method that there is not") {
      base, service, method, payload in
      do { return try await base.call(service, method, payload) } catch let error as ContainerdError where error.code == .notImplemented {
        base.close()
        throw ContainerdError.unavailable("hung up")
      }
    },
    FaultyShim.calls("shim-takes-anything", "a request that cannot be read is taken for empty", kills: ["shim.calls.malformed"], symptom: "it succeeded") {
      base, service, method, payload in
      do { return try await base.call(service, method, payload) } catch let error as ContainerdError {
        if method == "State" { return [] }
        throw error
      }
    },
    FaultyShim.mutant("shim-takes-oversized", "a message above the limit is taken", kills: ["shim.calls.oversized"], symptom: "it succeeded") {
      $0.wrapCalls { $0.onRaw = { _, _, _ in [] } }
    },
    FaultyShim.calls(
      "shim-takes-twice", "a second start or exec is taken for the first", kills: ["shim.start.twice", "shim.exec.twice"], symptom: "it succeeded"
    ) {
      base, service, method, payload in
      do { return try await base.call(service, method, payload) } catch let error as ContainerdError {
        if method == "Start" || method == "Exec" { return [] }
        throw error
      }
    },
    FaultyShim.method(
      "shim-pids-first-only", "only the first process is told", kills: ["shim.pids.all"], symptom: "without", "Pids",
      Containerd_Task_V2_PidsRequest.self, Containerd_Task_V2_PidsResponse.self
    ) { base, request in
      var answer = try await base.ask("Pids", request, Containerd_Task_V2_PidsResponse.self)
      let first = try await base.state(request.id).pid
      answer.processes.removeAll { $0.pid != first }
      return answer
    },
    FaultyShim.method(
      "shim-stats-untyped", "metrics have no known type", kills: ["shim.stats.type"], symptom: "metrics of the type", "Stats",
      Containerd_Task_V2_StatsRequest.self, Containerd_Task_V2_StatsResponse.self
    ) { base, request in
      var answer = try await base.ask("Stats", request, Containerd_Task_V2_StatsResponse.self)
      answer.stats.typeURL = "example.Metrics"
      return answer
    },
    FaultyShim.method(
      "shim-connect-task-twice", "Connect tells the task's pid as the shim's", kills: ["shim.connect.pids"], symptom: "for both", "Connect",
      Containerd_Task_V2_ConnectRequest.self, Containerd_Task_V2_ConnectResponse.self
    ) { base, request in
      var answer = try await base.ask("Connect", request, Containerd_Task_V2_ConnectResponse.self)
      answer.shimPid = answer.taskPid
      return answer
    },
    FaultyShim.method(
      "shim-shutdown-always", "Shutdown ends the shim whatever runs", kills: ["shim.shutdown.ignored"], symptom: "the shim has ended", "Shutdown",
      Containerd_Task_V2_ShutdownRequest.self, Google_Protobuf_Empty.self
    ) { base, request in
      let ask = Containerd_Task_V2_ConnectRequest.with { $0.id = request.id }
      kill(pid_t(try await base.ask("Connect", ask, Containerd_Task_V2_ConnectResponse.self).shimPid), SIGKILL)
      return Google_Protobuf_Empty()
    },
    FaultyShim.calls("shim-output-nowhere", "output is lost", kills: ["shim.output.complete"], symptom: "0 came") { base, service, method, payload in
      guard method == "Create" else { return try await base.call(service, method, payload) }
      var request = try Containerd_Task_V2_CreateTaskRequest(serializedBytes: payload)
      (request.stdout, request.stderr) = ("", "")
      return try await base.call(service, method, try request.serializedBytes())
    },
    FaultyShim.calls("shim-exec-output-nowhere", "output of execs is lost", kills: ["shim.output.exec"], symptom: "output of the exec") {
      base, service, method, payload in
      guard method == "Exec" else { return try await base.call(service, method, payload) }
      var request = try Containerd_Task_V2_ExecProcessRequest(serializedBytes: payload)
      (request.stdout, request.stderr) = ("", "")
      return try await base.call(service, method, try request.serializedBytes())
    },
    FaultyShim.method(
      "shim-broken-pipe", "a program whose reader has gone is ended", kills: ["shim.output.reader-gone"], symptom: "after its reader has gone", "Start",
      Containerd_Task_V2_StartRequest.self, Containerd_Task_V2_StartResponse.self
    ) { base, request in
      let answer = try await base.ask("Start", request, Containerd_Task_V2_StartResponse.self)
      Task {
        try await Task.sleep(for: .milliseconds(120))
        try await base.kill(request.id, signal: 9)
      }
      return answer
    },
    FaultyShim.calls("shim-close-dropped", "CloseIO does nothing", kills: ["shim.input.close"], symptom: "the end of the input") {
      base, service, method, payload in
      if method == "CloseIO" { return [] }
      return try await base.call(service, method, payload)
    },
    FaultyShim.calls("shim-resize-dropped", "a terminal keeps its size", kills: ["shim.terminal.resize"], symptom: "size of the terminal") {
      base, service, method, payload in
      if method == "ResizePty" { return [] }
      return try await base.call(service, method, payload)
    },
  ]
}
