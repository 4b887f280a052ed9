import ConformanceSuites
import Protocols

/// A task and its model, side by side.
package struct TaskMachine {
  package let driver: TaskDriver
  package var model = TaskModel()

  package init(_ subject: RuntimeSubject, id: String) { driver = TaskDriver(subject, id: id) }

  package mutating func step(_ operation: TaskOperation, _ attempt: Attempt) async throws {
    attempt.does(operation.description, command: operation.command)
    let came = try await driver.perform(operation)
    attempt.came("\(came)")
    let before = model.status
    let expected = model.expects(operation)
    if !expected.allows(came) {
      throw Finding(
        kind: operation.verb, what: "\(operation) of a task that \(Self.named(before))", expected: "\(expected)", actual: "\(came)")
    }
    // What was refused has changed nothing, what was done has done what it should.
    let state = try await driver.perform(.state(nil))
    let told = model.status.map { Expectation<TaskAnswer>.answer(.status($0)) } ?? .failure([.notFound])
    if !told.allows(state) {
      throw Finding(kind: "state after \(operation.verb)", what: "state after \(operation)", expected: "\(told)", actual: "\(state)")
    }
  }

  static func named(_ status: ProcessStatus?) -> String { status.map { "is \($0.rawValue)" } ?? "is not there" }

  /// An operation that is worth doing in this state.
  package func draw(_ attempt: Attempt) -> TaskOperation {
    let execs = ["e", "f"]
    var operations: [(Int, TaskOperation)] = [
      (model.status == nil ? 20 : 3, .create), (8, .start(nil)), (3, .kill(nil)), (4, .delete(nil)), (3, .state(nil)), (4, .pause),
      (model.status == .paused ? 12 : 3, .resume),
    ]
    let exec = execs[attempt.draw(2)]
    operations.append((6, .exec(exec)))
    // Of execs in a task that is only created, paused or ended the contract leaves too much open.
    if model.status == .running { operations += [(6, .start(exec)), (5, .kill(exec)), (4, .delete(exec)), (4, .state(exec))] }
    return attempt.weighted(operations)
  }
}
