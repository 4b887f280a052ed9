import Synchronization

/// Where a case works: a directory of its own, the seed of its chances, and the record of what it did.
public struct Workspace: Sendable {
  /// An empty directory that only this case uses; removed afterwards. It lies inside a ring of sentinel files that must survive.
  public let directory: String
  /// Everything that a case leaves to chance comes from here.
  public let seed: UInt64
  /// How much slower than a usual machine to expect this one: deadlines are multiplied by it.
  public let patience: Double
  /// How long random runs may go on: 1 is the usual budget.
  public let budget: Double
  public let record: Record
  /// What everything is named after that a case makes outside of its directory: cgroups, namespaces of a daemon, directories of sockets.
  public let mark: String
  /// Choices of a random run to replay instead of making new ones; empty for none.
  public var choices: [UInt64] = []
  /// What is undone when the case is over, however it ended.
  public let endings = Endings()

  public init(
    directory: String, seed: UInt64, patience: Double = 1, budget: Double = 1, record: Record = Record(),
    mark: String = "conformance-\(UInt32.random(in: 0 ... .max))"
  ) {
    self.directory = directory
    self.seed = seed
    self.patience = patience
    self.budget = budget
    self.record = record
    self.mark = mark
  }
}

/// Steps that undo what a target set up for a case: the last registered runs first.
public final class Endings: Sendable {
  public typealias Step = @Sendable () async throws -> Void
  private let steps = Mutex<[Step]>([])
  public init() {}
  public func add(_ step: @escaping Step) { steps.withLock { $0.append(step) } }

  /// Runs every step, whatever the others come to, and tells what went wrong.
  public func run() async -> [String] {
    let pending = steps.withLock { steps in
      defer { steps = [] }
      return steps
    }
    var problems: [String] = []
    for step in pending.reversed() { do { try await step() } catch { problems.append("\(error)") } }
    return problems
  }
}

/// What a case did, step by step: the raw material of a reproduction.
public final class Record: Sendable {
  public struct Step: Codable, Sendable, Hashable {
    /// For people: `prepare "a" on "base"`.
    public var text: String
    /// The same with a public tool, as a line of shell: `ctr -n N snapshots prepare a base`. Empty where no tool can do it.
    public var command: String
    /// What came of it, where that is known.
    public var outcome: String
    /// The same as a call of a function that the scripts of `repro` have; nil where no public tool can do it.
    public var script: String?
    /// What came of it, in words that can be compared between backends: no times, numbers of inodes or paths of their own.
    public var answer: String?
  }
  private struct State {
    var steps: [Step] = []
    var underWay: [String] = []
    var together = false
  }
  private let state = Mutex(State())
  public init() {}
  public var steps: [Step] { state.withLock { $0.steps } }
  /// Whether calls were made while others were under way: then the order of the steps says nothing.
  public var together: Bool { state.withLock { $0.together } }
  public func add(_ text: String, command: String = "", outcome: String = "", script: String? = nil, answer: String? = nil) {
    state.withLock { $0.steps.append(Step(text: text, command: command, outcome: outcome, script: script, answer: answer)) }
  }
  /// The calls that have not been answered yet.
  public var underWay: [String] { state.withLock { $0.underWay } }
  /// A call begins; `ends` must follow, with the same words.
  public func begins(_ call: String) {
    state.withLock {
      if !$0.underWay.isEmpty { $0.together = true }
      $0.underWay.append(call)
    }
  }
  public func ends(_ call: String) {
    state.withLock { state in
      if let place = state.underWay.firstIndex(of: call) { state.underWay.remove(at: place) }
    }
  }
}
