import BlockingIO
import ContainerdAPI
import Foundation
import Protocols
import SwiftProtobuf
import Synchronization

/// Calls of one service, by name: what a shim is asked through, and what faults are put around.
public protocol ShimCalls: Sendable {
  /// The answer's bytes. A refusal is a `ContainerdError` of the status's class; `unavailable` when the shim hangs up.
  func call(_ service: String, _ method: String, _ payload: [UInt8]) async throws -> [UInt8]
  /// A message as it is, by its bytes; what is answered on its stream.
  func raw(_ bytes: [UInt8], stream: UInt32) async throws -> [UInt8]
  func close()
}

/// Who waits for the answer on which stream.
private final class PendingCalls: Sendable {
  typealias Waiting = CheckedContinuation<[UInt8], any Error>
  private struct State {
    var last: UInt32 = 1
    var waiting: [UInt32: Waiting] = [:]
    var over = false
  }
  private let state = Mutex(State())
  private static let hungUp = ContainerdError.unavailable("the shim has hung up")

  func nextStream() -> UInt32 {
    state.withLock { state in
      state.last += 2
      return state.last
    }
  }

  /// False, and the waiter told, when the connection is over.
  func add(_ stream: UInt32, _ waiting: Waiting) -> Bool {
    let over = state.withLock { state in
      if !state.over { state.waiting[stream] = waiting }
      return state.over
    }
    if over { waiting.resume(throwing: Self.hungUp) }
    return !over
  }

  func fail(_ stream: UInt32, _ error: any Error) { state.withLock { $0.waiting.removeValue(forKey: stream) }?.resume(throwing: error) }
  func answered(_ message: TTRPCMessage) { state.withLock { $0.waiting.removeValue(forKey: message.stream) }?.resume(returning: message.data) }

  func end() {
    let all = state.withLock { state in
      state.over = true
      defer { state.waiting = [:] }
      return Array(state.waiting.values)
    }
    for one in all { one.resume(throwing: Self.hungUp) }
  }
}

/// A client of ttrpc: many calls at once on one connection.
final class TTRPCCaller: ShimCalls {
  private let socket: TTRPCSocket
  private let pending = PendingCalls()

  init(path: String) async throws {
    let socket = try await DedicatedThread.run { try TTRPCSocket(connecting: path) }
    self.socket = socket
    let pending = pending
    // The reader ends when either side hangs up; whoever waits then is told.
    Task {
      do { try await DedicatedThread.run { while let message = try socket.receive() { pending.answered(message) } } } catch {}
      pending.end()
    }
  }

  deinit { socket.hangUp() }

  func call(_ service: String, _ method: String, _ payload: [UInt8]) async throws -> [UInt8] {
    var request = Ttrpc_Request()
    request.service = service
    request.method = method
    request.payload = Data(payload)
    let data: [UInt8] = try request.serializedBytes()
    let message = TTRPCMessage(stream: pending.nextStream(), kind: TTRPCMessage.request, data: data)
    return try await answer(on: message.stream, to: message.header + data)
  }

  func raw(_ bytes: [UInt8], stream: UInt32) async throws -> [UInt8] { try await answer(on: stream, to: bytes) }

  func close() {
    socket.hangUp()
    pending.end()
  }

  private func answer(on stream: UInt32, to bytes: [UInt8]) async throws -> [UInt8] {
    let (socket, pending) = (socket, pending)
    let data = try await withCheckedThrowingContinuation { waiting in
      guard pending.add(stream, waiting) else { return }
      Task { do { try await DedicatedThread.run { try socket.send(bytes) } } catch { pending.fail(stream, ContainerdError.unavailable("\(error)")) } }
    }
    let response = try Ttrpc_Response(serializedBytes: data)
    if response.hasStatus, response.status.code != 0 { throw TTRPCCode.error(response.status) }
    return Array(response.payload)
  }
}
