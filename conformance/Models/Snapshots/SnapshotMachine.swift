import ConformanceSuites
import Protocols

/// A snapshotter and its model, side by side.
package struct SnapshotMachine {
  package let driver: SnapshotDriver
  package var model = SnapshotModel()
  /// What cannot be foretold and must not change.
  private var mounts: [String: [Mount]] = [:]
  private var created: [String: Timestamp] = [:]
  private var updated: [String: Timestamp] = [:]

  package init(_ subject: SnapshotSubject) { driver = SnapshotDriver(subject) }

  /// Does one operation with both and compares.
  package mutating func step(_ operation: SnapshotOperation, _ attempt: Attempt) async throws {
    attempt.does(operation.description, command: operation.command)
    let result = try await driver.perform(operation)
    attempt.came("\(result.came)")
    try judge(operation, result)
  }

  /// Does with the model what was done with the snapshotter, and compares.
  package mutating func judge(_ operation: SnapshotOperation, _ result: SnapshotDriver.Result) throws {
    let expected = model.expects(operation)
    if !expected.allows(result.came) {
      throw Finding(kind: operation.verb, what: operation.description, expected: "\(expected)", actual: "\(result.came)")
    }
    if case .answer = result.came { try follow(operation, result) }
  }

  /// Mounts and times.
  private mutating func follow(_ operation: SnapshotOperation, _ result: SnapshotDriver.Result) throws {
    switch operation {
    case .prepare(let key, _, _), .view(let key, _, _):
      forget(key)
      if case .prepare = operation, let (other, _) = mounts.first(where: { $0.value == result.mounts && model.snapshots[$0.key]?.kind == .active }) {
        throw Finding(
          kind: "mounts shared", what: operation.description, expected: "mounts of its own", actual: "the mounts of \"\(other)\": \(result.mounts)")
      }
      mounts[key] = result.mounts
    case .mounts(let key):
      if let before = mounts[key], before != result.mounts {
        throw Finding(kind: "mounts changed", what: operation.description, expected: "the same as before: \(before)", actual: "\(result.mounts)")
      }
    case .commit(let name, let key, _):
      forget(key)
      forget(name)
    case .remove(let key): forget(key)
    default: break
    }
    for info in result.infos { try times(info, operation) }
  }

  /// What has become of the snapshotter while nobody got an answer: of the keys that were touched, times and mounts are unknown.
  package mutating func adopt(_ model: SnapshotModel, touched: [String]) {
    self.model = model
    for key in touched { forget(key) }
  }

  private mutating func forget(_ key: String) {
    mounts[key] = nil
    created[key] = nil
    updated[key] = nil
  }

  private mutating func times(_ info: SnapshotInfo, _ operation: SnapshotOperation) throws {
    let what = "times of \"\(info.name)\" as \(operation.verb) tells them"
    if let before = created[info.name], before != info.createdAt {
      throw Finding(kind: "created", what: what, expected: "created at \(before), as told before", actual: "\(info.createdAt)")
    }
    if let before = updated[info.name], before > info.updatedAt {
      throw Finding(kind: "updated", what: what, expected: "updated at \(before) or later", actual: "\(info.updatedAt)")
    }
    created[info.name] = info.createdAt
    updated[info.name] = info.updatedAt
  }

  /// What must hold after every step: exactly the snapshots of the model are there.
  package mutating func everything(_ attempt: Attempt) async throws {
    let result = try await driver.perform(.walk([]))
    let expected = SnapshotAnswer.infos(model.infos)
    guard case .answer(let answer) = result.came, answer == expected else {
      throw Finding(kind: "all", what: "all snapshots, as a walk tells them", expected: "\(expected)", actual: "\(result.came)")
    }
    for info in result.infos { try times(info, .walk([])) }
  }

  /// At the end: what every committed snapshot holds, seen through views.
  package mutating func allFiles(_ attempt: Attempt) async throws {
    for key in model.snapshots.keys.sorted() {
      switch model.snapshots[key]?.kind {
      case .committed:
        try await step(.view("a look into \(key)", parent: key, [:]), attempt)
        try await step(.look("a look into \(key)"), attempt)
      case .active: try await step(.look(key), attempt)
      default: break
      }
    }
  }
}
