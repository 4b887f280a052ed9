import ConformanceKit
import ConformanceSuites

/// One run as one page: the verdict first, then what an author must act on, then everything else.
enum PageReport {
  static func render(_ report: RunReport, _ context: ReportContext) -> String {
    var page = Page(
      title: "\(report.name): conformance", header: header(report),
      footer: "containerd-conformance \(markup(report.suiteVersion)) · seed \(report.seed) · \(markup(report.started)). "
        + "This file is complete: it loads nothing from anywhere.")
    page.add("figures", "Figures", figures(report, context))
    page.add("chapters", "Chapters", chapters(report))
    page.add("findings", "Findings", report.findings.map { finding($0, report) }.joined(separator: "\n"))
    page.add("skips", "Skipped", skips(report))
    page.add("others", "Beside other backends", context.others.isEmpty ? "" : MatrixPage.table([report] + context.others, onlyDifferences: true))
    page.add("cases", "All cases", cases(report))
    page.add("statements", "Statements", statements(report))
    page.add("environment", "Environment", environment(report))
    return page.rendered()
  }

  private static func header(_ report: RunReport) -> String {
    """
    <h1>\(markup(report.name))</h1>
    <p class="faint"><code>\(markup(report.target))</code> · \(report.results.count) \(plural(report.results.count, "case")) in \(duration(report.seconds)) · selection: \(markup(report.selection))</p>
    \(Page.verdict(Verdict(report)))
    """
  }

  private static func figures(_ report: RunReport, _ context: ReportContext) -> String {
    let must = report.results.filter { $0.info.level == .must }
    let concerned = Statement.all.count { $0.exempt == nil }
    var figures = [
      ("\(report.count(.pass)) of \(report.executed)", "cases passed of those run"),
      ("\(must.count { $0.outcome == .pass }) of \(must.count { $0.outcome != .skip })", "of them MUST"),
      ("\(report.checkedStatements.count) of \(concerned)", "statements checked in this run"),
      ("\(report.count(.skip))", "skipped, each with a reason"),
    ]
    let leaks = report.results.reduce(report.leaks.count) { $0 + $1.leaks.count }
    if leaks > 0 { figures.append(("\(leaks)", "left behind on the machine")) }
    if let proof = context.proof {
      figures.append(("\(proof.mutantsKilled) of \(proof.mutants)", "faults that the suite finds of those put in"))
      figures.append(("\(proof.falseAlarms)", "false alarms on known-good backends"))
    }
    return "<div class=\"figures\">" + figures.map { "<div class=\"figure\"><b>\($0.0)</b>\($0.1)</div>" }.joined() + "</div>"
  }

  private static func chapters(_ report: RunReport) -> String {
    let rows = report.chapters.map { group, results in
      let counts = [
        ("pass", results.count { $0.outcome == .pass && $0.leaks.isEmpty }),
        ("fail", results.count { [.fail, .flaky, .unexpectedPass].contains($0.outcome) || ($0.outcome == .pass && !$0.leaks.isEmpty) }),
        ("error", results.count { [.error, .timeout, .crash, .blocked].contains($0.outcome) }),
        ("expected-failure", results.count { $0.outcome == .expectedFailure }), ("skip", results.count { $0.outcome == .skip }),
      ]
      let parts = counts.filter { $0.1 > 0 }.map { "<i class=\"o-\($0.0)\" style=\"flex:\($0.1)\"></i>" }.joined()
      let labels = ["passed", "failed", "not judged", "known", "skipped"]
      let cells = zip(labels, counts).map { "<td class=\"n\" data-label=\"\($0)\">\($1.1)</td>" }.joined()
      return "<tr><td>\(markup(group.title))</td><td>"
        + "<div class=\"bar\" role=\"img\" aria-label=\"\(counts[0].1) of \(results.count) passed\">\(parts)</div></td>\(cells)</tr>"
    }
    return """
      <table class="stack"><thead><tr><th>chapter</th><th></th><th class="n">passed</th><th class="n">failed</th><th class="n">not judged</th>\
      <th class="n">known</th><th class="n">skipped</th></tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table>
      """
  }

  private static func finding(_ result: CaseResult, _ report: RunReport) -> String {
    let info = result.info
    var parts: [String] = []
    func add(_ term: String, _ body: String) { parts.append("<dt>\(term)</dt><dd>\(body)</dd>") }
    func pre(_ text: String) -> String { "<pre>\(markup(text))</pre>" }
    if result.expected != nil || result.actual != nil {
      let expected = result.expected.map { "<div><dt>Expected</dt><dd>\(pre($0))</dd></div>" } ?? ""
      let actual = result.actual.map { "<div><dt>Actual</dt><dd>\(pre($0))</dd></div>" } ?? ""
      parts.append("<div class=\"pair\">\(expected)\(actual)</div>")
    }
    if !result.detail.isEmpty { add("What happened", pre(result.detail)) }
    if !info.why.isEmpty { add("Why it matters", "<p>\(markup(info.why))</p>") }
    add("The promise", "<p>\(markup(info.sentence)). <span class=\"faint\">\(markup(info.source))</span></p>" + quoted(info.statements))
    if !info.threads.isEmpty { add("Seen before", "<p>\(info.threads.map(Page.thread).joined(separator: ", "))</p>") }
    if let link = result.link { add("Known", "<p>\(markup(link))</p>") }
    if !result.leaks.isEmpty { add("Left behind", pre(result.leaks.joined(separator: "\n"))) }
    add("Again", pre(report.rerun(info.id) + "\n" + report.reproduction(info.id)))
    if !result.steps.isEmpty { add("Steps", steps(result)) }
    if !result.log.isEmpty { add("Log", "<details><summary>what the worker wrote</summary>\(pre(result.log))</details>") }
    return """
      <article class="b-\(result.outcome.rawValue)" \(data(result)) id="finding-\(markup(info.id))">
      <h3><code>\(markup(info.id))</code> <span class="tag">\(info.level.rawValue)</span> \(Page.tag(result.outcome))\
      \(result.leaks.isEmpty ? "" : " <span class=\"tag o-fail\">left something behind</span>")</h3>
      <dl>\(parts.joined())</dl>
      </article>
      """
  }

