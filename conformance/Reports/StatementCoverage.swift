import ConformanceKit
import ConformanceSuites

/// Which case checks which statement.
public struct StatementCoverage: Encodable, Sendable {
  public struct Row: Encodable, Sendable {
    public let id: String
    public let document: String
    public let revision: String
    public let section: String
    public let level: String
    public let sentence: String
    public let exempt: String?
    /// Ids of cases.
    public let cases: [String]

    var isOpen: Bool { cases.isEmpty && exempt == nil }
  }
  public let rows: [Row]
  /// Cited by a case, but no statement: id and cases.
  public let unknown: [String: [String]]
  public let covered: Int
  /// Statements that concern the suite.
  public let concerning: Int

  /// - Parameter patterns: which statements; all where there are none.
  public init(cases: [CaseInfo], _ patterns: [Glob] = []) {
    var citing: [String: [String]] = [:]
    for info in cases { for id in info.statements { citing[id, default: []].append(info.id) } }
    rows = Statement.all.filter { statement in patterns.isEmpty || patterns.contains { $0.matches(statement.id) } }.map {
      Row(
        id: $0.id, document: $0.document.rawValue, revision: $0.document.revision, section: $0.section, level: $0.level.rawValue, sentence: $0.sentence,
        exempt: $0.exempt, cases: (citing[$0.id] ?? []).sorted())
    }
    // Cases cite ids of other lists too; those of the documents are told by their families.
    let families = Set(Statement.all.map { $0.id.prefix { $0 != "-" } })
    unknown = citing.filter { families.contains($0.key.prefix { $0 != "-" }) && Statement.with(id: $0.key) == nil }
    concerning = rows.count { $0.exempt == nil }
    covered = rows.count { $0.exempt == nil && !$0.cases.isEmpty }
  }

  public var isComplete: Bool { covered == concerning && unknown.isEmpty }

  public func text(onlyUncovered: Bool = false) -> String {
    var lines: [String] = []
    for (document, rows) in documents {
      let shown = onlyUncovered ? rows.filter(\.isOpen) : rows
      if shown.isEmpty { continue }
      lines.append("\(document) at \(rows[0].revision)")
      for row in shown {
        let mark = row.isOpen ? "✗" : row.cases.isEmpty ? "-" : "✓"
        lines.append("  \(mark) \(row.id)  \(row.level)  \(row.sentence)")
        if onlyUncovered { continue }
        lines.append("      " + (row.cases.isEmpty ? row.exempt.map { "no case: \($0)" } ?? "NO CASE" : row.cases.joined(separator: ", ")))
      }
    }
    for (id, cases) in unknown.sorted(by: { $0.key < $1.key }) { lines.append("no statement is called \(id), which \(cases.joined(separator: ", ")) cites") }
    return lines.joined(separator: "\n") + (lines.isEmpty ? "" : "\n") + figure + "\n"
  }

  public func markdown() -> String {
    var lines = ["# Statements and the cases that check them", "", figure + ".", ""]
    for (document, rows) in documents {
      lines += ["## \(document) at `\(rows[0].revision)`", "", "| id | level | statement | cases |", "|---|---|---|---|"]
      for row in rows {
        let by = row.cases.isEmpty ? "_\(MarkdownReport.cell(row.exempt ?? "no case"))_" : row.cases.map { "`\($0)`" }.joined(separator: ", ")
        lines.append("| \(row.id) | \(row.level) | \(MarkdownReport.cell(row.sentence)) | \(by) |")
      }
      lines.append("")
    }
    return lines.joined(separator: "\n")
  }

  public var figure: String {
    "statements covered \(covered) of \(concerning)" + (rows.count == concerning ? "" : "; \(rows.count - concerning) more have a written reason for no case")
  }

  private var documents: [(String, [Row])] {
    let byDocument = Dictionary(grouping: rows, by: \.document)
    return Statement.Document.allCases.compactMap { document in byDocument[document.rawValue].map { (document.rawValue, $0) } }
  }
}
