import ArgumentParser
import ConformanceKit
import ConformanceReports
import ConformanceSuites
import ConformanceTargets
import Foundation
import SystemKit

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Judges the backend at an address, case by case.",
    discussion: """
      Every case runs in a process and a mount namespace of its own; what it leaves behind is found and charged to it.
      Ends with 0 if nothing is red, 1 if something is, 2 if the command cannot be done. Zero executed cases are red.
      Ctrl-C ends the cases that run, reports what has been judged, and ends with 130. Whatever ends the run: what it made is removed.
      """)

  @Argument(help: "The address: inproc:fake, snapshotter+grpc:///run/x.sock, oci-runtime:/usr/sbin/runc, …; or a profile's file.")
  var target: String
  @OptionGroup var running: RunningOptions
  @Option(help: "The name in reports; by default the address.")
  var name: String?
  @Option(name: .shortAndLong, help: "Write every form of report into this directory.")
  var output: String?
  @Option(help: "Write the report as JSON to this file (read by diff, matrix, report).")
  var save: String?
  @Flag(help: "Print the report as JSON on standard output, and nothing else.")
  var json = false
  @Flag(help: "Only the verdict.")
  var quiet = false
  @Flag(help: "Rewrite the first file of known failures to what was seen; it is begun if it is not there.")
  var fix = false
  @Option(help: "Only what was red in this saved report.")
  var rerunFailed: String?

  func run() async throws {
    let profile = try Profile(addressOrFile: target)
    var running = running
    profile.apply(to: &running)
    if fix, let file = running.knownFailing.first, !Files.exists(file) { try saveText("# id | expected symptom | link | expires\n", to: file) }
    var options = try running.options(target: profile.target)
    options.restart = profile.restart
    let target = try profile.open()
    var chosen = try running.selection().choose(from: Catalogue.cases).filter { $0.concerns(target) }
    if let rerunFailed {
      let red = Set(try savedReport(rerunFailed).results.filter { $0.outcome.isRed }.map(\.id))
      chosen = chosen.filter { red.contains($0.id) }
    }
    let progress = ProgressLine(quiet: quiet || json)
    progress.note("\(profile.name ?? profile.target): \(chosen.count) of \(Catalogue.cases.count) cases concern it; seed \(options.seed)")
    let problems = options.knownFailures.problems(with: Catalogue.cases, today: options.today)
    for problem in problems { progress.note("known failures: " + problem) }
    // An hour of judging must not end with a report that cannot be kept.
    if let output { try expectWritable(directory: output) }
    if let save { try expectWritable(directory: Files.parent(of: save.contains("/") ? save : "./" + save)) }
    if let start = profile.start {
      let status = Shell.run(start)
      if status != 0 { throw SuiteError("the profile's start command `\(start)` ended with status \(status)") }
    }
    Interrupts.end(options.interruption) { progress.note($0) }
    let began = ContinuousClock.now
    let started = String.now
    let (results, leaks) = try await Runner(options).run(chosen, on: target) { step in
      switch step {
      case .began(let info): progress.began(info.id)
      case .ended(let result, let done, let total): progress.ended(result, done: done, of: total)
      }
    }
    progress.clear()
    if let stop = profile.stop, case let status = Shell.run(stop), status != 0 { progress.note("the profile's stop command ended with status \(status)") }
    let took = began.duration(to: .now).components
    var report = RunReport(
      target: profile.target, name: name ?? profile.name ?? profile.target, started: started,
      seconds: Double(took.seconds) + Double(took.attoseconds) / 1e18, seed: options.seed, suiteVersion: suiteVersion,
      environment: Machine.fingerprint(scratch: options.scratch), results: results,
      selection: "\(try running.selection())" + (rerunFailed.map { ", of what was red in \($0)" } ?? ""))
    report.leaks = leaks
    report.fileProblems = problems
    try deliver(report, options, running)
    if options.interruption.isSet { throw ExitCode(130) }
    if !report.isGreen { throw ExitCode(1) }
  }

  private func deliver(_ report: RunReport, _ options: Runner.Options, _ running: RunningOptions) throws {
    if fix {
      guard let file = running.knownFailing.first else { throw ValidationError("--fix rewrites a file of known failures: name it with --known-failing") }
      let year = (Int(String.today.prefix(4)) ?? 0) + 1
      let rewrite = try KnownFailures.rewritten(
        contents(of: file), results: report.results, ids: Catalogue.cases.map(\.id), file: file, today: options.today,
        expires: "\(year)\(String.today.dropFirst(4))")
      if !rewrite.changes.isEmpty { try saveText(rewrite.text, to: file) }
      let progress = ProgressLine(quiet: false)
      progress.note(rewrite.changes.isEmpty ? "\(file): nothing to change" : "\(file): rewritten")
      for change in rewrite.changes { progress.note("  " + change) }
    }
    if let save { try saveText(asJSON(report), to: save) }
    if let output { try ReportFiles.write(report, to: output) }
    if json { print(try asJSON(report), terminator: "") } else { print(quiet ? ReportFiles.verdict(report) : ReportFiles.summary(report)) }
  }
}