  private static func steps(_ result: CaseResult) -> String {
    let lines = result.steps.map { step in
      var line = step.command.isEmpty ? "# \(step.text)" : "# \(step.text)\n\(step.command)"
      if !step.outcome.isEmpty { line += "\n# → \(step.outcome)" }
      return line
    }
    return "<details><summary>\(result.steps.count) \(plural(result.steps.count, "step")), with the commands of public tools that do the same</summary>"
      + "<pre>\(markup(lines.joined(separator: "\n")))</pre></details>"
  }

  private static func quoted(_ statements: [String]) -> String {
    let known = statements.compactMap(Statement.with(id:))
    if known.isEmpty { return "" }
    let items = known.map {
      "<li><a href=\"#statement-\($0.id)\">\($0.id)</a> (\(markup($0.document.rawValue)), \(markup($0.section))): \(markup($0.sentence))</li>"
    }
    return "<ul>\(items.joined())</ul>"
  }

  private static func skips(_ report: RunReport) -> String {
    report.skipsByReason.map { reason, results in
      let items = results.map { "<li><code>\(markup($0.id))</code>: \(markup($0.headline))</li>" }.joined()
      return "<details><summary><b>\(markup(reason))</b>: \(meaning(reason)) (\(results.count))</summary><ul>\(items)</ul></details>"
    }.joined(separator: "\n")
  }

  private static func meaning(_ reason: String) -> String {
    switch CaseSkipped.Reason(rawValue: reason) {
    case .capability: "the backend does not claim it"
    case .privilege: "not permitted here"
    case .environment: "this machine lacks something"
    case .tool: "a program is not installed"
    case nil: "no reason known to this page"
    }
  }

  private static func cases(_ report: RunReport) -> String {
    let rows = report.results.map { result in
      let name = "<code>\(markup(result.id))</code>"
      let link = result.isFinding ? "<a href=\"#finding-\(markup(result.id))\">\(name)</a>" : name
      return "<tr id=\"case-\(markup(result.id))\" \(data(result))><td>\(link)</td><td>\(markup(result.info.sentence))"
        + "<br><span class=\"faint\">\(markup(result.info.source))</span></td><td class=\"i\">\(result.info.level.rawValue)</td>"
        + "<td class=\"i\">\(Page.tag(result.outcome))</td><td class=\"n\">\(duration(result.seconds))</td></tr>"
    }
    return """
      \(Page.filter)
      <table class="stack"><thead><tr><th>case</th><th>promise</th><th>level</th><th>outcome</th><th class="n">time</th></tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table>
      """
  }

  private static func data(_ result: CaseResult) -> String {
    "data-case=\"\(markup(result.id))\" data-outcomes=\"\(result.outcome.rawValue)\" data-level=\"\(result.info.level.rawValue)\""
  }

  private static func statements(_ report: RunReport) -> String {
    var checking: [String: [CaseResult]] = [:]
    for result in report.results { for id in result.info.statements { checking[id, default: []].append(result) } }
    let documents = Dictionary(grouping: Statement.all, by: \.document)
    return Statement.Document.allCases.compactMap { document in documents[document].map { (document, $0) } }.map { document, statements in
      let rows = statements.map { statement in
        let cases = (checking[statement.id] ?? []).map { "<a class=\"o-\($0.outcome.rawValue)\" href=\"#case-\(markup($0.id))\">\(markup($0.id))</a>" }
        let by = cases.isEmpty ? "<span class=\"faint\">\(markup(statement.exempt ?? "not in this run"))</span>" : cases.joined(separator: ", ")
        return "<tr id=\"statement-\(statement.id)\"><td class=\"i\">\(statement.id)</td><td class=\"i\">\(statement.level.rawValue)</td>"
          + "<td>\(markup(statement.sentence)) "
          + "<span class=\"faint\">\(markup(statement.section))</span></td><td>\(by)</td></tr>"
      }
      let checked = statements.count { report.checkedStatements.contains($0.id) }
      return """
        <details><summary><b>\(markup(document.rawValue))</b> at <code>\(document.revision)</code>: \(checked) of \(statements.count) checked in this run</summary>
        <table class="stack"><thead><tr><th>id</th><th>level</th><th>statement</th><th>cases</th></tr></thead><tbody>
        \(rows.joined(separator: "\n"))
        </tbody></table></details>
        """
    }.joined(separator: "\n")
  }

  private static func environment(_ report: RunReport) -> String {
    let machine = report.environment
    let facts =
      [
        ("kernel", machine.kernel), ("architecture", machine.architecture), ("distribution", machine.distribution), ("cgroups", machine.cgroups),
        ("root", machine.root ? "yes" : "no"), ("scratch file system", machine.scratchFilesystem), ("processors", "\(machine.cpus)"),
        ("memory", "\(machine.memoryMiB) MiB"), ("seed", "\(report.seed)"), ("suite", report.suiteVersion),
      ] + machine.tools.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    return "<dl class=\"facts\">" + facts.map { "<dt>\(markup($0.0))</dt><dd>\(markup($0.1))</dd>" }.joined() + "</dl>"
  }
}
