import ArgumentParser
import ConformanceKit
import ConformanceModels
import ConformanceSuites
import ConformanceTargets
import Foundation
import SystemKit

/// The same operations on two backends.
struct DifferCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "differ",
    abstract: "Does the same random operations with two backends and shows where they answer differently.",
    discussion: """
      Compared are error classes, infos, walks, whether mounts are writable, and where both have files, the trees. Times, messages and the \
      sources of mounts are not. Each difference is shown with the shortest sequence found that leads to it. The status is 1 if there is any.
      """)

  @Argument(help: "The address of the first.") var a: String
  @Argument(help: "The address of the second.") var b: String
  @Option(help: "Operations in a sequence, at most.") var steps: Int = 30
  @Option(help: "Sequences.") var sequences: Int = 60
  @Option(help: "Seconds for each kind of subject.") var seconds: Double = 20
  @Option(help: "The seed of everything left to chance; printed by every run.") var seed: UInt64?
  @Option(help: "Only this: snapshots or content.") var subject: String?
  @Flag(help: "Kinds of mounts and the names of their options count too.") var mounts = false
  @Flag(help: "Print JSON.") var json = false
  @Option(help: "Where the backends work.") var scratch: String?

  struct Report: Encodable {
    var schema = 1
    var a: String
    var b: String
    var seed: UInt64
    var compared: [String]
    var differences: [Difference]
  }

  func validate() throws {
    if steps < 1 || sequences < 1 || !(seconds > 0) { throw ValidationError("--steps and --sequences are at least 1, --seconds more than 0") }
    if let subject, !["snapshots", "content"].contains(subject) { throw ValidationError("--subject \(subject): say snapshots or content") }
  }

  func run() async throws {
    let targets = (try Target(at: a), try Target(at: b))
    let seed = seed ?? UInt64.random(in: 1...999_999)
    let root = "\(scratch ?? ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp")/differ-\(getpid())"
    try Files.makeDirectories("\(root)/a")
    try Files.makeDirectories("\(root)/b")
    var report = Report(a: a, b: b, seed: seed, compared: [], differences: [])
    do { try await compare(targets, root, seed, &report) } catch {
      try Files.removeTree(root)
      throw error
    }
    try Files.removeTree(root)
    if report.compared.isEmpty { throw ValidationError("\(a) and \(b) offer nothing of the same kind that can be compared: snapshots or content") }
    print(json ? try asJSON(report) : Self.text(report), terminator: "")
    if !report.differences.isEmpty { throw ExitCode(1) }
  }

  private func compare(_ targets: (Target, Target), _ root: String, _ seed: UInt64, _ report: inout Report) async throws {
    var options = Differential.Options()
    options.steps = steps
    options.sequences = sequences
    options.seconds = seconds
    options.mounts = mounts
    let places = (Workspace(directory: "\(root)/a", seed: seed), Workspace(directory: "\(root)/b", seed: seed))
    let last = (LastWorkspace(), LastWorkspace())
    if subject != "content", let one = targets.0.fresh(SnapshotSubject.self, in: places.0, last: last.0),
      let other = targets.1.fresh(SnapshotSubject.self, in: places.1, last: last.1)
    {
      report.compared.append("snapshots")
      report.differences += try await Differential.snapshots(one, other, options)
    }
    if subject != "snapshots", let one = targets.0.fresh(ContentSubject.self, in: places.0, last: last.0),
      let other = targets.1.fresh(ContentSubject.self, in: places.1, last: last.1)
    {
      report.compared.append("content")
      report.differences += try await Differential.content(one, other, options)
    }
    try await last.0.end()
    try await last.1.end()
  }

  static func text(_ report: Report) -> String {
    var lines = ["A  \(report.a)", "B  \(report.b)", "compared: \(report.compared.joined(separator: ", ")); seed \(report.seed)", ""]
    for (number, difference) in report.differences.enumerated() {
      lines.append("\(number + 1). \(difference.subject): \(difference.operation)")
      lines.append("     A: \(difference.a)")
      lines.append("     B: \(difference.b)")
      lines.append("   after")
      for (place, step) in difference.steps.enumerated() {
        lines.append("     \(place + 1). \(step.operation) → \(step.a == step.b ? step.a : "A: \(step.a) | B: \(step.b)")")
      }
      let commands = difference.steps.map(\.command).filter { !$0.isEmpty }
      if !commands.isEmpty { lines += ["   with containerd's command line:"] + commands.map { "     \($0)" } }
      lines.append("")
    }
    lines.append(report.differences.isEmpty ? "no difference found" : "\(report.differences.count) kinds of difference")
    return lines.joined(separator: "\n") + "\n"
  }
}
