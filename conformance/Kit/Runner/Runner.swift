import BlockingIO
import CLinux
import ConformanceSuites
import Foundation
import Synchronization
import SystemKit

/// Runs cases, each in a process of its own, several at once, and says how each came out.
public struct Runner: Sendable {
  public struct Options: Sendable {
    public var program: String
    public var target: String
    public var mutant: String?
    public var seed: UInt64
    public var patience = 1.0
    public var budget = 1.0
    /// Seconds for one case.
    public var limit = 120.0
    /// Cases at once.
    public var jobs = 2
    public var repeats = 1
    /// How often a red case is run again: one that passes then is told of, and does not turn the run red.
    public var retries = 0
    /// Where the cases' directories are made.
    public var scratch: String
    public var knownFailures = KnownFailures()
    /// `2026-11-24`: what expiry dates are compared with.
    public var today: String
    /// A command that makes a backend that died live again. Without one, what is left is blocked.
    public var restart: String?
    public var interruption = Interruption()

    public init(program: String = "/proc/self/exe", target: String, seed: UInt64, scratch: String, today: String) {
      self.program = program
      self.target = target
      self.seed = seed
      self.scratch = scratch
      self.today = today
    }
  }

  public enum Progress: Sendable {
    case began(CaseInfo)
    case ended(CaseResult, done: Int, of: Int)
  }

  let options: Options
  public init(_ options: Options) { self.options = options }

  /// Runs the cases. Those whose needs the target does not meet are skipped here, without a process.
  /// - Returns: the results in the order of the cases, and what the machine has more than before.
  public func run(_ cases: [AnyCase], on target: Target, progress: @escaping @Sendable (Progress) -> Void) async throws -> (
    results: [CaseResult], leaks: [String]
  ) {
    // Whatever outlives a worker becomes a child of this process, and can be waited for.
    _ = clinux_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    let place = "\(options.scratch)/conformance-run-\(getpid())-\(String(options.seed, radix: 36))"
    try Files.makeDirectories(place, mode: 0o755)
    let keeper = try Keeper(program: options.program, target: options.target, directory: place)
    let before = LeakAudit.Machine.now()
    let state = State()
    let results = try await parallel(cases, jobs: options.jobs) { index, contract in
      progress(.began(contract.info))
      let result = try await persistent(contract, target: target, directory: "\(place)/c\(index)", state: state)
      progress(.ended(result, done: state.done.next(), of: cases.count))
      return result
    }
    // A call that a killed worker had under way may have had its effect after the worker's traces were removed.
    var late: [String] = []
    if results.contains(where: { [.timeout, .crash].contains($0.outcome) }) || options.interruption.isSet, let sweep = target.sweep {
      do { try await inTime("the removal", seconds: 20) { try await sweep(Leftovers.mark(run: getpid())) } } catch {
        // One that is gone has nothing that could be removed.
        if !"\(error)".contains(Worker.backendIsGone) { late.append("what killed workers left in the backend could not be removed: \(error)") }
      }
    }
    try await DedicatedThread.run { try Files.removeTree(place) }
    keeper.dismiss()
    return (results, late + LeakAudit.Machine.now().leaks(since: before))
  }

  /// Judges a case, and once more if it is red and that may be: a fault of the backend that lasts is red again.
  private func persistent(_ contract: AnyCase, target: Target, directory: String, state: State) async throws -> CaseResult {
    var result = try await judge(contract, target: target, directory: directory, state: state)
    var earlier: [String] = []
    while result.isRed, ![.blocked, .unexpectedPass].contains(result.outcome), earlier.count < options.retries, !options.interruption.isSet {
      earlier.append("\(result.outcome.rawValue): \(result.detail)\(result.leaks.map { "; left behind: \($0)" }.joined())")
      result = try await judge(contract, target: target, directory: "\(directory)-retry\(earlier.count)", state: state)
    }
    if !earlier.isEmpty { (result.attempts, result.earlier) = (earlier.count + 1, earlier) }
    return result
  }

  private func judge(_ contract: AnyCase, target: Target, directory: String, state: State) async throws -> CaseResult {
    let missing = contract.missing(in: target)
    if !missing.isEmpty {
      var skipped = CaseResult(contract.info, .skip, detail: "the target lacks \(missing.map(\.name).joined(separator: ", "))", seed: options.seed)
      skipped.skipReason = CaseSkipped.Reason.capability.rawValue
      return skipped
    }
    if options.interruption.isSet { return interrupted(contract) }
    if let cause = state.gone { return CaseResult(contract.info, .blocked, detail: cause, seed: options.seed) }
    var result = CaseResult(contract.info, .blocked, seed: options.seed)
    // What another case's backend died of meanwhile is nothing that this one may be judged by: it is run again, but not for ever.
    for round in 0..<8 {
      let life = state.life
      result = try await attempts(contract, target: target, directory: round == 0 ? directory : "\(directory)-again\(round)", limit: state.limit(options.limit))
      if result.outcome == .timeout { state.hung() }
      if options.interruption.isSet, result.outcome != .pass { return interrupted(contract) }
      if result.outcome == .blocked, result.detail.contains(Worker.backendIsUseless) {
        state.end("the backend was of no use for \(contract.id) (reported there)")
        break
      }
      if result.detail.contains(Worker.backendIsGone), [.crash, .blocked].contains(result.outcome) {
        let isOurs = try await state.revive(from: life, after: contract.id, restart: options.restart)
        if state.gone != nil || (isOurs && result.outcome == .crash) { break }
      } else if !result.outcome.isRed || state.life == life {
        break
      }
    }
    return options.knownFailures.judge(result, today: options.today)
  }

