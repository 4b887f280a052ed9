import ConformanceKit
import ConformanceWireSuites

extension ShimMutants {
  static let events: [Mutant] = [
    FaultyShim.events("shim-exit-before-start", "the end is told before the start", kills: ["shim.events.order"], symptom: "events of a task") {
      swap($0, "/tasks/start", "/tasks/exit") { $0.process == $0.container || $0.process.isEmpty }
    },
    FaultyShim.events(
      "shim-exec-exit-before-started", "the end of an exec is told before its start", kills: ["shim.events.exec-order"], symptom: "events of the exec"
    ) { swap($0, "/tasks/exec-started", "/tasks/exit") { $0.process == "e" } },
    FaultyShim.events(
      "shim-init-exit-first", "the end of the task is told before the ends of its execs", kills: ["shim.events.exec-before-init"], symptom: "told last"
    ) { events in
      let exits = events.filter { $0.topic == "/tasks/exit" }
      // Nothing is told before all of it can be told in the wrong order.
      guard let first = exits.last(where: { $0.process == $0.container }), exits.count > 1 else { return events }
      return events.filter { $0.topic != "/tasks/exit" } + [first] + exits.filter { $0 != first }
    },
    FaultyShim.events("shim-exit-twice", "a second end is told, with 137", kills: ["shim.events.exit-once"], symptom: "told 2 times") { events in
      events.flatMap { event -> [ShimEvent] in
        var second = event
        second.code = 137
        return event.topic == "/tasks/exit" ? [event, second] : [event]
      }
    },
    FaultyShim.events("shim-exit-code-in-event", "the event tells 0 for every end", kills: ["shim.events.exit-agrees"], symptom: "code in /tasks/exit") {
      $0.map { event in
        var event = event
        event.code = 0
        return event
      }
    },
    FaultyShim.events("shim-event-namespace", "events are told in another namespace", kills: ["shim.events.namespace"], symptom: "namespaces of the events") {
      $0.map { event in
        var event = event
        event.namespace = "default"
        return event
      }
    },
  ]

  /// The two events of a process change places, once both are there.
  private static func swap(_ events: [ShimEvent], _ first: String, _ second: String, _ wanted: (ShimEvent) -> Bool) -> [ShimEvent] {
    guard let one = events.firstIndex(where: { $0.topic == first && wanted($0) }),
      let other = events.firstIndex(where: { $0.topic == second && wanted($0) })
    else { return events }
    var events = events
    events.swapAt(one, other)
    return events
  }
}
