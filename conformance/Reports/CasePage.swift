import ConformanceKit
import ConformanceSuites

/// The page of one case, made of what the case itself says.
public struct CasePage: Sendable {
  public let info: CaseInfo
  /// The faults that the case is there to notice.
  let kills: [Mutant]

  public init(_ info: CaseInfo, mutants: [Mutant]) {
    self.info = info
    kills = mutants.filter { $0.kills.contains { Glob($0).matches(info.id) } }
  }

  private var statements: [Statement] { info.statements.compactMap(Statement.with(id:)) }
  private var run: String { "containerd-conformance run ADDRESS --select \(info.id)" }
  private var repro: String { "containerd-conformance repro \(info.id) ADDRESS" }

  public func text() -> String {
    var lines = [info.id, "", "  " + info.sentence, ""]
    func add(_ term: String, _ values: [String]) {
      for (number, value) in values.enumerated() { lines.append("  " + (number == 0 ? term : "").padded(to: 11) + value) }
    }
    add("level", [info.level.rawValue])
    add("chapter", [info.group.title + " (\(info.group.rawValue))"])
    add("judges", [info.subject])
    add("why", info.why.isEmpty ? [] : [info.why])
    add("written in", [info.source])
    for statement in statements { add("", ["\(statement.id): \(statement.sentence)", "  \(statement.document.rawValue), \(statement.section)"]) }
    add("threads", info.threads.map { threadLink($0) ?? $0 })
    add("needs", [info.needs.isEmpty ? "nothing special" : info.needs.joined(separator: ", ")])
    add("tags", info.tags.isEmpty ? [] : [info.tags.joined(separator: ", ")])
    add("notices", kills.map { "\($0.id): \($0.sentence)" })
    add("run", [run])
    add("reproduce", [repro])
    return lines.joined(separator: "\n") + "\n"
  }

  /// - Parameter depth: of its heading.
  public func markdown(depth: Int = 1) -> String {
    let cell = MarkdownReport.cell
    var lines = ["\(String(repeating: "#", count: depth)) \(info.id)", "", "**\(info.level.rawValue)**: \(cell(info.sentence)).", ""]
    if !info.why.isEmpty { lines += ["Why it matters: \(cell(info.why))", ""] }
    lines.append("- Written in: \(cell(info.source))")
    for statement in statements {
      lines.append(
        "  - \(statement.id) ([\(cell(statement.document.rawValue))](\(statement.document.link)), \(cell(statement.section))): \(cell(statement.sentence))")
    }
    if !info.threads.isEmpty { lines.append("- Seen in: " + info.threads.map(MarkdownReport.thread).joined(separator: ", ")) }
    lines.append("- Judges: \(info.subject)" + (info.needs.isEmpty ? "" : ", needs " + info.needs.map { "`\($0)`" }.joined(separator: ", ")))
    if !kills.isEmpty { lines.append("- Notices: " + kills.map { "\($0.id) (\(cell($0.sentence)))" }.joined(separator: "; ")) }
    return (lines + ["- Run: `\(run)`; reproduce: `\(repro)`", ""]).joined(separator: "\n")
  }

  /// All pages: an index, a file per chapter, and if wanted a file per case.
  public static func book(_ pages: [CasePage], perCase: Bool) -> [(name: String, text: String)] {
    let byChapter = Dictionary(grouping: pages, by: \.info.group)
    let chapters = CaseGroup.allCases.compactMap { group in byChapter[group].map { (group, $0) } }
    let note = "Generated from the cases by `containerd-conformance explain --all`; not written by hand."
    var index = ["# The cases", "", note, "", "| chapter | cases | MUST | SHOULD | MAY | QUIRK |", "|---|--:|--:|--:|--:|--:|"]
    var files: [(String, String)] = []
    for (group, pages) in chapters {
      let counts = ContractLevel.allCases.map { level in "\(pages.count { $0.info.level == level })" }.joined(separator: " | ")
      index.append("| [\(group.title)](\(group.rawValue).md) | \(pages.count) | \(counts) |")
      let head = ["# \(group.title)", "", note, ""]
      files.append((group.rawValue + ".md", (head + pages.map { $0.markdown(depth: 2) }).joined(separator: "\n")))
      if perCase { files += pages.map { ("\(group.rawValue)/\($0.info.id).md", $0.markdown()) } }
    }
    index += ["", "\(pages.count) cases."]
    return [("README.md", index.joined(separator: "\n") + "\n")] + files
  }
}

extension String {
  func padded(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
