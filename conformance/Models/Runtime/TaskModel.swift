import Protocols

/// What can be asked of one container's task, as a value. An exec of nil is the first process.
package enum TaskOperation: Hashable, Sendable, CustomStringConvertible {
  case create
  case start(String?)
  case kill(String?)
  case delete(String?)
  case state(String?)
  case pause
  case resume
  case exec(String)

  package var description: String {
    switch self {
    case .create: "create"
    case .start(let exec): "start\(Self.of(exec))"
    case .kill(let exec): "kill\(Self.of(exec)) with SIGKILL and wait"
    case .delete(let exec): "delete\(Self.of(exec))"
    case .state(let exec): "state\(Self.of(exec))"
    case .pause: "pause"
    case .resume: "resume"
    case .exec(let exec): "add exec \"\(exec)\""
    }
  }
  private static func of(_ exec: String?) -> String { exec.map { " exec \"\($0)\"" } ?? "" }

  package var verb: String { String(description.prefix { $0 != " " }) }

  /// The same with runc's command line, where it can.
  package var command: String {
    switch self {
    case .create: "runc create --bundle BUNDLE a"
    case .start(nil): "runc start a"
    case .kill(nil): "runc kill a KILL"
    case .delete(nil): "runc delete a"
    case .state(nil): "runc state a"
    case .pause: "runc pause a"
    case .resume: "runc resume a"
    default: ""
    }
  }
}

package enum TaskAnswer: Hashable, Sendable, CustomStringConvertible {
  case done
  case status(ProcessStatus)
  case exit(UInt32)
  package var description: String {
    switch self {
    case .done: "ok"
    case .status(let status): status.rawValue
    case .exit(let code): "exit code \(code)"
    }
  }
}

/// One container: no task, or a task with a first process and execs, each in a state.
package struct TaskModel: SequentialModel {
  /// nil without a task; the first process has the key "".
  package private(set) var processes: [String: ProcessStatus]?
  package init() {}

  package var status: ProcessStatus? { processes?[""] }
  package func status(_ exec: String) -> ProcessStatus? { processes?[exec] }

  package mutating func expects(_ operation: TaskOperation) -> Expectation<TaskAnswer> {
    switch operation {
    case .create:
      if processes != nil { return .failure([.alreadyExists]) }
      processes = ["": .created]
      return .answer(.done)
    case .start(let exec):
      guard let process = processes?[exec ?? ""] else { return .failure([.notFound]) }
      if process != .created || (exec != nil && status != .running) { return .failure([.failedPrecondition]) }
      processes?[exec ?? ""] = .running
      return .answer(.done)
    case .kill(let exec):
      guard let process = processes?[exec ?? ""] else { return .failure([.notFound]) }
      if process == .stopped { return .failure([.notFound]) }
      if exec != nil, process == .created { return .failure([.failedPrecondition]) }
      if exec == nil { for key in processes?.keys.sorted() ?? [] { processes?[key] = .stopped } } else { processes?[exec ?? ""] = .stopped }
      return .answer(.exit(137))
    case .delete(let exec):
      guard let process = processes?[exec ?? ""] else { return .failure([.notFound]) }
      if process == .running || process == .paused { return .failure([.failedPrecondition]) }
      if exec == nil { processes = nil } else { processes?[exec ?? ""] = nil }
      return .answer(.done)
    case .state(let exec): return (processes?[exec ?? ""]).map { .answer(.status($0)) } ?? .failure([.notFound])
    case .pause: return turn(from: .running, to: .paused)
    case .resume: return turn(from: .paused, to: .running)
    case .exec(let exec):
      guard let status else { return .failure([.notFound]) }
      var refused: Set<ContainerdError.Code> = []
      if processes?[exec] != nil { refused.insert(.alreadyExists) }
      if status == .paused || status == .stopped { refused.insert(.failedPrecondition) }
      if !refused.isEmpty { return .failure(refused) }
      processes?[exec] = .created
      return .answer(.done)
    }
  }

  private mutating func turn(from: ProcessStatus, to: ProcessStatus) -> Expectation<TaskAnswer> {
    guard let status else { return .failure([.notFound]) }
    // Which class is only advice: backends differ.
    if status != from { return .failure([.failedPrecondition, .invalidArgument, .unknown, .internalError, .aborted, .unavailable]) }
    processes?[""] = to
    return .answer(.done)
  }
}
