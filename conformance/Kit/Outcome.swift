import ConformanceSuites

/// How a case ended.
public enum Outcome: String, Codable, Sendable, CaseIterable {
  case pass
  /// The subject broke the promise.
  case fail
  /// The suite could not do its work: never blamed on the subject, never a pass.
  case error
  case timeout
  /// The case's process died: a subject in the process took it along, or the suite has a defect.
  case crash
  case skip
  /// Failed as the file of known failures says.
  case expectedFailure = "expected-failure"
  /// Passed although the file of known failures says otherwise: the file is out of date.
  case unexpectedPass = "unexpected-pass"
  /// Passed and failed in repeats of one run.
  case flaky
  /// Not run: the backend was gone.
  case blocked

  /// Whether a run with such a result is red.
  public var isRed: Bool {
    switch self {
    case .pass, .skip, .expectedFailure: false
    case .fail, .error, .timeout, .crash, .unexpectedPass, .flaky, .blocked: true
    }
  }
}

/// The result of one case in one run.
public struct CaseResult: Codable, Sendable, Identifiable {
  public var id: String { info.id }
  public var info: CaseInfo
  public var outcome: Outcome
  /// Reason code of a skip: `capability`, `privilege`, `environment`, `tool`.
  public var skipReason: String?
  /// What went wrong, or why it was skipped: one or more sentences.
  public var detail: String
  public var expected: String?
  public var actual: String?
  public var seconds: Double
  public var attempts: Int = 1
  /// What earlier attempts said, where a red case was run again and passed then: not red, and not hidden either.
  public var earlier: [String]?
  /// What the case left behind on this machine: mounts, processes, devices, sockets, files. A finding of its own.
  public var leaks: [String] = []
  public var steps: [Record.Step] = []
  public var seed: UInt64
  /// What the worker wrote on its standard error, its end.
  public var log: String = ""
  /// Of a known failure: the link to where it is discussed.
  public var link: String?

  /// Whether this turns a run red.
  public var isRed: Bool { outcome.isRed || (outcome == .pass && !leaks.isEmpty) }
  /// Passed, but not at once.
  public var isWavering: Bool { !isRed && earlier != nil }

  public init(
    _ info: CaseInfo, _ outcome: Outcome, detail: String = "", expected: String? = nil, actual: String? = nil, seconds: Double = 0, seed: UInt64 = 0
  ) {
    self.info = info
    self.outcome = outcome
    self.detail = detail
    self.expected = expected
    self.actual = actual
    self.seconds = seconds
    self.seed = seed
  }
}

/// A whole run against one target: what every report is made from, and what `--json` prints.
public struct RunReport: Codable, Sendable {
  /// Raised when a reader of the old shape would misread the new one.
  public var schema = 1
  public var target: String
  public var name: String
  /// RFC 3339.
  public var started: String
  public var seconds: Double
  public var seed: UInt64
  public var suiteVersion: String
  public var environment: EnvironmentFingerprint
  public var results: [CaseResult]
  /// The statements that the suite knows, and which cases check them.
  public var selection: String
  /// What the machine had after the run and not before: cgroups, loop devices, mounts.
  public var leaks: [String] = []
  /// What is wrong with the files of known failures: entries that are stale, too wide, or expired. Not the backend's fault, and red all the same.
  public var fileProblems: [String]?

  public init(
    target: String, name: String, started: String, seconds: Double, seed: UInt64, suiteVersion: String, environment: EnvironmentFingerprint,
    results: [CaseResult], selection: String
  ) {
    self.target = target
    self.name = name
    self.started = started
    self.seconds = seconds
    self.seed = seed
    self.suiteVersion = suiteVersion
    self.environment = environment
    self.results = results
    self.selection = selection
  }

  public func count(_ outcome: Outcome) -> Int { results.count { $0.outcome == outcome } }
  /// What turns the run red and is no case's: each thing that was left on the machine, each mistake in a file of known failures.
  public var ownProblems: [String] { leaks.map { "after the run: \($0)" } + (fileProblems ?? []).map { "known failures: \($0)" } }
  /// Whether everything that concerns the backend was run: less shows less.
  public var isWhole: Bool { selection == Selection.everything }
  public var executed: Int { results.count { $0.outcome != .skip && $0.outcome != .blocked } }
  /// A run that executed nothing has shown nothing.
  public var isGreen: Bool {
    executed > 0 && leaks.isEmpty && (fileProblems ?? []).isEmpty && !results.contains(where: \.isRed)
  }
}

/// What a result depends on beside the backend.
public struct EnvironmentFingerprint: Codable, Sendable {
  public var kernel: String
  public var architecture: String
  public var distribution: String
  public var cgroups: String
  public var root: Bool
  public var scratchFilesystem: String
  public var cpus: Int
  public var memoryMiB: Int
  /// Names and versions of the tools that cases use.
  public var tools: [String: String]

  public init(
    kernel: String, architecture: String, distribution: String, cgroups: String, root: Bool, scratchFilesystem: String, cpus: Int, memoryMiB: Int,
    tools: [String: String]
  ) {
    self.kernel = kernel
    self.architecture = architecture
    self.distribution = distribution
    self.cgroups = cgroups
    self.root = root
    self.scratchFilesystem = scratchFilesystem
    self.cpus = cpus
    self.memoryMiB = memoryMiB
    self.tools = tools
  }
}
