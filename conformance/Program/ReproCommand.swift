import ArgumentParser
import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import Foundation
import SystemKit

struct ReproCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repro", abstract: "Runs one case and prints a script that decides it with public tools.",
    discussion: """
      The script ends with 0 if the promise is kept, 1 if it is broken, 2 if that could not be tried. It has been run once before it is printed, \
      and said what the case said. Where no such script is possible, what was done is printed as comments, with the reason, and the end is 3.
      """)

  @Argument(help: "The id of the case.") var id: String
  @Argument(help: "The address.") var target: String
  @OptionGroup var running: RunningOptions

  func run() async throws {
    guard let contract = Catalogue.cases.first(where: { $0.id == id }) else { throw ValidationError("no case is called \(id); see `list`") }
    let profile = try Profile(addressOrFile: target)
    let opened = try profile.open()
    if !contract.concerns(opened) { throw ValidationError("\(target) has nothing that \(id) judges (\(contract.info.subject))") }
    var options = try running.options(target: profile.target)
    options.jobs = 1
    let (results, _) = try await Runner(options).run([contract], on: opened) { _ in }
    guard let result = results.first else { throw SuiteError("\(id) gave no result") }
    switch try await script(of: result, contract, on: profile.target) {
    case .success(let text): print(text, terminator: "")
    case .failure(let reason):
      print(Reproduction.list(of: result, target: profile.target, reason: reason.text), terminator: "")
      throw ExitCode(3)
    }
  }

  private func script(of result: CaseResult, _ contract: AnyCase, on target: String) async throws -> Result<String, ScriptWriter.Reason> {
    let broken = [Outcome.fail, .expectedFailure].contains(result.outcome)
    guard broken || [.pass, .unexpectedPass].contains(result.outcome) else {
      return .failure(.init("the case came to no verdict here, \(result.outcome.rawValue): \(result.detail)"))
    }
    let writer: ScriptWriter
    switch try ScriptWriter.make(target, subject: contract.info.subject, steps: result.steps) {
    case .success(let made): writer = made
    case .failure(let reason): return .failure(reason)
    }
    let generated = contract.info.id.contains(".model.")
    let choices = Self.choices(in: result.detail)
    if generated, choices.isEmpty {
      return .failure(.init("it makes hundreds of sequences by chance, and none of them was answered wrongly"))
    }
    if writer.onTheWire, result.steps.count >= 200 { return .failure(.init("it makes hundreds of calls, of which the last are kept")) }
    var expectation: Expectation?
    for reference in writer.references where contract.concerns(reference) && contract.missing(in: reference).isEmpty {
      // Twice: what differs from run to run is no answer to rely on.
      for _ in 0..<2 {
        let run = try await good(contract, reference, seed: result.seed, choices: choices)
        guard let record = run else { break }
        if record.together { return .failure(.init("its calls are made at once by several clients, and tools make one after another")) }
        switch (expectation, writer.onTheWire) {
        case (nil, false): expectation = Expectation(record.steps)
        case (nil, true): expectation = Expectation(calls: result.steps, answers: record.steps)
        case (_, false): expectation?.allow(record.steps, butLast: false)
        case (_, true): expectation?.agree(with: record.steps)
        }
      }
    }
    if expectation == nil, !broken { expectation = Expectation(result.steps) }
    guard var expected = expectation, expected.compared > 0 else {
      return .failure(.init("no good backend of this program's own runs the case and makes calls in it that tools can make"))
    }
    if !broken { expected.allow(result.steps, butLast: false) }
    var attempts = [expected]
    if broken, !generated {
      expected.allow(result.steps, butLast: true)
      attempts.insert(expected, at: 0)
    }
    var said = ""
    for attempt in attempts {
      let text = writer.script(of: result, target: target, expecting: attempt)
      let (code, output) = try trial(text)
      if code == (broken ? 1 : 0) { return .success(text) }
      said = "tried on the target it ended with \(code): \(output.split(separator: "\n").last ?? "")"
    }
    return .failure(.init("the calls that tools can make do not show what the case saw (\(said))"))
  }

  /// A run on a backend of our own; nil if it does not pass.
  private func good(_ contract: AnyCase, _ target: Target, seed: UInt64, choices: [UInt64]) async throws -> Record? {
    let root = "\(running.scratchDirectory)/repro-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try Files.makeDirectories(root)
    var workspace = Workspace(directory: root, seed: seed, patience: running.patience)
    workspace.choices = choices
    var passed = true
    do { try await contract.run(on: target, in: workspace) } catch { passed = false }
    for problem in await workspace.endings.run() { throw SuiteError("\(target.address) could not be put away: \(problem)") }
    try Files.removeTree(root)
    return passed ? workspace.record : nil
  }

  /// Runs a script as its reader will.
  private func trial(_ script: String) throws -> (code: Int32, output: String) {
    let root = "\(running.scratchDirectory)/repro-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try Files.makeDirectories(root)
    try Files.writeAtomically(Array(script.utf8), to: root + "/script", mode: 0o700)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["bash", root + "/script"]
    process.standardInput = FileHandle.nullDevice
    let log = root + "/log"
    try Files.writeAtomically([], to: log, mode: 0o600)
    let output = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
    process.standardOutput = output
    process.standardError = output
    try process.run()
    process.waitUntilExit()
    let text = String(decoding: try Files.read(log), as: UTF8.self)
    try Files.removeTree(root)
    return (process.terminationStatus, text)
  }

  /// The choices that a failed random run printed.
  private static func choices(in detail: String) -> [UInt64] {
    guard let range = detail.range(of: "replay with --choices ") else { return [] }
    return detail[range.upperBound...].prefix { $0.isNumber || $0 == "," }.split(separator: ",").compactMap { UInt64($0) }
  }
}
