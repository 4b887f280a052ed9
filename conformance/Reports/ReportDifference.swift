import ConformanceKit
import ConformanceSuites

/// What changed from one run to another, or differs between two backends.
public struct ReportDifference: Encodable, Sendable {
  public struct Change: Encodable, Sendable {
    public let id: String
    public let level: String
    public let before: String?
    public let after: String?
    /// What was seen, before and after.
    public let saw: String?
    public let sees: String?
  }
  public let before: String
  public let after: String
  /// Was not red, and is.
  public var regressions: [Change] = []
  /// Was red, and passes.
  public var fixes: [Change] = []
  /// Red in both, with other words or another outcome.
  public var symptoms: [Change] = []
  /// Passed, and was not tried any more: nobody knows.
  public var lost: [Change] = []
  /// Other changes: skips that now pass, reasons of skips.
  public var others: [Change] = []
  public var added: [Change] = []
  public var gone: [Change] = []
  public var same = 0

  public init(_ before: RunReport, _ after: RunReport) {
    self.before = before.name
    self.after = after.name
    let old = Dictionary(before.results.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
    let new = Dictionary(after.results.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
    for id in Set(old.keys).union(new.keys).sorted() {
      let (was, is_) = (old[id], new[id])
      let change = Change(
        id: id, level: (is_ ?? was)?.info.level.rawValue ?? "", before: was.map(Self.word), after: is_.map(Self.word),
        saw: was.flatMap(Self.seen), sees: is_.flatMap(Self.seen))
      guard let was else {
        added.append(change)
        continue
      }
      guard let is_ else {
        gone.append(change)
        continue
      }
      switch (Self.isBad(was), Self.isBad(is_)) {
      case (false, true): regressions.append(change)
      case (true, false) where is_.outcome == .pass: fixes.append(change)
      case (true, true) where change.before != change.after || Self.symptom(was) != Self.symptom(is_): symptoms.append(change)
      case _ where was.outcome == is_.outcome: same += 1
      case _ where is_.outcome == .skip: lost.append(change)
      default: others.append(change)
      }
    }
  }

  public func text() -> String {
    var lines = ["\(before) → \(after)"]
    func section(_ title: String, _ changes: [Change]) {
      if changes.isEmpty { return }
      lines += ["", "\(title) (\(changes.count))"]
      for change in changes {
        lines.append("  \(change.id)  \(change.level)  \(change.before ?? "–") → \(change.after ?? "–")")
        if let saw = change.saw { lines.append("      was: \(saw)") }
        if let sees = change.sees { lines.append("      is:  \(sees)") }
      }
    }
    section("Regressions", regressions)
    section("Fixes", fixes)
    section("Another symptom", symptoms)
    section("No longer tried", lost)
    section("Otherwise changed", others)
    section("New cases", added)
    section("Gone cases", gone)
    lines += [
      "",
      "\(regressions.count) \(plural(regressions.count, "regression")), \(fixes.count) \(fixes.count == 1 ? "fix" : "fixes"), "
        + "\(symptoms.count) with another symptom, "
        + "\(lost.count) no longer tried, \(added.count) new, \(gone.count) gone, \(same) the same",
    ]
    return lines.joined(separator: "\n") + "\n"
  }

  private static func isBad(_ result: CaseResult) -> Bool { result.isFinding }
  private static func word(_ result: CaseResult) -> String { result.outcome.rawValue + (result.outcome == .pass && !result.leaks.isEmpty ? " with leaks" : "") }
  private static func seen(_ result: CaseResult) -> String? { result.outcome == .pass && result.leaks.isEmpty ? nil : result.headline }

  /// Without numbers, which differ from run to run: times, ports, process ids, digests.
  private static func symptom(_ result: CaseResult) -> String {
    result.headline.split(whereSeparator: { !($0.isLetter || $0.isNumber) }).map { $0.contains(where: \.isNumber) ? "#" : $0 }.joined(separator: " ")
  }
}
