import ConformanceKit
import ConformanceSuites
import Glibc
import Protocols
import Synchronization

/// An exchange around another: what is published, and what subscribers get.
struct ExchangeWrapper: EventExchange {
  let base: any EventExchange
  var onPublish: (@Sendable (any EventExchange, EventEnvelope) -> Void)?
  var onSubscribe: (@Sendable (any EventExchange) -> AsyncStream<EventEnvelope>)?

  init(_ base: any EventExchange, _ change: (inout Self) -> Void) {
    self.base = base
    change(&self)
  }
  func publish(_ envelope: EventEnvelope) { if let onPublish { onPublish(base, envelope) } else { base.publish(envelope) } }
  func subscribe() -> AsyncStream<EventEnvelope> { onSubscribe.map { $0(base) } ?? base.subscribe() }
}

/// An exchange of its own whose subscribers are kept in one list.
private final class ListExchange: EventExchange {
  private let limit: Int?
  private let oneEndsAll: Bool
  private let subscribers = Mutex<[AsyncStream<EventEnvelope>.Continuation]>([])

  init(limit: Int?, oneEndsAll: Bool) {
    self.limit = limit
    self.oneEndsAll = oneEndsAll
  }
  func publish(_ envelope: EventEnvelope) { for subscriber in subscribers.withLock({ $0 }) { subscriber.yield(envelope) } }
  func subscribe() -> AsyncStream<EventEnvelope> {
    let (stream, continuation) = AsyncStream.makeStream(of: EventEnvelope.self, bufferingPolicy: limit.map { .bufferingNewest($0) } ?? .unbounded)
    subscribers.withLock { $0.append(continuation) }
    if oneEndsAll {
      continuation.onTermination = { [weak self] _ in
        for other in self?.subscribers.withLock({ $0 }) ?? [] { other.finish() }
      }
    }
    return stream
  }
}

/// Faults of event exchanges.
enum EventMutants {
  private static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout ExchangeWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .events, kills: kills, symptom: symptom) { $0.wrap(EventSubject.self) { $0.exchange = ExchangeWrapper($0.exchange, change) } }
  }

  static let all: [Mutant] = [
    mutant("identity-events", "every envelope is handed on unchanged", kills: []) { _ in },
    mutant("slow-events", "publishing takes a little longer", kills: []) {
      $0.onPublish = { base, envelope in
        base.publish(envelope)
        sched_yield()
      }
    },
    mutant("events-overtaken", "now and then an envelope is overtaken by the next", kills: ["events.order"], symptom: "in another order") {
      let state = Kept<(count: Int, held: EventEnvelope?)>((0, nil))
      $0.onPublish = { base, envelope in
        let now = state.with { state -> [EventEnvelope] in
          state.count += 1
          if state.count % 100 == 7 {
            state.held = envelope
            return []
          }
          defer { state.held = nil }
          return [envelope] + (state.held.map { [$0] } ?? [])
        }
        for envelope in now { base.publish(envelope) }
      }
    },
    mutant("events-restamped", "an envelope gets the time at which it is handed on", kills: ["events.unchanged"], symptom: "envelopes") {
      $0.onPublish = { base, envelope in base.publish(EventEnvelope(namespace: envelope.namespace, event: envelope.event)) }
    },
    mutant("events-replay", "a subscriber gets the last envelope from before", kills: ["events.no-replay"], symptom: "first envelope") {
      let last = Kept<EventEnvelope?>(nil)
      $0.onPublish = { base, envelope in
        last.set(envelope)
        base.publish(envelope)
      }
      $0.onSubscribe = { base in
        let rest = base.subscribe()
        let (stream, continuation) = AsyncStream.makeStream(of: EventEnvelope.self)
        if let last = last.now { continuation.yield(last) }
        Task {
          for await envelope in rest { continuation.yield(envelope) }
          continuation.finish()
        }
        return stream
      }
    },
    mutant("events-need-a-listener", "where nobody listens the queue runs over", kills: ["events.nobody-listens"]) {
      let (waiting, listening) = (Kept(0), Kept(false))
      $0.onPublish = { base, envelope in
        let count = waiting.with { value in
          value += 1
          return value
        }
        if !listening.now && count > 50_000 { fatalError("event queue: \(count) envelopes and nobody to take them") }
        base.publish(envelope)
      }
      $0.onSubscribe = { base in
        listening.set(true)
        return base.subscribe()
      }
    },
    Mutant(
      "events-one-ends-all", "a subscriber that leaves ends all others", in: .events, kills: ["events.one-leaves"], symptom: "envelopes of the one that stays"
    ) {
      $0.wrap(EventSubject.self) { $0.exchange = ListExchange(limit: nil, oneEndsAll: true) }
    },
    Mutant(
      "events-boundless", "a subscriber that falls behind keeps everything in memory", in: .events, kills: ["events.one-is-slow"],
      symptom: "still gets before it ends"
    ) {
      $0.wrap(EventSubject.self) { $0.exchange = ListExchange(limit: nil, oneEndsAll: false) }
    },
    mutant("events-busy-drops", "what is published while another publishes is lost", kills: ["events.many-publishers"]) {
      let turn = Turn()
      $0.onPublish = { base, envelope in
        turn.ifFree {
          usleep(50)
          base.publish(envelope)
        }
      }
    },
  ]
}

/// Something that one at a time may do, and others do not wait for.
private final class Turn: Sendable {
  private let mutex = Mutex(())
  func ifFree(_ body: () -> Void) { _ = mutex.withLockIfAvailable { _ in body() } }
}
