import BlockingIO
import NIOCore
import NIOHTTP1
import Synchronization

/// What the faults make of an answer.
struct SendPlan: Sendable {
  var cutAfter: Int64?
  var gate: RegistryGate?
  var stallAfter: Int64?
  var corrupt: Int64?
  var rate: Int64?
  var closes = false

  /// Faults change the answer itself where they can; the rest is for the sender.
  init(_ response: inout Response, _ faults: [RegistryFaults.Fault], rate: Int64?) {
    self.rate = rate
    var off: Int64 = 0
    for fault in faults {
      switch fault {
      case .cut(let bytes): cutAfter = bytes
      case .cutAtGate(let bytes, let gate): (cutAfter, self.gate) = (bytes, gate)
      case .stall(let bytes): stallAfter = bytes
      case .corrupt(let byte): corrupt = byte
      case .corruptBlob(let place):
        if case .file(_, let range) = response.body, range.contains(place) { corrupt = place - range.lowerBound }
      case .truncate(let count): Self.truncate(&response, to: count)
      case .replace(let bytes): response.body = .bytes(bytes)
      case .contentLength(let difference): off = difference
      case .shiftRange(let shift): Self.shift(&response, by: shift)
      case .throttle(let bytes): self.rate = bytes
      default: break
      }
    }
    if !(100..<200).contains(response.status.code), ![204, 304].contains(response.status.code) {
      response.headers.replaceOrAdd(name: "Content-Length", value: String(response.body.count + off))
    }
    for case .header(let name, let value) in faults {
      if let value { response.headers.replaceOrAdd(name: name, value: value) } else { response.headers.remove(name: name) }
    }
    closes = off != 0 || cutAfter != nil || stallAfter != nil
  }

  private static func truncate(_ response: inout Response, to count: Int64) {
    switch response.body {
    case .bytes(let bytes): response.body = .bytes(Array(bytes.prefix(Int(count))))
    case .file(let file, let range): response.body = .file(file, range.lowerBound..<min(range.upperBound, range.lowerBound + count))
    }
  }

  private static func shift(_ response: inout Response, by bytes: Int64) {
    guard response.status == .partialContent, case .file(let file, let range) = response.body else { return }
    let shifted = min(file.size - 1, max(0, range.lowerBound + bytes))..<range.upperBound
    response.body = .file(file, shifted)
    response.headers.replaceOrAdd(name: "Content-Range", value: "bytes \(shifted.lowerBound)-\(shifted.upperBound - 1)/\(file.size)")
  }
}

/// Writes an answer to a connection, each piece once the one before has left.
struct ResponseSender: Sendable {
  /// The connection is to be closed here and now.
  struct Cut: Error {}

  private static let piece: Int64 = 256 << 10

  let channel: any Channel
  let pool: BlockingPool
  let entry: AccessLog.Entry
  let faults: RegistryFaults

  func send(_ response: Response, version: HTTPVersion, bodiless: Bool, _ plan: SendPlan) async throws {
    try await write(.head(HTTPResponseHead(version: version, status: response.status, headers: response.headers)))
    if !bodiless { try await sendBody(response.body, plan) }
    // A client that has what it wanted may leave now.
    entry.record.withLock { $0.isComplete = true }
    try await write(.end(nil))
  }

  private func sendBody(_ body: Response.Body, _ plan: SendPlan) async throws {
    let began = ContinuousClock.now
    var position: Int64 = 0
    while true {
      if let cut = plan.cutAfter, position >= cut {
        // Clients drop what they have not read when a connection breaks: what was sent should be read first.
        if let gate = plan.gate { await gate.wait() } else { try await Task.sleep(for: .milliseconds(50)) }
        throw Cut()
      }
      if let stall = plan.stallAfter, position >= stall { try await Task.sleep(for: .seconds(86_400)) }
      if position >= body.count { return }
      if faults.isAway { throw Cut() }
      var count = min(Self.piece, body.count - position)
      for limit in [plan.cutAfter, plan.stallAfter] { if let limit { count = min(count, limit - position) } }
      for rate in [plan.rate, faults.throttle.rate] { if let rate { count = min(count, max(1, rate / 20)) } }
      var bytes = try await read(body, at: position, count: Int(count))
      if bytes.isEmpty { throw Cut() }
      if let corrupt = plan.corrupt, (position..<position + Int64(bytes.count)).contains(corrupt) { bytes[Int(corrupt - position)] ^= 0xff }
      if let turn = faults.throttle.turn(bytes.count) { try await Task.sleep(until: turn) }
      // Counted before it leaves: who has received it must find it in the log.
      entry.record.withLock { $0.bytesSent += Int64(bytes.count) }
      try await write(.body(.byteBuffer(ByteBuffer(bytes: bytes))))
      position += Int64(bytes.count)
      if let rate = plan.rate { try await Task.sleep(until: began + .microseconds(position * 1_000_000 / max(1, rate))) }
    }
  }

  private func read(_ body: Response.Body, at offset: Int64, count: Int) async throws -> [UInt8] {
    switch body {
    case .bytes(let bytes): Array(bytes[Int(offset)..<Int(offset) + count])
    case .file(let file, let range): try await pool.run { try file.read(at: range.lowerBound + offset, count: count) }
    }
  }

  private func write(_ part: HTTPServerResponsePart) async throws { try await channel.writeAndFlush(part).get() }
}
