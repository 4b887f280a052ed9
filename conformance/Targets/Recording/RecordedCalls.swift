import ConformanceKit
import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import Synchronization

/// Writes every gRPC call down with what was answered, as a script would make it: the messages themselves, in hexadecimal digits.
///
/// A call is written down when its answer has been read to the end; what is given up is not.
struct RecordedCalls: ClientInterceptor {
  let record: Record
  /// The namespace and the lease that a script has its own of; other names are written as they are.
  var namespace = ""
  var lease = ""
  /// Longer ones are of no use in a script.
  private static let most = 64 << 10

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingClientRequest<Input>, context: ClientContext,
    next: (StreamingClientRequest<Input>, ClientContext) async throws -> StreamingClientResponse<Output>
  ) async throws -> StreamingClientResponse<Output> {
    let call = Call(self, method: context.descriptor.fullyQualifiedMethod, headers: request.metadata)
    var request = request
    let produce = request.producer
    request.producer = { writer in try await produce(RPCWriter(wrapping: Heard(base: writer) { call.sends($0) })) }
    do {
      var response = try await next(request, context)
      switch response.accepted {
      case .failure(let error): call.ends(error)
      case .success(var contents):
        contents.bodyParts = RPCAsyncSequence(wrapping: Read(base: contents.bodyParts, call: call))
        response.accepted = .success(contents)
      }
      return response
    } catch {
      call.ends(error)
      throw error
    }
  }

  fileprivate final class Call: Sendable {
    private struct State {
      var sent: [[UInt8]] = []
      var answered: [[UInt8]] = []
      var text = ""
      var told = ""
      var isOver = false
    }
    private let recorder: RecordedCalls
    private let method: String
    private let headers: [String]
    private let state = Mutex(State())

    init(_ recorder: RecordedCalls, method: String, headers: Metadata) {
      self.recorder = recorder
      self.method = method
      func word(_ key: String, own: String) -> String {
        let values = headers[stringValues: key].map { $0 }
        guard let value = values.first else { return "none" }
        return value == own && !own.isEmpty ? "-" : value
      }
      self.headers = [word("containerd-namespace", own: recorder.namespace), word("containerd-lease", own: recorder.lease)]
      recorder.record.begins(method)
    }

    func sends(_ message: any Sendable) { state.withLock { Self.add(message, to: &$0.sent, &$0.text) } }
    func receives(_ message: any Sendable) { state.withLock { Self.add(message, to: &$0.answered, &$0.told) } }

    private static func add(_ message: any Sendable, to list: inout [[UInt8]], _ words: inout String) {
      // Every message of these services can be written down.
      guard let message = message as? any SwiftProtobuf.Message, let bytes: [UInt8] = try? message.serializedBytes() else { return }
      list.append(bytes)
      if words.utf8.count < 300 {
        words += (words.isEmpty ? "" : "; ") + message.textFormatString().split(separator: "\n").map { $0.drop { $0 == " " } }.joined(separator: " ")
      }
    }

    func ends(_ error: (any Error)?) {
      let done: State? = state.withLock { state in
        if state.isOver { return nil }
        state.isOver = true
        return state
      }
      guard let done else { return }
      recorder.record.ends(method)
      if let error, !(error is RPCError) || Task.isCancelled { return }
      let error = error as? RPCError
      let name = method.split(separator: "/").suffix(2).joined(separator: "/").split(separator: ".").last ?? ""
      // A server may refuse a method before the message is on its way: an empty one is sent then.
      let isShort = done.sent.reduce(0) { $0 + $1.count } <= most
      let script = isShort ? Shell.line(["call", method, (done.sent.isEmpty ? [[]] : done.sent).map(GRPCFrame.frame).joined()] + headers) : nil
      let answer = (["status \(WireForm.status(error))"] + done.answered.flatMap { WireForm.lines($0) }).joined(separator: "\n")
      recorder.record.add(
        "\(name) \(short(done.text))", outcome: error.map { "\($0.code): \($0.message)" } ?? (done.told.isEmpty ? "OK" : short(done.told)), script: script,
        answer: script == nil ? nil : answer)
    }

    private func short(_ text: String) -> String { text.count > 200 ? text.prefix(200) + "…" : text }
  }
}

