import ArgumentParser
import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import SystemKit

struct InitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Probes a backend and writes a profile of it, with comments, to start from.",
    discussion: "The probe runs the core cases once. Capabilities whose every case fails are written down as missing; look at them before you believe it.")

  @Argument(help: "The address.") var target: String
  @OptionGroup var running: RunningOptions
  @Option(name: .shortAndLong, help: "The file to write; by default standard output.") var output: String?
  @Flag(help: "Overwrite the file if it is there.") var force = false

  func run() async throws {
    if let output, Files.exists(output), !force { throw ValidationError("\(output) is there already; --force overwrites it") }
    let opened = try Target(named: target)
    let concerned = Catalogue.cases.filter { $0.concerns(opened) && $0.missing(in: opened).isEmpty }
    if concerned.isEmpty { throw ValidationError("\(target) offers nothing that a case judges") }
    var options = try running.options(target: target)
    options.limit = min(options.limit, 30)
    // A profile of what does not answer would say of every capability that it is missing.
    if let silence = try await Probe.silence(of: opened, among: concerned, options) { throw SuiteError("\(target): it cannot be judged: \(silence)") }
    let progress = ProgressLine(quiet: false)
    // One case in four is enough to see what a backend can do at all.
    let probes = concerned.enumerated().filter { $0.offset % 4 == 0 || !$0.element.info.needs.isEmpty }.map(\.element)
    let (results, leaks) = try await Runner(options).run(probes, on: opened) {
      if case .ended(let result, let done, let total) = $0 { progress.ended(result, done: done, of: total) }
    }
    progress.clear()
    let text = Self.profile(of: target, target: opened, concerned: concerned, results: results, leaks: leaks)
    if let output {
      try saveText(text, to: output)
      print("\(output): written after \(results.count) probes; next: containerd-conformance run \(output)")
    } else {
      print(text, terminator: "")
    }
  }

  private static func profile(of address: String, target: Target, concerned: [AnyCase], results: [CaseResult], leaks: [String]) -> String {
    var lines = [
      "# A profile for containerd-conformance: what is known of a backend beyond its address.",
      "# Written by `init` on \(String.today); edit it, keep it in your repository.", "",
      "target = \(address)", "name = \(address)", "",
    ]
    let subjects = Dictionary(grouping: concerned, by: \.info.subject).map { "\($0.key) (\($0.value.count) cases)" }.sorted()
    lines.append("# It offers: \(subjects.joined(separator: ", ")).")
    lines.append(
      "# \(results.count) probes: \(results.count { $0.outcome == .pass }) pass, \(results.count { $0.outcome.isRed }) red, \(results.count { $0.outcome == .skip }) skipped."
    )
    for leak in leaks { lines.append("# After them this machine had: \(leak)") }
    lines += ["", "# Capabilities: the suite believes that it has all that are not named here."]
    for capability in target.capabilities.sorted(by: { $0.name < $1.name }) {
      let judged = results.filter { $0.info.needs.contains(capability.name) && $0.outcome != .skip }
      let red = judged.count { $0.outcome.isRed }
      if judged.isEmpty {
        lines.append("#without = \(capability.name)")
      } else if red == judged.count {
        lines.append("# every probe that needs it was red (\(judged.map(\.id).prefix(3).joined(separator: ", "))): a defect, or not meant to be there?")
        lines.append("without = \(capability.name)")
      } else {
        lines.append("#without = \(capability.name)    # \(judged.count - red) of \(judged.count) probes that need it passed")
      }
    }
    lines += ["", "# What was red in the probe, as a file of known failures would say it:"]
    lines += results.filter { $0.outcome.isRed }.map { "#   \($0.id) | \(($0.detail.split(separator: "\n").first ?? "").prefix(100)) | LINK | YYYY-MM-DD" }
    lines += ["#known-failing = known-failing.txt", "", "# Everything else that a profile can say:"]
    let said: Set = ["target", "name", "without", "known-failing"]
    lines += Profile.keys.filter { !said.contains($0.key) }.map { "#\(($0.key + " =").padding(12))    # \($0.meaning)" }
    return lines.joined(separator: "\n") + "\n"
  }
}
