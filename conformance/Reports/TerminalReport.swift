import ConformanceKit
import ConformanceSuites

/// The end of a run for a person at a terminal: chapters, findings, the slowest, the verdict. The caller says whether colours are welcome.
public struct TerminalReport: Sendable {
  private let colours: Bool
  private let width: Int

  public init(colours: Bool, width: Int = 100) {
    self.colours = colours
    self.width = max(60, min(width, 160))
  }

  /// Colours only at a terminal, and not where `NO_COLOR` is set to anything, or the terminal is dumb.
  public static func wantsColours(isTerminal: Bool, environment: [String: String]) -> Bool {
    isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
  }

  public func render(_ report: RunReport) -> String {
    var lines: [String] = []
    lines += chapters(report)
    for result in report.findings { lines += [""] + finding(result, report) }
    lines += wavering(report) + skips(report) + slowest(report) + [""] + verdict(report)
    return lines.joined(separator: "\n") + "\n"
  }

  /// A case's line in a running log: `pass  snapshots.prepare.active  0.02 s`.
  public func line(_ result: CaseResult) -> String {
    let tail = result.outcome == .pass ? "" : "  " + clean(result.headline)
    return cut("\(mark(result.outcome)) \(result.id)\(tail)", visible: 3 + result.id.count + tail.count)
  }

  private func chapters(_ report: RunReport) -> [String] {
    let titles = report.chapters.map(\.group.title.count).max() ?? 0
    let room = max(10, min(40, width - titles - 32))
    return report.chapters.map { group, results in
      let shares = [
        (Style.green, results.count { $0.outcome == .pass && $0.leaks.isEmpty }, "█"),
        (Style.red, results.count(where: \.isRed), "▓"),
        (Style.yellow, results.count { $0.outcome == .expectedFailure }, "▒"), (Style.dim, results.count { $0.outcome == .skip }, "░"),
      ]
      var bar = ""
      var (seen, drawn) = (0, 0)
      for (style, count, character) in shares {
        seen += count
        // Whatever is there is seen, however little it is.
        let upTo = max(count > 0 ? drawn + 1 : drawn, seen * room / max(1, results.count))
        bar += paint(String(repeating: character, count: max(0, min(room, upTo) - drawn)), style)
        drawn = min(room, upTo)
      }
      let counts = "\(shares[0].1)/\(results.count)"
      var words = ""
      if shares[1].1 > 0 { words += " " + paint("\(shares[1].1) red", .red) }
      if shares[2].1 > 0 { words += " " + paint("\(shares[2].1) known", .yellow) }
      if shares[3].1 > 0 { words += " " + paint("\(shares[3].1) skipped", .dim) }
      return pad(group.title, titles) + "  " + bar + "  " + (words.isEmpty ? counts : pad(counts, 7) + words)
    }
  }

  private func finding(_ result: CaseResult, _ report: RunReport) -> [String] {
    var lines = ["\(mark(result.outcome)) \(paint(result.id, .bold))  \(result.info.level.rawValue), \(result.outcome.title)"]
    func add(_ term: String, _ text: String) {
      if text.isEmpty { return }
      let wrapped = clean(text).split(separator: "\n", omittingEmptySubsequences: false).flatMap { wrap(String($0), width - 14) }
      lines += wrapped.enumerated().map { ($0 == 0 ? "    " + paint(pad(term, 9), .dim) : String(repeating: " ", count: 13)) + " " + $1 }
    }
    add("promise", result.info.sentence + " (\(result.info.source))")
    if let expected = result.expected { add("expected", expected) }
    if let actual = result.actual { add("actual", actual) }
    if result.expected == nil || result.actual == nil { add("happened", result.detail) }
    add("why", result.info.why)
    add("left", result.leaks.joined(separator: "\n"))
    add("known", result.link ?? "")
    // Another symptom than the one on file is what turns it red: both are shown.
    if result.expected != nil, let note = result.detail.split(separator: "\n").first(where: { $0.hasPrefix("(known to fail") }) { add("but", String(note)) }
    if result.outcome.isRed { lines.append("    " + paint(pad("again", 9), .dim) + " " + report.rerun(result.id)) }
    return lines
  }

  private func wavering(_ report: RunReport) -> [String] {
    let results = report.results.filter(\.isWavering)
    if results.isEmpty { return [] }
    return ["", paint("passed only when run again:", .yellow)]
      + results.map { "  \($0.id): \(clean(String($0.earlier?.first?.split(separator: "\n").first ?? "")))" }
  }

  private func skips(_ report: RunReport) -> [String] {
    report.skipsByReason.isEmpty ? [] : ["", "skipped: " + report.skipsByReason.map { "\($0.results.count) \($0.reason)" }.joined(separator: ", ")]
  }

  private func slowest(_ report: RunReport) -> [String] {
    let slow = report.results.sorted { $0.seconds > $1.seconds }.prefix(5).filter { $0.seconds >= 1 }
    return slow.isEmpty ? [] : ["slowest: " + slow.map { "\($0.id) \(duration($0.seconds))" }.joined(separator: ", ")]
  }

  private func verdict(_ report: RunReport) -> [String] {
    let verdict = Verdict(report)
    let style: Style =
      switch verdict.word {
      case .conformant: .green
      case .partial, .undecided: .yellow
      case .notConformant: .red
      }
    let problems = report.fileProblems ?? []
    let counts = Outcome.allCases.compactMap { outcome in
      report.count(outcome) == 0 ? nil : "\(report.count(outcome)) \(outcome.title)"
    }
    return (verdict.reasons + problems.map { "known failures: \($0)" }).flatMap { wrap("- " + clean($0), width) } + [
      paint(verdict.word.rawValue, style, .bold) + ": \(report.name), " + (counts.isEmpty ? "no case was run" : counts.joined(separator: ", "))
        + " in \(duration(report.seconds)), seed \(report.seed)",
      "\(report.isGreen ? "green" : "RED")\(problems.isEmpty ? "" : " because of the file of known failures"); statements checked \(report.checkedStatements.count) of \(Statement.all.count { $0.exempt == nil })",
    ]
  }

  private func mark(_ outcome: Outcome) -> String {
    switch outcome {
    case .pass: paint("✓", .green)
    case .fail, .flaky, .unexpectedPass: paint("✗", .red)
    case .error, .timeout, .crash, .blocked: paint("!", .red)
    case .expectedFailure: paint("~", .yellow)
    case .skip: paint("-", .dim)
    }
  }

  private enum Style: String { case bold = "1", dim = "2", red = "31", green = "32", yellow = "33" }

  private func paint(_ text: String, _ styles: Style...) -> String {
    colours && !text.isEmpty ? "\u{1B}[\(styles.map(\.rawValue).joined(separator: ";"))m\(text)\u{1B}[0m" : text
  }

  private func pad(_ text: String, _ length: Int) -> String { text + String(repeating: " ", count: max(0, length - text.count)) }

  private func cut(_ text: String, visible: Int) -> String { visible <= width ? text : String(text.prefix(text.count - (visible - width) - 1)) + "…" }

  /// What a backend said must not steer the terminal.
  private func clean(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\n" || ($0.value >= 0x20 && !(0x7F...0x9F).contains($0.value)) ? $0 : "\u{FFFD}" }))
  }

  private func wrap(_ text: String, _ room: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: false) {
      if !line.isEmpty, line.count + 1 + word.count > room {
        lines.append(line)
        line = String(word)
      } else {
        line += line.isEmpty ? String(word) : " \(word)"
      }
    }
    return lines + [line]
  }
}
