import BlockingIO
import CLinux
import ConformanceSuites
import Foundation
import SystemKit

/// What became of one mutant.
public struct MutantVerdict: Codable, Sendable, Identifiable {
  public enum State: String, Codable, Sendable {
    /// A case that is meant to notice it did, for the right reason.
    case killed
    /// Nobody meant to notice it did.
    case survived
    /// Noticed by a case that is meant to, but with other words.
    case wrongSymptom = "wrong-symptom"
    /// A case that is meant to notice it is red on the good backend too: it proves nothing.
    case baseRed = "base-red"
    /// A control that nobody noticed, as it must be.
    case green
    /// A control that a case noticed: that case asks for more than the contract.
    case falseAlarm = "false-alarm"
    /// The good backend cannot run here what would notice it.
    case notHere = "not-here"
  }
  public var id: String
  public var sentence: String
  public var group: CaseGroup
  public var base: String
  public var control: Bool
  public var state: State
  /// Of the cases meant to notice it, those that did.
  public var killers: [String]
  /// Other cases that were red, and not on the good backend.
  public var others: [String]
  /// How many cases were run against it.
  public var ran: Int
  /// Whether nothing but time gave it away: such a case wants to be a better one.
  public var byTimeoutOnly: Bool
  public var detail: String
  public var seconds: Double
  /// Whether a MUST case is among those that are meant to notice it.
  public var must = false
  /// The seed with which it was killed, if not at once with the run's own: the fault shows only in some of the histories that chance makes.
  public var laterSeed: UInt64?
}

/// The kill matrix: every mutant, every case that was meant to notice it, and whether the good backends stayed green.
public struct MutationReport: Codable, Sendable {
  public var schema = 1
  public var seed: UInt64
  public var seconds: Double
  public var verdicts: [MutantVerdict]
  /// Red results of good backends in the same run, beyond what is known: false alarms.
  public var falseAlarms: [CaseResult]
  /// MUST cases that killed no mutant: nobody has seen them fail. Of use only when every mutant was run.
  public var idleMustCases: [String]

  public var mutants: [MutantVerdict] { verdicts.filter { !$0.control && $0.state != .notHere } }
  public var killed: Int { mutants.count { $0.state == .killed } }
  /// Mutants that nobody killed, or for another reason than the intended one.
  public var alive: [MutantVerdict] { mutants.filter { $0.state != .killed } }
  /// Controls are green, no good backend is blamed, each mutant that a MUST case is meant to kill is dead, and at least 95 of 100 of all are.
  public var isGreen: Bool {
    falseAlarms.isEmpty && !mutants.isEmpty && verdicts.allSatisfy { !$0.control || $0.state == .green } && alive.allSatisfy { !$0.must }
      && killed * 100 >= mutants.count * 95
  }
  public var controlsGreen: Int { verdicts.count { $0.state == .green } }
}

/// Runs mutants against the cases that judge them, beside the good backends they are made of.
public struct MutationRun: Sendable {
  public enum Progress: Sendable {
    case base(String, cases: Int)
    case mutant(MutantVerdict, done: Int, of: Int)
  }
  let options: Runner.Options
  let catalogue: [AnyCase]
  let open: @Sendable (String) throws -> Target

  /// - Parameter open: makes the target of an address.
  public init(_ options: Runner.Options, catalogue: [AnyCase], open: @escaping @Sendable (String) throws -> Target) {
    self.options = options
    self.catalogue = catalogue
    self.open = open
  }

