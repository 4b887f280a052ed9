import ConformanceKit
import ConformanceSuites

/// What a run says of the backend as a whole, and on what grounds.
public struct Verdict: Sendable, Codable {
  public enum Word: String, Sendable, Codable {
    /// No red MUST, and nothing skipped but for what the backend does not claim to do.
    case conformant
    /// As conformant, but not everything that concerns the backend was run.
    case partial
    /// No promise of the level MUST was seen broken, but not all of them could be tried.
    case undecided
    case notConformant = "not conformant"
  }
  public let word: Word
  /// Sentences; empty where there is nothing to say against the backend.
  public let reasons: [String]

  public init(_ report: RunReport) {
    let must = report.results.filter { $0.info.level == .must }
    var against: [String] = []
    var open: [String] = []
    func note(_ list: inout [String], _ results: [CaseResult], _ what: String) {
      if !results.isEmpty { list.append("\(results.count) MUST \(plural(results.count, "case")) \(what): \(few(results.map(\.id)))") }
    }
    note(&against, must.filter { $0.outcome == .fail }, "failed")
    note(&against, must.filter { $0.outcome == .expectedFailure }, "failed as the file of known failures says, which excuses the run but not the backend")
    note(&against, must.filter { $0.outcome == .timeout }, "did not come to an end in time")
    note(&against, must.filter { $0.outcome == .crash }, "ended the backend, or the process that ran them")
    note(&against, must.filter { $0.outcome == .flaky }, "both passed and failed")
    note(&against, must.filter { $0.outcome == .pass && !$0.leaks.isEmpty }, "passed but left something behind on the machine")
    if !report.leaks.isEmpty { against.append("after the run the machine had what it had not before: \(few(report.leaks))") }
    note(&open, must.filter { $0.outcome == .error }, "could not be tried because the suite itself failed")
    note(&open, must.filter { $0.outcome == .blocked }, "could not be tried: \(must.first { $0.outcome == .blocked }?.headline ?? "")")
    note(&open, must.filter { $0.outcome == .unexpectedPass }, "passed although they are filed as known failures: the file is out of date")
    note(&open, must.filter { $0.outcome == .skip && $0.skipReason != CaseSkipped.Reason.capability.rawValue }, "could not be tried on this machine")
    if !must.contains(where: { $0.outcome == .pass }) { open.append("no MUST case was seen to pass") }
    word = !against.isEmpty ? .notConformant : !open.isEmpty ? .undecided : report.isWhole ? .conformant : .partial
    reasons = against + open + (report.isWhole ? [] : ["only this was run: \(report.selection)"])
  }
}

/// `1 case`, `2 cases`.
func plural(_ count: Int, _ noun: String) -> String { count == 1 ? noun : noun + "s" }

/// The first of a list, and how many more there are.
func few(_ items: [String], _ limit: Int = 3) -> String {
  items.count <= limit ? items.joined(separator: ", ") : items.prefix(limit).joined(separator: ", ") + " and \(items.count - limit) more"
}

/// A decimal number with so many places, and a point whatever the locale.
func decimal(_ value: Double, _ places: Int) -> String {
  var scale = 1
  for _ in 0..<places { scale *= 10 }
  let scaled = Int((value * Double(scale)).rounded())
  guard places > 0 else { return "\(scaled)" }
  let fraction = String(abs(scaled % scale))
  return "\(scaled < 0 ? "-" : "")\(abs(scaled / scale)).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
}

/// `0.24 s`, `3 min 12 s`.
func duration(_ seconds: Double) -> String {
  if seconds < 10 { return decimal(seconds, 2) + " s" }
  if seconds < 120 { return decimal(seconds, 0) + " s" }
  return "\(Int(seconds) / 60) min \(Int(seconds) % 60) s"
}
