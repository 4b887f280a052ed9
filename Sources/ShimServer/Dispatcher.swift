import LinuxRuntime
import ShimWire

/// Takes calls from connections to the task service, and answers back.
final class Dispatcher {
  private static let services: Set<String> = ["containerd.task.v2.Task", "containerd.task.v3.Task"]
  private let service: TaskService

  init(_ service: TaskService) { self.service = service }

  func serve(_ connection: Connection) {
    connection.onItem = { [self, unowned connection] in received($0, connection) }
  }

  private func received(_ item: TTRPCFrameDecoder.Item, _ connection: Connection) {
    switch item {
    case .oversized(let stream, _, let length):
      respond(connection, stream, .failure(ServiceError(.resourceExhausted, "a message of \(length) bytes is longer than \(TTRPCFrame.maximumLength)")))
    case .frame(let frame):
      // Every method is unary: there is nothing that data frames could belong to.
      guard frame.type == TTRPCFrame.request else { return }
      call(frame) { [weak connection] result in
        if case .failure(let error) = result { self.service.log.debug("call failed: \(error.message)") }
        if let connection { self.respond(connection, frame.stream, result) }
      }
    }
  }

  private func respond(_ connection: Connection, _ stream: UInt32, _ result: Result<[UInt8], ServiceError>) {
    let response: TTRPCResponse
    switch result {
    case .success(let payload) where payload.count < TTRPCFrame.maximumLength - 64: response = TTRPCResponse(status: Status(), payload: payload)
    case .success: response = TTRPCResponse(status: ServiceError(.resourceExhausted, "the answer is longer than a message may be").status)
    case .failure(let error): response = TTRPCResponse(status: error.status)
    }
    connection.send(TTRPCFrame(stream: stream, type: TTRPCFrame.response, payload: response.encoded))
  }

  private func call(_ frame: TTRPCFrame, _ answer: @escaping (Result<[UInt8], ServiceError>) -> Void) {
    do throws(ServiceError) {
      let request: TTRPCRequest = try decode(frame.payload)
      guard Self.services.contains(request.service) else { throw ServiceError(.unimplemented, "service \(request.service) is not served here") }
      service.log.debug("\(request.service)/\(request.method)")
      service.reap()
      if request.method == "Wait" { return try wait(decode(request.payload), answer) }
      if request.method == "Delete" { return try delete(decode(request.payload), answer) }
      answer(.success(try perform(request.method, request.payload)))
    } catch {
      answer(.failure(error))
    }
  }

  private func wait(_ request: ProcessRequest, _ answer: @escaping (Result<[UInt8], ServiceError>) -> Void) throws(ServiceError) {
    let owner = try service.container(request.id)
    let process = try owner.process(request.execID)
    let name = service.name(owner, process)
    process.wait { record in
      guard let record else { return answer(.failure(ServiceError(.notFound, "\(name) was deleted before it ran"))) }
      answer(.success(WaitResponse(exitStatus: record.status, exitedAt: record.exitedAt).encoded))
    }
  }

  /// A process's terminal is emptied before the process is forgotten: clients delete as soon as they know the exit, and then read on.
  private func delete(_ request: ProcessRequest, _ answer: @escaping (Result<[UInt8], ServiceError>) -> Void) throws(ServiceError) {
    let process = try service.container(request.id).process(request.execID)
    let finish = { [service] in
      do throws(ServiceError) { answer(.success(try service.delete(request).encoded)) } catch { answer(.failure(error)) }
    }
    if process.exit != nil, let io = process.io { io.whenDelivered(finish) } else { finish() }
  }

  private func perform(_ method: String, _ payload: [UInt8]) throws(ServiceError) -> [UInt8] {
    switch method {
    case "State": return try service.state(decode(payload)).encoded
    case "Create": return try service.create(decode(payload)).encoded
    case "Start": return try service.start(decode(payload)).encoded
    case "Pids": return try service.pids(decode(payload)).encoded
    case "Pause": try service.pause(decode(payload))
    case "Resume": try service.resume(decode(payload))
    case "Checkpoint": throw ServiceError(.unimplemented, "checkpoints are not supported")
    case "Kill": try service.kill(decode(payload))
    case "Exec": try service.exec(decode(payload))
    case "ResizePty": try service.resizePty(decode(payload))
    case "CloseIO": try service.closeIO(decode(payload))
    case "Update": try service.update(decode(payload))
    case "Stats": return try service.stats(decode(payload)).encoded
    case "Connect": return service.connect(try decode(payload)).encoded
    case "Shutdown":
      let _: ShutdownRequest = try decode(payload)
      service.shutdown()
    default: throw ServiceError(.unimplemented, "method \(method) does not exist")
    }
    return []
  }

  private func decode<Message: WireMessage>(_ bytes: [UInt8]) throws(ServiceError) -> Message {
    do { return try Message(wire: bytes) } catch { throw ServiceError(.invalidArgument, "\(Message.self): malformed message: \(error)") }
  }
}
