import ConformanceSuites
import Foundation

/// The file of known failures: what is expected to fail, how, why, and until when.
///
///     # id or glob | words of the symptom | link | expires
///     snapshots.usage.sparse | expected at most 8192 | docs/findings.md#usage | 2027-06-30
///
/// Every case is run all the same. It must fail, with that symptom; a pass, or another symptom, turns the run red.
public struct KnownFailures: Sendable {
  public struct Entry: Sendable, Equatable {
    public var pattern: String
    public var symptom: String
    public var link: String
    public var expires: String
    /// Where it stands.
    public var file: String
    public var line: Int
  }

  public var entries: [Entry] = []
  /// A glob that covers half the suite hides it.
  public static let mostCasesPerEntry = 20

  public init() {}

  /// - Parameter today: `2026-11-24`.
  public init(parsing text: String, file: String) throws {
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let stripped = line.trimmingCharacters(in: .whitespaces)
      if stripped.isEmpty || stripped.hasPrefix("#") { continue }
      let fields = stripped.split(separator: "|", maxSplits: 3, omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
      guard fields.count == 4, !fields[0].isEmpty, !fields[1].isEmpty, !fields[2].isEmpty, fields[3].wholeMatch(of: /\d{4}-\d{2}-\d{2}/) != nil else {
        throw SuiteError("\(file):\(number + 1): a known failure is `id | symptom | link | expiry as yyyy-mm-dd`, all four; got \"\(stripped)\"")
      }
      entries.append(Entry(pattern: fields[0], symptom: fields[1], link: fields[2], expires: fields[3], file: file, line: number + 1))
    }
  }

  /// What is wrong with the file itself, given everything there is to run.
  public func problems(with cases: [AnyCase], today: String) -> [String] {
    entries.flatMap { entry -> [String] in
      let matched = cases.count { Glob(entry.pattern).matches($0.id) }
      var problems: [String] = []
      if matched == 0 { problems.append("\(entry.file):\(entry.line): no case is called \(entry.pattern): the entry is stale") }
      if matched > Self.mostCasesPerEntry {
        problems.append("\(entry.file):\(entry.line): \(entry.pattern) covers \(matched) cases; at most \(Self.mostCasesPerEntry) may share an entry")
      }
      if entry.expires < today { problems.append("\(entry.file):\(entry.line): \(entry.pattern) expired on \(entry.expires): mend it or look at it again") }
      return problems
    }
  }

  /// The result in the light of what is known.
  public func judge(_ result: CaseResult, today: String) -> CaseResult {
    var result = result
    let matching = entries.filter { Glob($0.pattern).matches(result.id) && $0.expires >= today }
    guard let first = matching.first else { return result }
    result.link = first.link
    switch result.outcome {
    case .fail, .timeout, .crash:
      if matching.contains(where: { result.detail.contains($0.symptom) }) {
        result.outcome = .expectedFailure
      } else {
        result.detail += "\n(known to fail, but with another symptom: \"\(first.symptom)\", \(first.file):\(first.line))"
      }
    case .pass:
      result.outcome = .unexpectedPass
      result.detail = "known to fail with \"\(first.symptom)\" (\(first.file):\(first.line)), but it passed: take the entry out, or run with --fix"
    case .error, .skip, .blocked, .flaky, .expectedFailure, .unexpectedPass: break
    }
    return result
  }

  /// The text of the file as it should be after this run: entries that no longer hold are gone, symptoms are those that were seen, and new failures are
  /// entered with a link that somebody has to fill in. Comments stay.
  public static func fixed(_ text: String, results: [CaseResult], file: String, expires: String) throws -> String {
    let byID = Dictionary(results.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
    var covered: Set<String> = []
    var lines: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      guard let entry = try KnownFailures(parsing: line, file: file).entries.first else {
        lines.append(line)
        continue
      }
      let matched = byID.values.filter { Glob(entry.pattern).matches($0.id) }
      covered.formUnion(matched.map(\.id))
      // Nothing was run that it speaks of, or something still fails so: it stays.
      if matched.isEmpty || matched.contains(where: { $0.outcome == .expectedFailure || $0.outcome == .skip }) {
        lines.append(line)
      } else if let failed = matched.first(where: { $0.outcome == .fail }) {
        lines.append("\(entry.pattern) | \(symptom(failed)) | \(entry.link) | \(entry.expires)")
      }
    }
    while lines.last == "" { lines.removeLast() }
    for result in results where result.outcome == .fail && !covered.contains(result.id) {
      lines.append("\(result.id) | \(symptom(result)) | to be explained | \(expires)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func symptom(_ result: CaseResult) -> String {
    String((result.detail.split(separator: "\n").first ?? "").prefix(120)).replacingOccurrences(of: "|", with: "/")
  }
}
