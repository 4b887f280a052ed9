import Protocols
import Testing

@testable import GRPCFrontend

@Suite("Filters of Events/Subscribe")
struct EventFilterTests {
  private func matches(_ filter: String, _ event: Event) throws -> Bool {
    let envelope = EventEnvelope(timestamp: .now(), namespace: "ns", event: event)
    return try FilterSet(parsing: [filter]).matches(FilterableEnvelope(envelope: envelope.wire()))
  }

  @Test(arguments: [
    ("namespace==ns", true), ("namespace==other", false), ("topic==\"/containers/create\"", true), ("topic~=|^/tasks/|", false),
    ("event.id==two", true), ("event.id==one", false), ("event.runtime.name==r", true), ("event.nothing", false),
    ("namespace==ns,event.image==i", true), ("namespace==ns,event.image==j", false),
  ])
  func `an envelope is asked for namespace, topic and fields, also where the event carries options of a type we do not know`(
    _ filter: String, _ expected: Bool
  ) throws {
    let options = TypedValue(typeURL: "containerd.runc.v1.Options", value: [])
    #expect(try matches(filter, .containerCreate(id: "two", image: "i", runtime: "r", options: options)) == expected)
  }

  @Test func `labels are asked for by key, dots and all`() throws {
    #expect(try matches("event.labels.\"a.b\"==c", .namespaceCreate(name: "n", labels: ["a.b": "c"])))
    #expect(try !matches("event.labels.\"a.b\"==d", .namespaceCreate(name: "n", labels: ["a.b": "c"])))
  }

  @Test func `an event of an unknown type has a namespace and a topic, and no fields`() throws {
    let event = Event.other(topic: "/x/y", TypedValue(typeURL: "some.Type", value: [1, 2, 3]))
    #expect(try matches("topic==\"/x/y\"", event))
    #expect(try !matches("event.id==two", event))
  }
}