  public func run(_ mutants: [Mutant], progress: @escaping @Sendable (Progress) -> Void) async throws -> MutationReport {
    let began = ContinuousClock.now
    _ = clinux_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    let place = "\(options.scratch)/mutation-\(getpid())"
    try Files.makeDirectories(place)
    let keeper = try Keeper(program: options.program, target: "", directory: place)
    var scopes: [String: [AnyCase]] = [:]
    for mutant in mutants { scopes[mutant.id] = try scope(of: mutant) }
    // The good backends first: what is red there cannot tell a mutant.
    var good: [String: [String: CaseResult]] = [:]
    for base in Set(mutants.map(\.base)).sorted() {
      let wanted = Set(mutants.filter { $0.base == base }.flatMap { (scopes[$0.id] ?? []).map(\.id) })
      let cases = catalogue.filter { wanted.contains($0.id) }
      progress(.base(base, cases: cases.count))
      let results = try await blocking(pieces(cases)) { index, cases in
        batch(base, mutant: nil).run(cases, in: "\(place)/good-\(base.filter { $0.isLetter || $0.isNumber })-\(index)")
      }
      good[base] = Dictionary(uniqueKeysWithValues: results.flatMap { $0 }.map { ($0.id, options.knownFailures.judge($0, today: options.today)) })
    }
    let done = Counter()
    let verdicts = try await blocking(mutants) { [good, scopes] index, mutant in
      let base = good[mutant.base] ?? [:]
      let cases = (scopes[mutant.id] ?? []).filter { base[$0.id].map { $0.outcome == .pass } ?? false }
      let start = ContinuousClock.now
      let results = batch(mutant.base, mutant: mutant.id).run(cases, in: "\(place)/m\(index)")
      var verdict = Self.judge(mutant, results: results, good: base)
      let meant = cases.filter { contract in mutant.kills.contains { Glob($0).matches(contract.id) } }
      verdict.must = meant.contains { $0.info.level == .must }
      for later in 1...Self.laterSeeds where [.survived, .wrongSymptom].contains(verdict.state) {
        again(mutant, meant, seed: options.seed &+ UInt64(later), place: "\(place)/m\(index)-\(later)", good: base, &verdict)
      }
      verdict.seconds = Self.seconds(since: start)
      progress(.mutant(verdict, done: done.next(), of: mutants.count))
      return verdict
    }
    try await DedicatedThread.run { try Files.removeTree(place) }
    keeper.dismiss()
    let killers = Set(verdicts.flatMap { $0.killers + ($0.state == .killed ? $0.others : []) })
    let must = Set(catalogue.filter { $0.info.level == .must }.map(\.id))
    return MutationReport(
      seed: options.seed, seconds: Self.seconds(since: began), verdicts: verdicts,
      falseAlarms: good.values.flatMap { $0.values }.filter { $0.outcome.isRed }.sorted { $0.id < $1.id },
      idleMustCases: must.subtracting(killers).sorted())
  }

  /// With how many more seeds a mutant is tried that survived the run's own.
  static let laterSeeds = 2

  /// What chance did not show with one seed it may with the next. A kill counts only if the good backend passes with that seed as well.
  private func again(_ mutant: Mutant, _ meant: [AnyCase], seed: UInt64, place: String, good: [String: CaseResult], _ verdict: inout MutantVerdict) {
    let results = batch(mutant.base, mutant: mutant.id, seed: seed).run(meant, in: place)
    let second = Self.judge(mutant, results: results, good: good)
    guard second.state == .killed else { return }
    let killers = meant.filter { second.killers.contains($0.id) }
    let sound = batch(mutant.base, mutant: nil, seed: seed).run(killers, in: "\(place)-good").filter { !$0.isRed }.map(\.id)
    if sound.isEmpty { return }
    (verdict.state, verdict.killers, verdict.detail, verdict.laterSeed) = (.killed, sound, second.detail, seed)
    verdict.byTimeoutOnly = second.byTimeoutOnly
  }

