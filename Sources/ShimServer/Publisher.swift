import CLinux
import ShimWire
import SystemKit

/// Hands events to the daemon, in order, one call at a time. The connection is made when there is something to say and made
/// again after it broke. An event that nobody takes is given up after five attempts; the end of a process never is.
final class Publisher {
  private struct Entry {
    let request: [UInt8]
    let lasting: Bool
    var attempts = 0
  }
  private static let capacity = 2048
  private static let timeout: Int64 = 5000

  private let loop: EventLoop
  private let address: String
  private let namespace: String
  private var queue: [Entry] = []
  private var connection: Connection?
  private var stream: UInt32 = 1
  /// The stream of the call that is under way.
  private var pending: UInt32?
  private var waiting = false
  private var onIdle: (() -> Void)?

  init(_ loop: EventLoop, address: String, namespace: String) {
    self.loop = loop
    self.address = address.hasPrefix("unix://") ? String(address.dropFirst(7)) : address
    self.namespace = namespace
  }

  func publish(_ topic: String, _ type: String, _ event: some WireMessage) {
    if address.isEmpty { return }
    let envelope = Envelope(
      timestamp: Clock.now(), namespace: namespace, topic: topic, event: WireAny(typeURL: "containerd.events." + type, value: event.encoded))
    let request = TTRPCRequest(
      service: "containerd.services.events.ttrpc.v1.Events", method: "Forward", payload: ForwardRequest(envelope: envelope).encoded,
      timeoutNano: Self.timeout * 1_000_000, metadata: [KeyValue(key: "containerd-namespace-ttrpc", value: namespace)])
    if queue.count >= Self.capacity {
      // The first may be under way.
      guard let victim = queue.dropFirst().firstIndex(where: { !$0.lasting }) else {
        return enqueue(Entry(request: request.encoded, lasting: type == "TaskExit"))
      }
      queue.remove(at: victim)
    }
    enqueue(Entry(request: request.encoded, lasting: type == "TaskExit"))
  }

  /// Calls once, when there is nothing left to deliver.
  func whenIdle(_ action: @escaping () -> Void) {
    onIdle = action
    advance()
  }

  private func enqueue(_ entry: Entry) {
    queue.append(entry)
    advance()
  }

  private func advance() {
    if pending != nil || waiting { return }
    guard let first = queue.first else {
      let idle = onIdle
      onIdle = nil
      idle?()
      return
    }
    guard let connection = connect() else { return retry() }
    let id = stream
    stream &+= 2
    pending = id
    connection.send(TTRPCFrame(stream: id, type: TTRPCFrame.request, payload: first.request))
    loop.after(milliseconds: Self.timeout) { [self] in
      if pending == id { connection.close() }
    }
  }

  private func connect() -> Connection? {
    if let connection { return connection }
    guard let fd = try? UnixSocket.connect(address) else { return nil }
    let made = Connection(loop, fd: fd.release())
    stream = 1
    made.onItem = { [self] in received($0) }
    made.onClose = { [self] in
      connection = nil
      if pending != nil {
        pending = nil
        retry()
      }
    }
    connection = made
    return made
  }

  private func received(_ item: TTRPCFrameDecoder.Item) {
    guard case .frame(let frame) = item, frame.type == TTRPCFrame.response, frame.stream == pending else { return }
    pending = nil
    let code = (try? TTRPCResponse(wire: frame.payload))?.status?.code ?? 0
    if code == 0 {
      queue.removeFirst()
      advance()
    } else {
      // Somebody who answers and refuses five times will not change his mind.
      if queue[0].attempts >= 4 { queue.removeFirst() }
      retry()
    }
  }

  private func retry() {
    guard !queue.isEmpty else { return }
    queue[0].attempts += 1
    let attempts = queue[0].attempts
    if attempts >= 5, !queue[0].lasting { queue.removeFirst() }
    waiting = true
    loop.after(milliseconds: Int64(min(attempts, 5)) * 500) { [self] in
      waiting = false
      advance()
    }
  }
}
