import ArgumentParser
import ConformanceKit
import ConformanceMutants
import ConformanceSuites
import ConformanceTargets

struct MutateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mutate", abstract: "Proves the suite: good backends with one fault each, and who notices.",
    discussion: """
      A mutant is killed if a case that is meant to notice it fails with the intended words. One that survives is tried with two more seeds.
      Ends with 0 if every control is green, no good backend is blamed, and dead are: every mutant that a MUST case is meant to kill, and 95 of 100 of all.
      """)

  @Argument(help: "Ids or globs of mutants, or group:hooks, or on:inproc:fake; by default all.")
  var mutants: [String] = []
  @OptionGroup var running: RunningOptions
  @Option(help: "Write the kill matrix as JSON to this file.")
  var save: String?
  @Flag(help: "Print the kill matrix as JSON on standard output, and nothing else.")
  var json = false
  @Flag(help: "Only the figures and what is wrong.")
  var quiet = false

  func run() async throws {
    let chosen = MutantCatalogue.all.filter { mutant in
      mutants.isEmpty
        || mutants.contains { pattern in
          if pattern.hasPrefix("group:") { return Glob(String(pattern.dropFirst(6))).matches(mutant.group.rawValue) }
          if pattern.hasPrefix("on:") { return Glob(String(pattern.dropFirst(3))).matches(mutant.base) }
          return Glob(pattern).matches(mutant.id)
        }
    }
    if chosen.isEmpty { throw ValidationError("no mutant is called \(mutants.joined(separator: ", "))") }
    let progress = ProgressLine(quiet: json)
    let options = try running.options(target: "")
    let report = try await MutationRun(options, catalogue: try running.selection().choose(from: Catalogue.cases)) { try Target(named: $0) }.run(chosen) {
      step in
      switch step {
      case .base(let base, let cases): progress.note("good backend \(base): \(cases) cases first; seed \(options.seed)")
      case .mutant(let verdict, let done, let total):
        if !quiet || ![.killed, .green].contains(verdict.state) {
          progress.note("\(done)/\(total)  \(MutationText.line(verdict))")
        }
      }
    }
    if let save { try saveText(asJSON(report), to: save) }
    print(json ? try asJSON(report) : MutationText.summary(report, whole: mutants.isEmpty), terminator: "")
    if !report.isGreen { throw ExitCode(1) }
  }
}

/// The kill matrix, for people.
enum MutationText {
  static func line(_ verdict: MutantVerdict) -> String {
    let state = verdict.state.rawValue.padding(16)
    let by = verdict.killers.isEmpty ? "" : "  by " + verdict.killers.prefix(3).joined(separator: ", ") + (verdict.killers.count > 3 ? ", …" : "")
    let bad = [.killed, .green].contains(verdict.state) ? "" : "\n      " + (verdict.detail.split(separator: "\n").first.map(String.init) ?? "")
    return "\(state)\(verdict.id.padding(10))\(verdict.sentence)\(by)\(bad)"
  }

  static func summary(_ report: MutationReport, whole: Bool) -> String {
    var lines = [""]
    for group in CaseGroup.allCases {
      let all = report.mutants.filter { $0.group == group }
      if all.isEmpty { continue }
      let killed = all.count { $0.state == .killed }
      lines.append("  \(group.title.padding(40))\(killed) of \(all.count) killed")
    }
    let controls = report.verdicts.filter(\.control)
    lines.append("")
    for alarm in report.falseAlarms { lines.append("  false alarm: \(alarm.id) on the good backend: \(alarm.detail.split(separator: "\n").first ?? "")") }
    let unclear = report.mutants.filter { $0.byTimeoutOnly }
    if !unclear.isEmpty { lines.append("  noticed by time alone: \(unclear.map(\.id).joined(separator: ", "))") }
    for verdict in report.verdicts where verdict.state == .falseAlarm { lines.append("  control noticed: \(line(verdict))") }
    for verdict in report.alive { lines.append("  alive\(verdict.must ? " (MUST)" : ""): \(line(verdict))") }
    let later = report.mutants.filter { $0.laterSeed != nil }
    if !later.isEmpty { lines.append("  killed only with another seed: \(later.map { "\($0.id) (\($0.laterSeed ?? 0))" }.joined(separator: ", "))") }
    let elsewhere = report.verdicts.filter { $0.state == .notHere }
    if !elsewhere.isEmpty { lines.append("  cannot be judged on this machine: \(elsewhere.map(\.id).joined(separator: ", "))") }
    if whole, !report.idleMustCases.isEmpty { lines.append("  MUST cases that kill no mutant: \(report.idleMustCases.joined(separator: ", "))") }
    lines.append("  mutants killed        \(report.killed) of \(report.mutants.count)")
    lines.append("  controls green        \(report.controlsGreen) of \(controls.count)")
    lines.append("  false alarms          \(report.falseAlarms.count)")
    lines.append("  in \(Int(report.seconds.rounded())) s; seed \(report.seed)")
    return lines.joined(separator: "\n") + "\n"
  }
}

extension String {
  func padding(_ width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
