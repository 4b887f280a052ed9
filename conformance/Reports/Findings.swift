import ConformanceKit
import ConformanceSuites

// What several forms ask of a report.

extension Outcome {
  /// For people.
  public var title: String {
    switch self {
    case .pass: "passed"
    case .fail: "failed"
    case .error: "error of the suite"
    case .timeout: "timed out"
    case .crash: "crashed"
    case .skip: "skipped"
    case .expectedFailure: "known failure"
    case .unexpectedPass: "unexpected pass"
    case .flaky: "flaky"
    case .blocked: "blocked"
    }
  }
}

extension CaseResult {
  /// Whether a reader must look at it: red, excused, or leaving something behind.
  var isFinding: Bool { outcome.isRed || outcome == .expectedFailure || !leaks.isEmpty }

  /// One line that says what went wrong.
  var headline: String {
    let first = detail.split(separator: "\n", omittingEmptySubsequences: true).first.map(String.init) ?? ""
    if !first.isEmpty { return first }
    return leaks.isEmpty ? outcome.title : "left behind: " + few(leaks)
  }
}

extension RunReport {
  var findings: [CaseResult] { results.filter(\.isFinding) }

  /// The chapters that the run touched, in the order of the book.
  var chapters: [(group: CaseGroup, results: [CaseResult])] {
    let byGroup = Dictionary(grouping: results, by: \.info.group)
    return CaseGroup.allCases.compactMap { group in byGroup[group].map { (group, $0) } }
  }

  var skipsByReason: [(reason: String, results: [CaseResult])] {
    Dictionary(grouping: results.filter { $0.outcome == .skip }) { $0.skipReason ?? "unknown" }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The statements that concern the suite and that a case which ran has checked.
  var checkedStatements: Set<String> {
    Set(results.filter { $0.outcome != .skip && $0.outcome != .blocked && $0.outcome != .error }.flatMap(\.info.statements))
      .intersection(Statement.all.lazy.filter { $0.exempt == nil }.map(\.id))
  }

  /// The line that runs one case of this run again.
  public func rerun(_ id: String) -> String { "containerd-conformance run \(shellQuoted(target)) --select \(id) --seed \(seed(of: id))" }

  /// The line that prints the stand-alone script of a case.
  public func reproduction(_ id: String) -> String { "containerd-conformance repro \(id) \(shellQuoted(target)) --seed \(seed(of: id))" }

  private func seed(of id: String) -> UInt64 { results.first { $0.id == id }?.seed ?? seed }
}

/// A word that a shell takes as it is, quoted only where it must be.
public func shellQuoted(_ word: String) -> String {
  let plain = word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./:=@%+,".contains($0)) }
  return plain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
}

/// `containerd/containerd#7834` as an address.
public func threadLink(_ thread: String) -> String? {
  let parts = thread.split(separator: "#")
  guard parts.count == 2, parts[0].split(separator: "/").count == 2, parts[1].allSatisfy(\.isNumber) else { return nil }
  return "https://github.com/\(parts[0])/issues/\(parts[1])"
}
