import Protocols
import Synchronization

/// The exchange of one daemon: hands every envelope to every subscriber, in the order of publication.
///
/// Publishing is a few enqueueings under a lock: it never waits for a subscriber. One that falls more than `capacity` envelopes
/// behind gets what was queued for it and is then ended.
public final class EventBus: EventExchange {
  private struct State {
    var next = 0
    var subscribers: [Int: AsyncStream<EventEnvelope>.Continuation] = [:]
  }

  private let capacity: Int
  private let state = Mutex(State())

  public init(capacity: Int = 16_384) {
    self.capacity = capacity
  }

  deinit {
    let subscribers = state.withLock { $0.subscribers }
    for subscriber in subscribers.values { subscriber.finish() }
  }

  public func publish(_ envelope: EventEnvelope) {
    // All yields happen under the lock: that is what makes the order the same for everybody. Ending a subscriber calls its
    // termination handler, which takes the lock, so that happens after.
    let tooSlow = state.withLock { state in
      var tooSlow: [AsyncStream<EventEnvelope>.Continuation] = []
      for (id, subscriber) in state.subscribers {
        switch subscriber.yield(envelope) {
        case .enqueued: continue
        default:
          tooSlow.append(subscriber)
          state.subscribers[id] = nil
        }
      }
      return tooSlow
    }
    for subscriber in tooSlow { subscriber.finish() }
  }

  public func subscribe() -> AsyncStream<EventEnvelope> {
    let (stream, continuation) = AsyncStream.makeStream(of: EventEnvelope.self, bufferingPolicy: .bufferingOldest(capacity))
    let id = state.withLock { state in
      state.next += 1
      state.subscribers[state.next] = continuation
      return state.next
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { $0.subscribers[id] = nil }
    }
    return stream
  }
}
