import ConformanceSuites
import Protocols

/// Several clients of one snapshotter.
enum SnapshotConcurrency {
  /// A random prefix, then two to four clients at once on few keys: their answers and what is left must fit some order.
  static func check(_ attempt: Attempt, _ subject: SnapshotSubject) async throws {
    var machine = SnapshotMachine(subject)
    var generator = SnapshotGenerator(walks: false)
    generator.names = Array(generator.names.prefix(3))
    try await attempt.sequence(atMost: 5) { try await machine.step(generator.draw(attempt, machine.model), attempt) }
    // Generated against a guess of the state: which of them happens first is what is left open.
    var guess = machine.model
    var scripts: [[SnapshotOperation]] = []
    for _ in 0..<(2 + attempt.draw(3)) {
      var script: [SnapshotOperation] = []
      try await attempt.sequence(atMost: 5) {
        let operation = generator.draw(attempt, guess)
        if attempt.chance(40) { _ = guess.expects(operation) }
        script.append(operation)
      }
      scripts.append(script)
    }
    let run = ConcurrentRun<SnapshotModel>(scripts) { [driver = machine.driver] in try await driver.perform($0).came }
    let history = try await run.run(closing: generator.names.map { .stat($0) })
    let linked = machine.model.snapshots.map { [$0.key] + [$0.value.parent].compactMap { $0 } }
    try ConcurrentRun.judge(PossibleStates(machine.model), history, linked: linked, keys: \.keys, attempt)
    try await present(history, subject)
  }

  /// A walk tells exactly what the closing questions found.
  private static func present(_ history: [ConcurrentRun<SnapshotModel>.Call], _ subject: SnapshotSubject) async throws {
    let found = history.filter { $0.client < 0 }.compactMap { call -> SnapshotFacts? in
      if case .answer(.info(let facts)) = call.came { facts } else { nil }
    }
    let walked = try await SnapshotDriver(subject).perform(.walk([])).came
    let expected = SnapshotAnswer.infos(Set(found))
    guard case .answer(let answer) = walked, answer == expected else {
      throw Finding(kind: "walk", what: "a walk after calls at the same time", expected: "what stat tells: \(expected)", actual: "\(walked)")
    }
  }
}
