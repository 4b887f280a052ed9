import Protocols

/// An exchange that nobody else uses.
public struct EventSubject: Sendable {
  public var exchange: any EventExchange
  public init(exchange: any EventExchange) { self.exchange = exchange }

  func publish(_ number: Int) { exchange.publish(EventEnvelope(namespace: "n", event: .namespaceDelete(name: "\(number)"))) }
}

/// The contract of `EventExchange`.
public enum EventSuite {
  public static let cases: [ContractCase<EventSubject>] = [
    ContractCase("events.order", "every subscriber gets every envelope, in the order of publication", "EventExchange.subscribe; EVT-04") { subject in
      let streams = (0..<3).map { _ in subject.exchange.subscribe() }
      for number in 0..<1000 { subject.publish(number) }
      for stream in streams {
        let got = try await inTime("1000 envelopes") { await names(of: stream, count: 1000) }
        try expect(got == (0..<1000).map(String.init), "other envelopes, or in another order: \(got.prefix(10)) …")
      }
    },
    ContractCase("events.unchanged", "an envelope arrives as it was published", "EventExchange; EVT-06") { subject in
      let stream = subject.exchange.subscribe()
      let envelopes = [
        EventEnvelope(timestamp: Timestamp(seconds: 1, nanoseconds: 2), namespace: "a", event: .imageCreate(name: "i", labels: ["k": "v"])),
        EventEnvelope(timestamp: Timestamp(seconds: 3), namespace: "b", event: .other(topic: "/mine/own", TypedValue(typeURL: "t", value: [0, 255]))),
      ]
      for envelope in envelopes { subject.exchange.publish(envelope) }
      let got = try await inTime("two envelopes") { await taken(from: stream, count: 2) }
      try expectEqual(got, envelopes, "envelopes")
    },
    ContractCase("events.no-replay", "a subscription begins now: nothing is replayed", "EventExchange.subscribe; EVT-03") { subject in
      subject.publish(1)
      let stream = subject.exchange.subscribe()
      subject.publish(2)
      try expectEqual(try await inTime("an envelope") { await names(of: stream, count: 1) }, ["2"], "first envelope")
    },
    ContractCase("events.nobody-listens", "publishing needs no subscriber", "EventPublisher.publish; EVT-02") { subject in
      for number in 0..<100_000 { subject.publish(number) }
    },
    ContractCase("events.one-leaves", "a subscriber that goes away takes nothing from the others", "EventExchange.subscribe; EVT-04, EVT-02") { subject in
      let staying = subject.exchange.subscribe()
      let leaving = Task { await names(of: subject.exchange.subscribe(), count: 1_000_000) }
      try await Task.sleep(for: .milliseconds(20))
      subject.publish(1)
      leaving.cancel()
      _ = try await inTime("the end of a cancelled subscriber") { await leaving.value }
      subject.publish(2)
      try expectEqual(try await inTime("two envelopes") { await names(of: staying, count: 2) }, ["1", "2"], "envelopes of the one that stays")
    },
    ContractCase("events.one-is-slow", "a subscriber that falls too far behind is ended; the others go on", "EventExchange.subscribe: 16 384; EVT-05") {
      subject in
      let slow = subject.exchange.subscribe()
      let count = 16_384 + 10
      for number in 0..<count { subject.publish(number) }
      let got = try await inTime("the end of the slow subscriber") { await names(of: slow, count: count) }
      try expectEqual(got.count, 16_384, "envelopes that the slow subscriber still gets before it ends")
      let next = subject.exchange.subscribe()
      subject.publish(7)
      try expectEqual(try await inTime("an envelope") { await names(of: next, count: 1) }, ["7"], "envelopes of a new subscriber")
    },
    ContractCase("events.many-publishers", "publishers at the same time lose nothing, and each keeps its order", "EventExchange; EVT-04") { subject in
      let stream = subject.exchange.subscribe()
      _ = try await concurrently(8) { publisher in for number in 0..<200 { subject.publish(publisher * 1000 + number) } }
      let numbers = try await inTime("1600 envelopes") { await names(of: stream, count: 1600) }.compactMap { Int($0) }
      try expectEqual(Set(numbers).count, 1600, "envelopes")
      for publisher in 0..<8 {
        let own = numbers.filter { $0 / 1000 == publisher }
        try expect(own == own.sorted(), "publisher \(publisher)'s envelopes came in another order")
      }
    },
  ]

  private static func taken(from stream: AsyncStream<EventEnvelope>, count: Int) async -> [EventEnvelope] {
    var envelopes: [EventEnvelope] = []
    for await envelope in stream {
      envelopes.append(envelope)
      if envelopes.count == count { break }
    }
    return envelopes
  }

  private static func names(of stream: AsyncStream<EventEnvelope>, count: Int) async -> [String] {
    await taken(from: stream, count: count).map { if case .namespaceDelete(let name) = $0.event { name } else { "other" } }
  }
}