  private func attempts(_ contract: AnyCase, target: Target, directory: String, limit: Double) async throws -> CaseResult {
    var all: [CaseResult] = []
    let untidy = Marks()
    for attempt in 0..<options.repeats {
      let batch = Batch(
        program: options.program, target: options.target, mutant: options.mutant, seed: options.seed &+ UInt64(attempt), patience: options.patience,
        budget: options.budget, limit: limit, interruption: options.interruption, untidy: untidy.add)
      all += try await DedicatedThread.run { batch.run([contract], in: "\(directory)-\(attempt)") }
    }
    if let sweep = target.sweep {
      for mark in untidy.all {
        // A backend that is gone cannot be swept; the next case says so.
        do { try await inTime("the removal", seconds: 20) { try await sweep(mark) } } catch {
          all[all.count - 1].leaks.append("what a killed worker left in the backend could not be removed: \(error)")
        }
      }
    }
    return Self.together(all)
  }

  private func interrupted(_ contract: AnyCase) -> CaseResult {
    CaseResult(contract.info, .blocked, detail: "the run was interrupted before this case was judged", seed: options.seed)
  }

  private final class Marks: Sendable {
    private let marks = Mutex<[String]>([])
    var all: [String] { marks.withLock { $0 } }
    @Sendable func add(_ mark: String) { marks.withLock { $0.append(mark) } }
  }

  /// One result of several attempts: flaky if they differ.
  static func together(_ all: [CaseResult]) -> CaseResult {
    var result = all.first { $0.outcome.isRed } ?? all[0]
    result.attempts = all.count
    result.leaks = Array(Set(all.flatMap(\.leaks))).sorted()
    result.seconds = all.map(\.seconds).reduce(0, +) / Double(all.count)
    let outcomes = Set(all.map(\.outcome))
    if outcomes.count > 1, outcomes.contains(.pass) {
      result.outcome = .flaky
      result.detail = "\(all.count { $0.outcome == .pass }) of \(all.count) attempts passed; one that did not: \(result.detail)"
    }
    return result
  }

  /// What workers of one run share.
  private final class State: Sendable {
    let done = Counter()
    private let cause = Mutex<String?>(nil)
    var gone: String? { cause.withLock { $0 } }
    func end(_ why: String) { cause.withLock { if $0 == nil { $0 = why } } }
    private let hangs = Counter()
    func hung() { _ = hangs.next() }
    /// A backend that has hung so often will do it again: nobody is made to wait two minutes for each of hundreds of cases.
    func limit(_ usual: Double) -> Double { hangs.value < 5 ? usual : min(usual, 20) }
    private let reviver = Reviver()
    private let lives = Counter()
    /// How often the backend has been started anew.
    var life: Int { lives.value }

    /// Starts the backend anew, unless another case has done so since the life in which it was found dead.
    /// - Returns: whether it did.
    func revive(from life: Int, after id: String, restart: String?) async throws -> Bool {
      guard let restart else {
        end("the backend was gone after \(id) (reported there)")
        return false
      }
      return try await reviver.alone {
        if self.life != life { return false }
        let status = try await DedicatedThread.run { Shell.run(restart) }
        if status == 0 { _ = self.lives.next() } else { self.end("the backend was gone after \(id), and `\(restart)` ended with status \(status)") }
        return status == 0
      }
    }
  }
}

/// One at a time: who comes meanwhile waits for the end of who is there.
private actor Reviver {
  private var last: Task<Bool, any Error>?

  func alone(_ body: @escaping @Sendable () async throws -> Bool) async throws -> Bool {
    let before = last
    let task = Task {
      // How the one before came out is told to the one before.
      _ = await before?.result
      return try await body()
    }
    last = task
    return try await task.value
  }
}

/// A line of shell of the user's own: a hook of the profile. Blocking.
public enum Shell {
  public static func run(_ line: String) -> Int32 {
    let words = ["/bin/sh", "-c", line]
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, words[0], nil, nil, &argv, clinux_environ())
    if failure != 0 { return failure }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 { if clinux_errno() != EINTR { return -1 } }
    return clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status)
  }
}
