import Protocols
import ShimRuntime
import Testing

@Suite struct EventBusTests {
  private func envelope(_ number: Int) -> EventEnvelope {
    EventEnvelope(timestamp: Timestamp(seconds: 1), namespace: "n", event: .namespaceDelete(name: "\(number)"))
  }

  @Test func everySubscriberGetsEverythingInOrder() async {
    let bus = EventBus()
    let first = bus.subscribe()
    let second = bus.subscribe()
    let sent = (0..<1000).map(envelope)
    for one in sent { bus.publish(one) }
    for stream in [first, second] {
      var got: [EventEnvelope] = []
      for await one in stream {
        got.append(one)
        if got.count == sent.count { break }
      }
      #expect(got == sent)
    }
  }

  @Test func nothingIsReplayed() async {
    let bus = EventBus()
    bus.publish(envelope(1))
    let stream = bus.subscribe()
    bus.publish(envelope(2))
    var iterator = stream.makeAsyncIterator()
    #expect(await iterator.next() == envelope(2))
  }

  @Test func aSubscriberThatFallsBehindIsEndedAndTheOthersGoOn() async {
    let bus = EventBus(capacity: 4)
    let slow = bus.subscribe()
    for number in 0..<5 { bus.publish(envelope(number)) }
    var got: [EventEnvelope] = []
    for await one in slow { got.append(one) }
    #expect(got == (0..<4).map(envelope), "what was queued is delivered, then the stream ends")
    var fresh = bus.subscribe().makeAsyncIterator()
    bus.publish(envelope(9))
    #expect(await fresh.next() == envelope(9))
  }

  @Test func subscribersEndWithTheBus() async {
    var bus: EventBus? = EventBus()
    let stream = bus!.subscribe()
    bus = nil
    var got = 0
    for await _ in stream { got += 1 }
    #expect(got == 0)
  }
}
