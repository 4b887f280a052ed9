import ConformanceSuites
import Foundation

/// The file of known failures: what is expected to fail, how, why, and until when.
///
///     # id or glob | words of the symptom | link | expires
///     snapshots.usage.sparse | expected at most 8192 | docs/findings.md#usage | 2027-06-30
///
///     # a fifth field for what depends on the moment, or on the seed: it may pass
///     snapshots.race.usage | no such file | docs/findings.md#usage | 2027-06-30 | intermittent
///
/// Every case is run all the same. It must fail, with that symptom; a pass, or another symptom, turns the run red.
public struct KnownFailures: Sendable {
  public struct Entry: Sendable, Equatable {
    public var pattern: String
    public var symptom: String
    public var link: String
    public var expires: String
    /// Whether it may pass as well.
    public var intermittent = false
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
      let fields = stripped.split(separator: "|", maxSplits: 4, omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
      guard fields.count == 4 || (fields.count == 5 && fields[4] == "intermittent"), !fields[0].isEmpty, !fields[1].isEmpty, !fields[2].isEmpty,
        Self.isDate(fields[3])
      else {
        throw SuiteError(
          "\(file):\(number + 1): a known failure is `id | symptom | link | expiry as yyyy-mm-dd`, all four, and perhaps `| intermittent`; got \"\(stripped)\"")
      }
      entries.append(
        Entry(
          pattern: fields[0], symptom: fields[1], link: fields[2], expires: fields[3], intermittent: fields.count == 5, file: file, line: number + 1))
    }
  }

  /// `2026-11-24`, and a day that there is.
  private static func isDate(_ text: String) -> Bool {
    guard let parts = text.wholeMatch(of: /(\d{4})-(\d{2})-(\d{2})/)?.output, let year = Int(parts.1), let month = Int(parts.2), let day = Int(parts.3),
      (1...12).contains(month)
    else { return false }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    return (1...[31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]).contains(day)
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
    case .pass where first.intermittent: break
    case .flaky where !matching.contains(where: \.intermittent): break
    case .fail, .timeout, .crash, .flaky:
      if matching.contains(where: { result.detail.contains($0.symptom) }) {
        result.outcome = .expectedFailure
      } else {
        result.detail += "\n(known to fail, but with another symptom: \"\(first.symptom)\", \(first.file):\(first.line))"
      }
    case .pass:
      result.outcome = .unexpectedPass
      result.detail = "known to fail with \"\(first.symptom)\" (\(first.file):\(first.line)), but it passed: take the entry out, or run with --fix"
    case .error, .skip, .blocked, .expectedFailure, .unexpectedPass: break
    }
    return result
  }

  /// A file brought up to date, and in words what was changed in it.
  public struct Rewrite: Sendable, Equatable {
    public var text: String
    public var changes: [String]
  }

  /// The file as it should be after this run: entries whose cases passed are gone, symptoms are those that were seen, what still fails is known for as long
  /// as a new entry would be, and new failures are entered with a link that somebody has to fill in. Comments stay, and so does every entry of which this
  /// run saw no verdict: a backend that is gone has mended nothing.
  /// - Parameter ids: of every case that there is: an entry that matches none is stale, and goes.
  public static func rewritten(_ text: String, results: [CaseResult], ids: [String], file: String, today: String, expires: String) throws -> Rewrite {
    var covered: Set<String> = []
    var lines: [String] = []
    var changes: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      guard var entry = try KnownFailures(parsing: line, file: file).entries.first else {
        lines.append(line)
        continue
      }
      let glob = Glob(entry.pattern)
      if !ids.contains(where: glob.matches) {
        changes.append("\(entry.pattern): taken out: no case is called so")
        continue
      }
      let matched = results.filter { glob.matches($0.id) }
      covered.formUnion(matched.map(\.id))
      let failed = matched.first { [.fail, .timeout, .crash].contains($0.outcome) }
      if !matched.isEmpty, !entry.intermittent, matched.allSatisfy({ [.pass, .unexpectedPass].contains($0.outcome) }) {
        changes.append("\(entry.pattern): taken out: it passed")
        continue
      }
      if let failed, !matched.contains(where: { $0.outcome == .expectedFailure }) {
        if !failed.detail.contains(entry.symptom) {
          changes.append("\(entry.pattern): the symptom is now: \(symptom(failed))")
          entry.symptom = symptom(failed)
        }
        if entry.expires < today {
          changes.append("\(entry.pattern): expired on \(entry.expires), still fails: known until \(expires)")
          entry.expires = expires
        }
        lines.append("\(entry.pattern) | \(entry.symptom) | \(entry.link) | \(entry.expires)\(entry.intermittent ? " | intermittent" : "")")
      } else {
        lines.append(line)
      }
    }
    while lines.last == "" { lines.removeLast() }
    for result in results where [.fail, .timeout, .crash].contains(result.outcome) && !covered.contains(result.id) {
      lines.append("\(result.id) | \(symptom(result)) | to be explained | \(expires)")
      changes.append("\(result.id): entered; its link is to be filled in")
    }
    return Rewrite(text: lines.joined(separator: "\n") + "\n", changes: changes)
  }

  private static func symptom(_ result: CaseResult) -> String {
    // What is different in every run, the case's own directory, is no symptom; a bar would end the field.
    let line = result.detail.split(separator: "\n").first ?? ""
    let stable = line.firstRange(of: "/conformance-").map { line[..<(line[..<$0.lowerBound].lastIndex(of: " ") ?? line.startIndex)] } ?? line
    let piece = stable.split(separator: "|").max { $0.count < $1.count } ?? stable
    return String(piece.prefix(120)).trimmingCharacters(in: .whitespaces)
  }
}
