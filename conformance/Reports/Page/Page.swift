import ConformanceKit
import ConformanceSuites

/// What every page is made of: one file, nothing fetched, readable without scripts.
struct Page {
  var title: String
  var header: String
  var sections: [(id: String, title: String, body: String)] = []
  var footer: String

  mutating func add(_ id: String, _ title: String, _ body: String) { if !body.isEmpty { sections.append((id, title, body)) } }

  func rendered() -> String {
    let links = sections.map { "<a href=\"#\($0.id)\">\(markup($0.title))</a>" }.joined(separator: "\n")
    let bodies = sections.map { "<section id=\"\($0.id)\">\n<h2>\(markup($0.title))</h2>\n\($0.body)\n</section>" }.joined(separator: "\n")
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
      <link rel="icon" href="data:,">
      <title>\(markup(title))</title>
      <style>
      \(PageStyle.css)
      </style>
      </head>
      <body>
      <header>
      \(header)
      <nav>
      \(links)
      </nav>
      </header>
      <main>
      \(bodies)
      </main>
      <footer>\(footer)</footer>
      <script>
      \(PageScript.javascript)
      </script>
      </body>
      </html>

      """
  }

  static let filter: String = {
    let outcomes = Outcome.allCases.map { "<option value=\"\($0.rawValue)\">\($0.title)</option>" }.joined()
    let levels = ContractLevel.allCases.map { "<option>\($0.rawValue)</option>" }.joined()
    return """
      <div class="filter" id="filter" hidden>
      <input type="search" id="filter-text" placeholder="Filter: id, words, statement, thread" aria-label="Filter cases">
      <select id="filter-outcome" aria-label="Outcome"><option value="">all outcomes</option>\(outcomes)</select>
      <select id="filter-level" aria-label="Level"><option value="">all levels</option>\(levels)</select>
      <span class="faint" id="filter-left"></span>
      </div>
      """
  }()

  static func tag(_ outcome: Outcome) -> String { "<span class=\"tag o-\(outcome.rawValue)\">\(outcome.title)</span>" }

  static func thread(_ thread: String) -> String { threadLink(thread).map { "<a href=\"\(markup($0))\">\(markup(thread))</a>" } ?? markup(thread) }

  static func verdict(_ verdict: Verdict) -> String {
    let style = verdict.word == .notConformant ? "not" : verdict.word.rawValue
    let reasons = verdict.reasons.isEmpty ? "" : "<ul>" + verdict.reasons.map { "<li>\(markup($0))</li>" }.joined() + "</ul>"
    return "<div class=\"verdict \(style)\"><strong>\(verdict.word.rawValue)</strong>\(reasons)</div>"
  }
}
