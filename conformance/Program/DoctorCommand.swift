import ArgumentParser
import BlockingIO
import ConformanceKit
import ConformanceSuites
import ConformanceTargets

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "What this machine lets the suite judge, before anything runs.",
    discussion: "With an address: which cases would run against it, and which not, and why. Ends with 1 if nothing could run.")

  @Argument(help: "The address, or a profile's file.") var target: String?
  @OptionGroup var running: RunningOptions
  @Flag(help: "As JSON.") var json = false

  func run() async throws {
    let scratch = running.scratchDirectory
    let findings = try await DedicatedThread.run { Doctor.examine(scratch: scratch) }
    if json {
      print(try asJSON(findings), terminator: "")
    } else {
      let print_ = Machine.fingerprint(scratch: scratch)
      print("\(print_.distribution), Linux \(print_.kernel), \(print_.cpus) CPUs, \(print_.memoryMiB) MiB\n")
      for finding in findings {
        let sign = finding.state == .good ? "ok     " : finding.state == .limited ? "limited" : "BAD    "
        print("\(sign)  \(finding.subject.padding(22))\(finding.detail)")
        if !finding.remedy.isEmpty { print("\("".padding(31))→ \(finding.remedy)") }
      }
    }
    var runnable = 1
    if let target, !json {
      let profile = try Profile(addressOrFile: target)
      let opened = try profile.open()
      let concerned = try running.selection().choose(from: Catalogue.cases).filter { $0.concerns(opened) }
      let skipped = concerned.filter { !$0.missing(in: opened).isEmpty }
      runnable = concerned.count - skipped.count
      print("\n\(target): \(runnable) of \(Catalogue.cases.count) cases would run, \(Catalogue.cases.count - concerned.count) judge what it does not offer")
      for (lacking, cases) in Dictionary(grouping: skipped, by: { $0.missing(in: opened).map(\.name).joined(separator: ", ") }).sorted(by: { $0.key < $1.key })
      {
        print("  \(cases.count) need \(lacking), which it lacks")
      }
      if let silence = try await Probe.silence(
        of: opened, among: concerned.filter { $0.missing(in: opened).isEmpty }, try running.options(target: profile.target))
      {
        print("BAD      \(silence)")
        runnable = 0
      } else if runnable > 0 {
        print("ok       it was asked, and answers")
      }
    }
    if runnable == 0 || findings.contains(where: { $0.state == .bad }) { throw ExitCode(1) }
  }
}
