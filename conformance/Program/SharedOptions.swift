import ArgumentParser
import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import Foundation
import SystemKit

/// The version of the suite, as it stands in every report: it changes when a case changes its meaning.
let suiteVersion = "0.2.0"

/// Which cases, how long, how often: shared by all commands that run something.
struct RunningOptions: ParsableArguments {
  @Option(
    name: .customLong("select"),
    help: "Only these: id, glob, level:MUST, group:hooks, tag:core, statement:SNAP-05, thread:containerd#7834, subject:Content; join with +; repeatable.")
  var only: [String] = []
  @Option(name: .customLong("skip"), help: "Not these; as --select.")
  var without: [String] = []
  @Option(help: "Only the I-th of N parts: I/N.")
  var shard: String = "1/1"
  @Option(help: "The seed of everything left to chance; printed by every run.")
  var seed: UInt64?
  @Option(help: "How much slower than a usual machine this one is: deadlines are multiplied.")
  var patience: Double = 1
  @Option(help: "How much longer than usual random runs go on.")
  var budget: Double = 1
  @Option(help: "Seconds for one case, before patience.")
  var timeout: Double = 120
  @Option(help: "Cases at once.")
  var jobs: Int = 2
  @Option(name: .customLong("repeat"), help: "Runs of each case; one that passes and fails is flaky.")
  var repeats: Int = 1
  @Option(name: .customLong("retry"), help: "Runs a red case again so often; one that passes then is told of, and does not turn the run red.")
  var retries: Int = 0
  @Option(help: "Where cases work; a directory on the file system that matters.")
  var scratch: String?
  @Option(help: "Files of known failures: id | symptom | link | expiry. Repeatable.")
  var knownFailing: [String] = []

  var scratchDirectory: String { scratch ?? ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp" }

  func selection() throws -> Selection {
    let parts = shard.split(separator: "/").compactMap { Int($0) }
    guard parts.count == 2 else { throw ValidationError("--shard \(shard): say I/N, such as 1/3") }
    return try Selection(only: only, without: without, shard: (parts[0], parts[1]))
  }

  func options(target: String) throws -> Runner.Options {
    if !(patience > 0) || !(budget > 0) || !(timeout > 0) || jobs < 1 || repeats < 1 || retries < 0 {
      throw ValidationError("--patience, --budget and --timeout are more than 0, --jobs and --repeat at least 1, --retry not less than 0")
    }
    try Files.makeDirectories(scratchDirectory)
    var options = Runner.Options(
      target: target, seed: seed ?? UInt64.random(in: 1...999_999), scratch: scratchDirectory, today: .today)
    options.patience = patience
    options.budget = budget
    options.limit = timeout
    options.jobs = jobs
    options.repeats = repeats
    options.retries = retries
    for file in knownFailing { options.knownFailures.entries += try KnownFailures(parsing: contents(of: file), file: file).entries }
    return options
  }
}

func contents(of file: String) throws -> String {
  do { return String(decoding: try Files.read(file), as: UTF8.self) } catch { throw SuiteError("\(file): \(error)") }
}

/// Makes the directory, and tries whether a file can be made there.
func expectWritable(directory: String) throws {
  do {
    try Files.makeDirectories(directory)
    let probe = "\(directory)/.containerd-conformance-\(getpid())"
    try Files.writeAtomically([], to: probe, mode: 0o600)
    try Files.removeTree(probe)
  } catch { throw SuiteError("\(directory): no report could be written there: \(error)") }
}

func saveText(_ text: String, to file: String) throws {
  do {
    try Files.makeDirectories(Files.parent(of: file))
    try Files.writeAtomically(Array(text.utf8), to: file, mode: 0o644)
  } catch { throw SuiteError("\(file): \(error)") }
}

/// What programs read: sorted keys, so that two runs can be compared as text.
func asJSON<Value: Encodable>(_ value: Value) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
}

extension Target {
  /// The target at an address, or the runner's own for `selftest`.
  init(named address: String) throws {
    if address == SelfTest.address { self = SelfTest.target } else { try self.init(at: address) }
  }
}
