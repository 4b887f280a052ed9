import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf

/// The calls of a shim around another's. Every call is handed on, but those that are given here.
struct CallsWrapper: ShimCalls {
  typealias Base = any ShimCalls

  let base: Base
  var onCall: (@Sendable (Base, _ service: String, _ method: String, _ payload: [UInt8]) async throws -> [UInt8])?
  var onRaw: (@Sendable (Base, _ bytes: [UInt8], _ stream: UInt32) async throws -> [UInt8])?

  func call(_ service: String, _ method: String, _ payload: [UInt8]) async throws -> [UInt8] {
    if let onCall { return try await onCall(base, service, method, payload) }
    return try await base.call(service, method, payload)
  }
  func raw(_ bytes: [UInt8], stream: UInt32) async throws -> [UInt8] {
    if let onRaw { return try await onRaw(base, bytes, stream) }
    return try await base.raw(bytes, stream: stream)
  }
  func close() { base.close() }
}

extension ShimCalls {
  static var task: String { "containerd.task.v2.Task" }

  func ask<Answer: Message>(_ method: String, _ request: some Message, _: Answer.Type) async throws -> Answer {
    try Answer(serializedBytes: try await call(Self.task, method, try request.serializedBytes()))
  }
  func state(_ id: String, _ exec: String = "") async throws -> Containerd_Task_V2_StateResponse {
    try await ask("State", Containerd_Task_V2_StateRequest.with { ($0.id, $0.execID) = (id, exec) }, Containerd_Task_V2_StateResponse.self)
  }
  func kill(_ id: String, signal: UInt32 = 9) async throws {
    _ = try await ask("Kill", Containerd_Task_V2_KillRequest.with { ($0.id, $0.signal) = (id, signal) }, Google_Protobuf_Empty.self)
  }
}

/// Ways to make a faulty shim.
struct FaultyShim {
  /// One method answers otherwise.
  static func method<Request: Message, Answer: Message>(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ method: String, _: Request.Type, _: Answer.Type,
    _ change: @escaping @Sendable (any ShimCalls, Request) async throws -> Answer
  ) -> Mutant {
    calls(id, sentence, kills: kills, symptom: symptom) { base, service, called, payload in
      guard called == method, service == CallsWrapper.task else { return try await base.call(service, called, payload) }
      return try await change(base, try Request(serializedBytes: payload)).serializedBytes()
    }
  }

  /// Any call is answered otherwise.
  static func calls(
    _ id: String, _ sentence: String, kills: [String], symptom: String,
    _ change: @escaping @Sendable (any ShimCalls, _ service: String, _ method: String, _ payload: [UInt8]) async throws -> [UInt8]
  ) -> Mutant {
    mutant(id, sentence, kills: kills, symptom: symptom) { $0.wrapCalls { $0.onCall = change } }
  }

  /// The events come otherwise.
  static func events(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable ([ShimEvent]) -> [ShimEvent]
  ) -> Mutant {
    mutant(id, sentence, kills: kills, symptom: symptom) { subject in
      let events = subject.events
      subject.events = { change(events()) }
    }
  }

  /// The program does otherwise.
  static func program(
    _ id: String, _ sentence: String, kills: [String], symptom: String, action: String,
    _ change: @escaping @Sendable (ShimCommand, _ run: @Sendable (ShimCommand) async throws -> ShimCommand.Result) async throws -> ShimCommand.Result
  ) -> Mutant {
    mutant(id, sentence, kills: kills, symptom: symptom) { subject in
      let run = subject.run
      subject.run = { $0.arguments.last == action ? try await change($0, run) : try await run($0) }
    }
  }

  static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", scope: [String]? = nil,
    _ change: @escaping @Sendable (inout ShimSubject) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .shim, on: "shim:containerd-shim-ref-v2", kills: kills, symptom: symptom, scope: scope ?? kills) {
      $0.wrap(ShimSubject.self, change)
    }
  }
}

extension ShimSubject {
  mutating func wrapCalls(_ change: @escaping @Sendable (inout CallsWrapper) -> Void) {
    let connect = connect
    self.connect = { socket in
      var wrapper = CallsWrapper(base: try await connect(socket))
      change(&wrapper)
      return wrapper
    }
  }
}
