import ConformanceSuites
import Protocols

/// A change, what must be there for it, and many like it that share no key.
struct SnapshotCrashScene: Sendable {
  /// Once.
  var common: [SnapshotOperation] = []
  /// What the change with this name works on.
  var ground: @Sendable (_ name: String) -> [SnapshotOperation] = { _ in [] }
  var change: @Sendable (_ name: String) -> SnapshotOperation
  /// How many in a row are worth a round, where the moment of the kill is chance.
  var row = 15

  static let base: [SnapshotOperation] = [
    .prepare("making base", parent: nil, [:]), .change("making base", [.makeDirectory("d"), .write("d/a", 1), .write("a", 2)]),
    .commit("base", key: "making base", ["keep": "base"]), .prepare("running", parent: "base", ["keep": "active"]), .change("running", [.write("b", 3)]),
    .view("looking", parent: "base", [:]),
  ]

  static let prepare = SnapshotCrashScene(common: base) { .prepare("new \($0)", parent: "base", ["l": "1"]) }
  static let first = SnapshotCrashScene(common: base) { .prepare("new \($0)", parent: nil, [:]) }
  static let view = SnapshotCrashScene(common: base) { .view("new \($0)", parent: "base", ["l": "1"]) }
  static let commit = SnapshotCrashScene(
    common: base,
    ground: {
      [.prepare("growing \($0)", parent: "base", ["old": "1"]), .change("growing \($0)", [.makeDirectory("e"), .write("e/a", 4), .remove("a")])]
    }
  ) { .commit("layer \($0)", key: "growing \($0)", ["new": "1"]) }
  static let remove = SnapshotCrashScene(
    common: base,
    ground: { [.prepare("old \($0)", parent: "base", [:]), .change("old \($0)", [.makeDirectory("e"), .makeDirectory("d/d"), .write("d/d/a", 5)])] }
  ) { .remove("old \($0)") }
  static let removeLayer = SnapshotCrashScene(
    common: base,
    ground: { [.prepare("making \($0)", parent: "base", [:]), .change("making \($0)", [.write("b", 5)]), .commit("layer \($0)", key: "making \($0)", [:])] }
  ) { .remove("layer \($0)") }
  static let update = SnapshotCrashScene(common: base, ground: { [.prepare("labelled \($0)", parent: "base", ["l": "1", "m": "1"])] }) {
    .update("labelled \($0)", ["l": "2", "n": "2"], mask: ["labels"])
  }
}

extension FreshSubjects where Subject == RestartSnapshotSubject {
  /// Kills the backend at every place that the change passes, or, where it has none, at moments by chance, starts it again, and compares.
  /// - Parameters:
  ///   - twice: whether it is killed again while it comes up.
  ///   - told: whether it is told to end (SIGTERM) instead, at moments by chance.
  func killed(over scene: SnapshotCrashScene, twice: Bool = false, told: Bool = false) async throws {
    try await telling { attempt in
      let subject = try await make()
      if told || !subject.process.hasFaultPlaces { return try await rounds(scene, subject, told: told, attempt) }
      let places = try await places(scene, subject, attempt)
      if places.isEmpty { throw SuiteError("the backend has fault places, and \(scene.change("0")) passes none") }
      var reached = 0
      for place in places {
        let subject = try await make()
        var run = SnapshotCrashRun(subject, attempt)
        attempt.begins("killed at \(place)")
        try await ready(&run, scene, ["0"])
        let died = try await at(place, &run, scene, twice: twice)
        if died { reached += 1 }
        try await subject.process.kill()
      }
      if reached == 0 { throw SuiteError("the backend was never killed: none of \(places) was reached again") }
    }
  }

  private func ready(_ run: inout SnapshotCrashRun, _ scene: SnapshotCrashScene, _ names: [String], starts: Bool = true) async throws {
    if starts, try await !run.start() { throw SuiteError("the backend was killed, and nobody asked for it") }
    if run.model.snapshots.isEmpty { for operation in scene.common { try await must(&run, operation) } }
    for name in names { for operation in scene.ground(name) { try await must(&run, operation) } }
  }

  private func must(_ run: inout SnapshotCrashRun, _ operation: SnapshotOperation) async throws {
    if run.subject.trees == nil, operation.verb == "change" { return }
    if try await run.step(operation) == .interrupted {
      throw Finding(kind: "died", what: operation.description, expected: "an answer", actual: "the backend ended: \(await run.subject.process.said())")
    }
  }