  private func scope(of mutant: Mutant) throws -> [AnyCase] {
    let target = try open(mutant.base)
    let runnable = catalogue.filter { $0.concerns(target) && $0.missing(in: target).isEmpty }
    let globs = mutant.kills.map(Glob.init)
    if !mutant.scope.isEmpty {
      let all = globs + mutant.scope.map(Glob.init)
      return runnable.filter { contract in all.contains { $0.matches(contract.id) } }
    }
    // Real files, processes and sockets cost seconds a case: there, those that are meant to notice are enough.
    if !mutant.isControl && !mutant.base.hasPrefix("inproc:fake") { return runnable.filter { contract in globs.contains { $0.matches(contract.id) } } }
    // By default everything that judges the same kind of subject; a control says which by its group.
    let judged = runnable.filter { contract in globs.contains { $0.matches(contract.id) } || (mutant.isControl && contract.info.group == mutant.group) }
    let subjects = Set(judged.map(\.info.subject))
    let models = globs.contains { glob in judged.contains { $0.info.tags.contains("model") && glob.matches($0.id) } }
    return runnable.filter { contract in
      subjects.contains(contract.info.subject)
        && (models || mutant.isControl || !contract.info.tags.contains("model") || globs.contains { $0.matches(contract.id) })
    }
  }

  static func judge(_ mutant: Mutant, results: [CaseResult], good: [String: CaseResult]) -> MutantVerdict {
    let red = results.filter { [.fail, .timeout, .crash].contains($0.outcome) || !$0.leaks.isEmpty }
    let globs = mutant.kills.map(Glob.init)
    let meant = red.filter { result in globs.contains { $0.matches(result.id) } }
    let right = meant.filter { mutant.symptom.isEmpty || $0.detail.contains(mutant.symptom) || $0.leaks.contains { $0.contains(mutant.symptom) } }
    let others = red.filter { result in !meant.contains { $0.id == result.id } }.map(\.id)
    let candidates = good.values.filter { result in globs.contains { $0.matches(result.id) } }
    let state: MutantVerdict.State
    var detail = ""
    if mutant.isControl {
      state = red.isEmpty ? .green : .falseAlarm
      detail = red.prefix(5).map { "\($0.id): \($0.detail)" }.joined(separator: "\n")
    } else if let first = right.first {
      state = .killed
      detail = first.detail
    } else if let first = meant.first {
      state = .wrongSymptom
      detail = "\(first.id) says: \(first.detail)"
    } else if candidates.isEmpty || candidates.allSatisfy({ $0.outcome == .skip }) {
      state = .notHere
      detail = candidates.first?.detail ?? "no case of \(mutant.kills.joined(separator: ", ")) can run on \(mutant.base)"
    } else if candidates.allSatisfy({ $0.outcome != .pass }) {
      state = .baseRed
      detail = candidates.first?.detail ?? ""
    } else {
      state = .survived
      detail = others.isEmpty ? "nobody noticed" : "noticed only by \(others.joined(separator: ", "))"
    }
    return MutantVerdict(
      id: mutant.id, sentence: mutant.sentence, group: mutant.group, base: mutant.base, control: mutant.isControl, state: state, killers: right.map(\.id),
      others: others, ran: results.count, byTimeoutOnly: !right.isEmpty && right.allSatisfy { $0.outcome == .timeout }, detail: detail, seconds: 0)
  }

  private func batch(_ target: String, mutant: String?, seed: UInt64? = nil) -> Batch {
    Batch(
      program: options.program, target: target, mutant: mutant, seed: seed ?? options.seed, patience: options.patience, budget: options.budget,
      limit: mutant == nil ? options.limit : min(options.limit, 40))
  }

  private func pieces(_ cases: [AnyCase]) -> [[AnyCase]] { stride(from: 0, to: cases.count, by: 20).map { Array(cases[$0..<min($0 + 20, cases.count)]) } }

  /// As `parallel`, with a body that blocks.
  private func blocking<Item: Sendable, Value: Sendable>(_ items: [Item], _ body: @escaping @Sendable (Int, Item) -> Value) async throws -> [Value] {
    try await parallel(items, jobs: options.jobs) { index, item in try await DedicatedThread.run { body(index, item) } }
  }

  private static func seconds(since began: ContinuousClock.Instant) -> Double {
    let took = began.duration(to: .now).components
    return Double(took.seconds) + Double(took.attoseconds) / 1e18
  }
}
