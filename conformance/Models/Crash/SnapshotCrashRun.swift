import ConformanceSuites
import Protocols
import Synchronization

/// A snapshotter whose process is ended now and then, beside its model: what was answered must be there afterwards, and what was interrupted
/// has happened or has not.
struct SnapshotCrashRun {
  let subject: RestartSnapshotSubject
  let attempt: Attempt
  private(set) var machine: SnapshotMachine
  private let current = CurrentSnapshotter()
  /// What layers took when they were committed: it is told for ever.
  private var usages: [String: SnapshotUsage] = [:]

  enum Fate { case answered, interrupted }

  init(_ subject: RestartSnapshotSubject, _ attempt: Attempt) {
    self.subject = subject
    self.attempt = attempt
    machine = SnapshotMachine(SnapshotSubject(snapshotter: current, trees: subject.trees))
  }

  var model: SnapshotModel { machine.model }

  /// Starts the process. False if it died on the way, as it was told to.
  func start(_ start: BackendStart = .plain) async throws -> Bool {
    do { try await subject.process.start(start) } catch let refused as StartRefused {
      if start.crash != nil, refused.end == .killed(by: 9) { return false }
      throw Finding(kind: "start", what: "the start of the backend", expected: "it serves", actual: "\(refused)")
    }
    do { current.set(try await subject.open()) } catch {
      // It may die of the first call already.
      guard start.crash != nil, try await subject.process.ended(within: 3) != nil else { throw error }
      return false
    }
    return true
  }

  /// Does one operation with both and compares, unless the process dies over it.
  mutating func step(_ operation: SnapshotOperation) async throws -> Fate {
    attempt.does(operation.description, command: operation.command)
    let result: SnapshotDriver.Result
    do {
      if case .commit(let name, let key, _) = operation, model.snapshots[key]?.kind == .active, model.snapshots[name] == nil {
        usages[name] = try await current.usage(key)
      }
      result = try await machine.driver.perform(operation)
    } catch let finding as Finding { throw finding } catch {
      guard try await subject.process.ended(within: 5) != nil else { throw error }
      attempt.came("the backend was killed over it")
      return .interrupted
    }
    if case .failure(let code, _) = result.came, try await died(code) {
      attempt.came("the backend was killed over it")
      return .interrupted
    }
    attempt.came("\(result.came)")
    try machine.judge(operation, result)
    return .answered
  }

  /// An error of the contract, or of a connection whose other end is gone?
  private func died(_ code: ContainerdError.Code) async throws -> Bool {
    let ofConnections: Set<ContainerdError.Code> = [.unavailable, .unknown, .internalError, .canceled]
    return try await subject.process.ended(within: ofConnections.contains(code) ? 3 : 0) != nil
  }

  /// Starts a process that has ended, and finds out what is there.
  /// - Parameter place: words for where it ended.
  /// - Returns: false if it died again on the way, as it was told to.
  mutating func recover(from operation: SnapshotOperation?, at place: String, _ start: BackendStart = .plain) async throws -> Bool {
    attempt.does(start.crash.map { "start it again, to die at \($0)" } ?? "start it again")
    guard try await self.start(start) else {
      attempt.came("killed on the way")
      return false
    }
    try await settle(operation, place)
    return true
  }

  /// Whether what is there is what was there before the operation, or what the operation makes of it.
  private mutating func settle(_ operation: SnapshotOperation?, _ place: String) async throws {
    var allowed = [machine.model]
    if let operation, operation.verb != "change" {
      var after = machine.model
      if case .answer = after.expects(operation) { allowed.insert(after, at: 0) }
    }
    let deadline = ContinuousClock.now + .seconds(subject.settling)
    while true {
      let found = try await machine.driver.perform(.walk([])).came
      if let model = allowed.first(where: { found == .answer(.infos($0.infos)) }) {
        machine.adopt(model, touched: operation?.keys ?? [])
        do {
          try await wellKept(place)
          return
        } catch let finding as Finding { if ContinuousClock.now > deadline { throw finding } }
      } else if ContinuousClock.now > deadline {
        throw Finding(
          kind: "after the kill", what: "what is there after a kill at \(place)\(operation.map { " during \($0)" } ?? "")",
          expected: Set(allowed.map { "\(SnapshotAnswer.infos($0.infos))" }).sorted().joined(separator: ", or "), actual: "\(found)")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  /// Everything that is listed can be asked for, and says what it said before.
  private mutating func wellKept(_ place: String) async throws {
    try await machine.everything(attempt)
    for key in machine.model.snapshots.keys.sorted() {
      for operation in [SnapshotOperation.stat(key), .mounts(key), .usage(key)] {
        do {
          try machine.judge(operation, try await machine.driver.perform(operation))
          if case .usage = operation { try await usage(key) }
        } catch let finding as Finding {
          throw Finding(kind: finding.kind, what: "\(finding.what), after a kill at \(place)", expected: finding.expected, actual: finding.actual)
        }
      }
    }
  }

  private mutating func usage(_ key: String) async throws {
    guard machine.model.snapshots[key]?.kind == .committed else {
      usages[key] = nil
      return
    }
    let now = try await current.usage(key)
    if let before = usages[key], before != now {
      throw Finding(kind: "usage", what: "usage of the layer \"\(key)\"", expected: "what it took when it was committed: \(before)", actual: "\(now)")
    }
    usages[key] = now
  }

  /// What every snapshot holds.
  mutating func allFiles() async throws { if subject.trees != nil { try await machine.allFiles(attempt) } }

  /// Everything can be removed, and nothing is left of it.
  mutating func removeEverything() async throws {
    while let leaf = machine.model.snapshots.keys.sorted().first(where: { !machine.model.hasChildren($0) }) {
      if try await step(.remove(leaf)) == .interrupted {
        throw Finding(kind: "died", what: "remove of \"\(leaf)\"", expected: "an answer", actual: "the backend ended: \(await subject.process.said())")
      }
    }
    _ = try await step(.cleanup)
    let deadline = ContinuousClock.now + .seconds(subject.settling)
    var left: [String] = []
    repeat {
      left = try await subject.leftovers?() ?? []
      if left.isEmpty { return }
      try await Task.sleep(for: .milliseconds(50))
    } while ContinuousClock.now < deadline
    throw Finding(
      kind: "left over", what: "directories of snapshots, once every snapshot was removed and cleanup asked for", expected: "none",
      actual: left.joined(separator: ", "))
  }
}

/// Whichever snapshotter is the present one.
private final class CurrentSnapshotter: Snapshotter {
  private let held = Mutex<(any Snapshotter)?>(nil)
  func set(_ snapshotter: any Snapshotter) { held.withLock { $0 = snapshotter } }
  private var base: any Snapshotter {
    get throws {
      guard let base = held.withLock({ $0 }) else { throw SuiteError("no backend was started") }
      return base
    }
  }

  func stat(_ key: String) async throws -> SnapshotInfo { try await base.stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await base.update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await base.usage(key) }
  func mounts(_ key: String) async throws -> [Mount] { try await base.mounts(key) }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.prepare(key, parent: parent, labels: labels) }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.view(key, parent: parent, labels: labels) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await base.commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws { try await base.remove(key) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await base.walk(filters, visit) }
  func cleanup() async throws { try await base.cleanup() }
  func close() async throws { try await base.close() }
}