  /// Which places the change passes, those of the start before it included.
  private func places(_ scene: SnapshotCrashScene, _ subject: RestartSnapshotSubject, _ attempt: Attempt) async throws -> [FaultPlace] {
    var run = SnapshotCrashRun(subject, attempt)
    try await ready(&run, scene, ["0"])
    try await subject.process.kill()
    _ = try await run.recover(from: nil, at: "rest", BackendStart(traces: true))
    let before = try await subject.process.passed().count
    try await must(&run, scene.change("0"))
    let all = FaultPlace.all(try await subject.process.passed())
    try await subject.process.kill()
    return Array(all.dropFirst(before))
  }

  private func at(_ place: FaultPlace, _ run: inout SnapshotCrashRun, _ scene: SnapshotCrashScene, twice: Bool) async throws -> Bool {
    let change = scene.change("0")
    try await run.subject.process.kill()
    var fate = SnapshotCrashRun.Fate.answered
    var interrupted: SnapshotOperation?
    if try await run.recover(from: nil, at: "rest", BackendStart(crash: place)) {
      fate = try await run.step(change)
      interrupted = fate == .interrupted ? change : nil
    }
    // Answered first and killed then is as good: what was answered must be there.
    let died = try await run.subject.process.ended(within: 0) != nil
    try await run.subject.process.kill()
    if twice { try await again(&run, place) }
    guard try await run.recover(from: interrupted, at: "\(place)") else { return died }
    // What was interrupted can be done now, or has been.
    if fate == .interrupted { try await must(&run, change) }
    try await run.allFiles()
    try await run.removeEverything()
    return died
  }

  /// Comes up, and is killed on the way, as often as it passes places there.
  private func again(_ run: inout SnapshotCrashRun, _ place: FaultPlace) async throws {
    for number in 1...20 {
      if try await run.start(BackendStart(crash: .any(number))) {
        try await run.subject.process.kill()
        return
      }
      attempt(run, "killed again at place \(number) of its start")
    }
  }
  private func attempt(_ run: SnapshotCrashRun, _ text: String) { run.attempt.does(text) }

  /// Rows of changes, killed at a moment by chance.
  private func rounds(_ scene: SnapshotCrashScene, _ subject: RestartSnapshotSubject, told: Bool, _ attempt: Attempt) async throws {
    var chance = Chance(seed)
    var run = SnapshotCrashRun(subject, attempt)
    var span = 0.0
    for round in 0...max(2, Int(5 * budget)) {
      attempt.begins("round \(round)")
      let names = (0..<scene.row).map { "\(round).\($0)" }
      try await ready(&run, scene, names, starts: round == 0)
      // The first round only measures.
      let delay = round == 0 ? nil : Duration.seconds(span * Double(chance.below(1000)) / 1000)
      let process = subject.process
      let killer = delay.map { delay in
        Task {
          try await Task.sleep(for: delay)
          if !told { return try await process.kill() }
          if try await process.terminate(within: 30) != nil { return }
          throw Finding(
            kind: "deaf", what: "the backend, told to end (SIGTERM) \(delay) into a row of changes", expected: "it ends within 30 s", actual: "it still runs")
        }
      }
      let began = ContinuousClock.now
      var interrupted: SnapshotOperation?
      for name in names {
        let change = scene.change(name)
        if try await run.step(change) == .interrupted {
          interrupted = change
          break
        }
      }
      if round == 0 { span = began.duration(to: .now) / .seconds(1) }
      try await killer?.value
      try await process.kill()
      _ = try await run.recover(from: interrupted, at: delay.map { "\($0) into the row" } ?? "rest")
      if let interrupted { try await must(&run, interrupted) }
      try await run.allFiles()
      try await run.removeEverything()
    }
  }
}

extension FreshSubjects {
  /// Runs the body; what it finds is told with the steps that led to it.
  func telling(_ body: (Attempt) async throws -> Void) async throws {
    let attempt = Attempt(replaying: [])
    do { try await body(attempt) } catch let finding as Finding {
      for step in attempt.story { note(step.text, step.command, step.outcome) }
      let lines = attempt.story.suffix(12).map { "  \($0.text)\($0.outcome.isEmpty ? "" : " → \($0.outcome)")" }
      throw Mismatch(
        description: "\(finding)\nafter\n\(lines.joined(separator: "\n"))", expected: "\(finding.what): \(finding.expected)", actual: finding.actual)
    }
  }
}
