import Protocols
import Synchronization

/// Hands every envelope to every subscriber, in order, and remembers all of them. Trace name: `events.publish`, with the topic.
public final class InMemoryEventExchange: EventExchange {
  private struct State {
    var published: [EventEnvelope] = []
    var subscribers: [Int: AsyncStream<EventEnvelope>.Continuation] = [:]
    var last = 0
  }
  private let trace: CallTrace
  private let limit: Int
  private let state = Mutex(State())

  /// `limit`: how far a subscriber may fall behind before it is ended; the contract's unless a test wants to get there sooner.
  public init(trace: CallTrace = CallTrace(), limit: Int = 16_384) {
    self.trace = trace
    self.limit = limit
  }

  /// Everything so far. Not traced.
  public var published: [EventEnvelope] { state.withLock { $0.published } }
  public var topics: [String] { published.map(\.topic) }

  public func publish(_ envelope: EventEnvelope) {
    trace.record(component: "events", operation: "publish", arguments: [envelope.namespace, envelope.topic])
    let ended = state.withLock { state in
      state.published.append(envelope)
      var ended: [AsyncStream<EventEnvelope>.Continuation] = []
      for (id, subscriber) in state.subscribers {
        if case .dropped = subscriber.yield(envelope) {
          state.subscribers[id] = nil
          ended.append(subscriber)
        }
      }
      return ended
    }
    // Outside the lock: finishing calls `onTermination`, which takes it.
    for subscriber in ended { subscriber.finish() }
  }

  public func subscribe() -> AsyncStream<EventEnvelope> {
    let (stream, continuation) = AsyncStream.makeStream(of: EventEnvelope.self, bufferingPolicy: .bufferingOldest(limit))
    let id = state.withLock { state in
      state.last += 1
      state.subscribers[state.last] = continuation
      return state.last
    }
    continuation.onTermination = { [weak self] _ in self?.state.withLock { _ = $0.subscribers.removeValue(forKey: id) } }
    return stream
  }
}
