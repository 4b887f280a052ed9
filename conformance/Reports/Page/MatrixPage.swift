import ConformanceKit
import ConformanceSuites

/// Many backends side by side: a row per case, a column per run.
public enum MatrixPage {
  /// - Parameter pages: where the page of each run is, as a link, if it has one.
  public static func render(_ reports: [RunReport], pages: [String?] = []) -> String {
    let cases = Set(reports.flatMap { $0.results.map(\.id) })
    var page = Page(
      title: "Backends compared", header: "<h1>Backends compared</h1><p class=\"faint\">\(reports.count) runs, \(cases.count) cases</p>",
      footer: "This file is complete: it loads nothing from anywhere.")
    page.add("totals", "Totals", totals(reports, pages))
    page.add("cases", "Cases", Page.filter + table(reports, onlyDifferences: false))
    return page.rendered()
  }

  private static func totals(_ reports: [RunReport], _ pages: [String?]) -> String {
    let rows = reports.enumerated().map { number, report in
      let name = "<b>\(markup(report.name))</b>"
      let title = (number < pages.count ? pages[number] : nil).map { "<a href=\"\(markup($0))\">\(name)</a>" } ?? name
      let verdict = Verdict(report)
      let red = report.results.count(where: \.isRed)
      let why = verdict.reasons.map(markup).joined(separator: "<br>")
      return """
        <tr><td>\(title)<br><code class="faint">\(markup(report.target))</code></td><td>\(verdict.word.rawValue)\
        \(why.isEmpty ? "" : "<br><span class=\"faint\">\(why)</span>")</td><td class="n" data-label="passed">\(report.count(.pass)) of \(report.executed)</td>\
        <td class="n" data-label="red">\(red)</td><td class="n" data-label="known">\(report.count(.expectedFailure))</td>\
        <td class="n" data-label="skipped">\(report.count(.skip))</td><td class="n">\(duration(report.seconds))</td></tr>
        """
    }
    return """
      <table class="stack"><thead><tr><th>backend</th><th>verdict</th><th class="n">passed of run</th><th class="n">red</th><th class="n">known</th>\
      <th class="n">skipped</th><th class="n">time</th></tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table>
      """
  }

  /// A run that does not concern a case shows a dash.
  static func table(_ reports: [RunReport], onlyDifferences: Bool) -> String {
    var infos: [String: CaseInfo] = [:]
    for result in reports.flatMap(\.results) where infos[result.id] == nil { infos[result.id] = result.info }
    let found = reports.map { Dictionary($0.results.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first }) }
    let byChapter = Dictionary(grouping: infos.values, by: \.group)
    var rows: [String] = []
    for chapter in CaseGroup.allCases {
      let lines = (byChapter[chapter] ?? []).sorted { $0.id < $1.id }.compactMap { info -> String? in
        let results = found.map { $0[info.id] }
        return onlyDifferences && Set(results.map { $0?.outcome }).count == 1 ? nil : row(info, results, reports)
      }
      if lines.isEmpty { continue }
      rows.append("<tr class=\"chapter\" data-chapter-head=\"\(chapter.rawValue)\"><td colspan=\"\(reports.count + 1)\">\(markup(chapter.title))</td></tr>")
      rows += lines
    }
    if rows.isEmpty { return "<p>The runs do not differ in any case.</p>" }
    let heads = reports.map { "<th class=\"backend\" title=\"\(markup($0.target))\">\(markup($0.name))</th>" }.joined()
    return "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th>case</th>\(heads)</tr></thead>"
      + "<tbody>\n\(rows.joined(separator: "\n"))\n</tbody></table></div>"
  }

  private static func row(_ info: CaseInfo, _ results: [CaseResult?], _ reports: [RunReport]) -> String {
    let cells = results.map { result -> String in
      guard let result else { return "<td class=\"mark o-none\">–</td>" }
      return "<td class=\"mark o-\(result.outcome.rawValue)\" title=\"\(markup(result.headline))\">\(result.outcome.title)</td>"
    }
    let outcomes = Set(results.compactMap { $0?.outcome.rawValue }).sorted().joined(separator: " ")
    return "<tr data-case=\"\(markup(info.id))\" data-outcomes=\"\(outcomes)\" data-level=\"\(info.level.rawValue)\" data-chapter=\"\(info.group.rawValue)\">"
      + "<td><code>\(markup(info.id))</code> <span class=\"tag\">\(info.level.rawValue)</span><br><span class=\"faint\">\(markup(info.sentence))</span></td>"
      + "\(cells.joined())</tr>"
  }
}
