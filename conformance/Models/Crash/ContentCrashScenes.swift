import ConformanceSuites
import Protocols

/// A change of a content store, what must be there for it, and what can be done afterwards.
struct ContentCrashScene: Sendable {
  typealias Operations = @Sendable (_ name: String, ContentCrashRun) -> [ContentOperation]
  /// Once.
  var common: @Sendable (ContentCrashRun) -> [ContentOperation]
  /// What the change with this name works on, done right before it.
  var ground: Operations = { _, _ in [] }
  var change: @Sendable (_ name: String, ContentCrashRun) -> ContentOperation
  /// What must be possible after an interrupted change.
  var afterwards: @Sendable (_ name: String, inout ContentCrashRun) async throws -> Void = { _, _ in }
  var row = 25
}

extension ContentCrashScene {
  init(
    common: @escaping @Sendable (ContentCrashRun) -> [ContentOperation], ground: @escaping Operations = { _, _ in [] },
    _ change: @escaping @Sendable (String, ContentCrashRun) -> ContentOperation
  ) { self.init(common: common, ground: ground, change: change) }
}

extension FreshSubjects where Subject == RestartContentSubject {
  /// Kills the store at every place that the change passes, or, where it has none, at moments by chance, starts it again, and compares.
  func killed(over scene: ContentCrashScene) async throws {
    try await telling { attempt in
      let subject = try await make()
      if !subject.process.hasFaultPlaces { return try await rounds(scene, subject, attempt) }
      let places = try await places(scene, subject, attempt)
      if places.isEmpty { throw SuiteError("the store has fault places, and the change passes none") }
      var reached = 0
      for place in places {
        attempt.begins("killed at \(place)")
        let subject = try await make()
        if try await at(place, subject, scene, attempt) { reached += 1 }
        try await subject.process.kill()
      }
      if reached == 0 { throw SuiteError("the store was never killed: none of \(places) was reached again") }
    }
  }

  private func begin(_ run: inout ContentCrashRun, _ scene: ContentCrashScene) async throws {
    guard try await run.start() else { throw SuiteError("the store was killed, and nobody asked for it") }
    for operation in scene.common(run) { try await run.must(operation) }
  }

  /// What the change passes. A writer lives in its process: what it works on is done by the same, and its places are passed first.
  private func places(_ scene: ContentCrashScene, _ subject: RestartContentSubject, _ attempt: Attempt) async throws -> [FaultPlace] {
    var run = ContentCrashRun(subject, attempt)
    try await begin(&run, scene)
    try await subject.process.kill()
    _ = try await run.recover(from: nil, at: "rest", BackendStart(traces: true))
    for operation in scene.ground("0", run) { try await run.must(operation) }
    let before = try await subject.process.passed().count
    try await run.must(scene.change("0", run))
    let all = FaultPlace.all(try await subject.process.passed())
    try await subject.process.kill()
    // What was answered is there afterwards too.
    _ = try await run.recover(from: nil, at: "rest")
    try await subject.process.kill()
    return Array(all.dropFirst(before))
  }

  private func at(_ place: FaultPlace, _ subject: RestartContentSubject, _ scene: ContentCrashScene, _ attempt: Attempt) async throws -> Bool {
    var run = ContentCrashRun(subject, attempt)
    try await begin(&run, scene)
    try await subject.process.kill()
    var interrupted: ContentOperation?
    if try await run.recover(from: nil, at: "rest", BackendStart(crash: place)) {
      for operation in scene.ground("0", run) { try await run.must(operation) }
      let change = scene.change("0", run)
      if try await run.step(change) == .interrupted { interrupted = change }
    }
    let died = try await subject.process.ended(within: 0) != nil
    try await subject.process.kill()
    _ = try await run.recover(from: interrupted, at: "\(place)")
    try await scene.afterwards("0", &run)
    try await run.removeEverything()
    return died
  }

  private func rounds(_ scene: ContentCrashScene, _ subject: RestartContentSubject, _ attempt: Attempt) async throws {
    var chance = Chance(seed)
    var run = ContentCrashRun(subject, attempt)
    var span = 0.0
    try await begin(&run, scene)
    for round in 0...max(2, Int(6 * budget)) {
      attempt.begins("round \(round)")
      // The first round only measures.
      let delay = round == 0 ? nil : Duration.seconds(span * Double(chance.below(1000)) / 1000)
      let process = subject.process
      let killer = delay.map { delay in
        Task {
          try await Task.sleep(for: delay)
          try await process.kill()
        }
      }
      let began = ContinuousClock.now
      var interrupted: ContentOperation?
      var names: [String] = []
      changes: for number in 0..<scene.row {
        names.append("\(round).\(number)")
        for operation in scene.ground(names[number], run) {
          if try await run.step(operation) == .interrupted {
            interrupted = operation
            break changes
          }
        }
        let change = scene.change(names[number], run)
        if try await run.step(change) == .interrupted {
          interrupted = change
          break changes
        }
      }
      if round == 0 { span = began.duration(to: .now) / .seconds(1) }
      try await killer?.value
      try await process.kill()
      _ = try await run.recover(from: interrupted, at: delay.map { "\($0) into the row" } ?? "rest")
      if let last = names.last { try await scene.afterwards(last, &run) }
    }
    try await run.removeEverything()
  }
}
