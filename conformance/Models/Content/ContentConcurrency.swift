import ConformanceSuites
import Protocols

/// Several clients of one content store.
enum ContentConcurrency {
  /// A random prefix, then clients at once on few refs and blobs: their answers and what is left must fit some order.
  static func check(_ attempt: Attempt, _ driver: ContentDriver, _ rules: ContentRules) async throws {
    var states = PossibleStates(ContentModel(rules, together: true))
    var generator = ContentGenerator()
    generator.walks = false
    generator.refs = ["r", "s"]
    // What is there now may be gone when the call is made, and the opening another than it was meant to be.
    generator.expectations = rules.linking != .unknown && rules.startsAnew
    var opened = 0
    try await attempt.sequence(atMost: 5) {
      if states.likely.writers[opened] != nil { opened += 1 }
      let operation = generator.draw(attempt, states.likely, next: opened)
      attempt.does(operation.description, command: operation.command)
      let came = try await driver.perform(operation)
      attempt.came("\(came)")
      if let expected = states.follow(operation, came) {
        throw Finding(kind: operation.verb, what: operation.description, expected: expected, actual: "\(came)")
      }
    }
    var scripts: [[ContentOperation]] = []
    for client in 0..<(2 + attempt.draw(2)) {
      // Each client uses the writers that it opened itself.
      var guess = states.likely
      var next = 100 * (client + 1)
      generator.mine = []
      var script: [ContentOperation] = []
      try await attempt.sequence(atMost: 5) {
        let operation = generator.draw(attempt, guess, next: next)
        if case .open(let writer, _, _, _) = operation {
          generator.mine?.insert(writer)
          next += 1
        }
        _ = guess.expects(operation)
        script.append(operation)
      }
      scripts.append(script)
    }
    let run = ConcurrentRun<ContentModel>(scripts) { try await driver.perform($0) }
    let closing: [ContentOperation] = [.statuses, .walk([])]
    let history = try await run.run(closing: closing)
    try ConcurrentRun.judge(states, history, linked: [], keys: { _ in ["all"] }, attempt)
  }
}