/// A message without its schema: a line for each value, with the numbers of the fields that lead to it. The same is done in the scripts of `repro`.
enum WireForm {
  private static let names = [
    "ok", "cancelled", "unknown", "invalid argument", "deadline exceeded", "not found", "already exists", "permission denied", "resource exhausted",
    "failed precondition", "aborted", "out of range", "unimplemented", "internal error", "unavailable", "data loss", "unauthenticated",
  ]
  static func status(_ error: RPCError?) -> String { names[error?.code.rawValue ?? 0] }

  static func lines(_ message: [UInt8]) -> [String] {
    guard var lines = leaves(message[...], "") else { return ["unreadable"] }
    lines.sort()
    return lines
  }

  private static func leaves(_ message: ArraySlice<UInt8>, _ path: String) -> [String]? {
    var lines: [String] = []
    var counts: [UInt64: Int] = [:]
    let now = Timestamp.now().seconds
    var at = message.startIndex
    func number() -> UInt64? {
      var value: UInt64 = 0
      for shift in stride(from: 0, to: 70, by: 7) {
        guard at < message.endIndex else { return nil }
        let byte = message[at]
        at += 1
        value |= UInt64(byte & 127) << UInt64(shift)
        if byte < 128 { return value }
      }
      return nil
    }
    func piece(_ count: Int) -> ArraySlice<UInt8>? {
      guard count >= 0, count <= message.endIndex - at else { return nil }
      defer { at += count }
      return message[at..<at + count]
    }
    while at < message.endIndex {
      guard let key = number(), key >> 3 > 0 else { return nil }
      let place = "\(path)\(path.isEmpty ? "" : ".")\(key >> 3)"
      switch key & 7 {
      case 0:
        guard let value = number() else { return nil }
        // The second of a time: what comes later is no other answer.
        lines.append("\(place)=\(abs(Int64(clamping: value) - now) < 172_800 ? "a time of today" : "\(value)")")
      case 1, 5:
        guard let bytes = piece(key & 7 == 1 ? 8 : 4) else { return nil }
        lines.append("\(place)=x\(GRPCFrame.hex(Array(bytes)))")
      case 2:
        guard let length = number(), length < 1 << 30, let bytes = piece(Int(length)) else { return nil }
        counts[key >> 3, default: 0] += 1
        if let text = words(bytes) {
          lines.append("\(place)=\"\(text)\"")
        } else if let inner = leaves(bytes, place) {
          lines += inner
        } else {
          lines.append("\(place)=\(bytes.count) bytes \(GRPCFrame.hex(Array(bytes.prefix(32))))")
        }
      default: return nil
      }
    }
    return lines + counts.map { "\(path)\(path.isEmpty ? "" : ".")\($0.key) occurs \($0.value)" }
  }

  private static func words(_ bytes: ArraySlice<UInt8>) -> String? {
    guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
    let isPlain = text.unicodeScalars.allSatisfy { ($0.value >= 32 && $0.value != 127) || $0 == "\n" || $0 == "\t" }
    if !isPlain { return nil }
    return text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
  }
}

private struct Heard<Element: Sendable>: RPCWriterProtocol {
  let base: RPCWriter<Element>
  let hear: @Sendable (Element) -> Void
  func write(_ element: Element) async throws {
    hear(element)
    try await base.write(element)
  }
  func write(contentsOf elements: some Sequence<Element>) async throws { for element in elements { try await write(element) } }
}

private struct Read<Message: Sendable>: AsyncSequence, Sendable {
  typealias Part = StreamingClientResponse<Message>.Contents.BodyPart
  typealias Element = Part
  let base: RPCAsyncSequence<Part, any Error>
  let call: RecordedCalls.Call

  struct Iterator: AsyncIteratorProtocol {
    var base: RPCAsyncSequence<Part, any Error>.AsyncIterator
    let call: RecordedCalls.Call
    mutating func next() async throws -> Part? {
      do {
        guard let part = try await base.next() else {
          call.ends(nil)
          return nil
        }
        if case .message(let message) = part { call.receives(message) }
        return part
      } catch {
        call.ends(error)
        throw error
      }
    }
  }
  func makeAsyncIterator() -> Iterator { Iterator(base: base.makeAsyncIterator(), call: call) }
}
