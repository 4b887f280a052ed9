import CLinux
import ConformanceSuites
import SystemKit

/// A thing that behaves as a case tells it: how the runner is shown to report each outcome.
public struct SelfTestSubject: Sendable {
  var workspace: Workspace
}

/// Cases whose outcome is known beforehand. They are run by `selftest` only, and are no part of the catalogue.
public enum SelfTest {
  /// The case, the outcome it must be reported with, and words that its report must contain.
  public struct Expectation: Sendable {
    public let contract: AnyCase
    public let outcome: Outcome
    public let words: String
    public let leak: String
  }

  public static let address = "inproc:selftest"

  public static var target: Target {
    var target = Target(address: address, capabilities: [])
    target[SelfTestSubject.self] = { SelfTestSubject(workspace: $0) }
    return target
  }

  public static let expectations: [Expectation] = [
    when("pass", .pass, "") { _ in },
    when("fail", .fail, "expected 1, got 2") { _ in try expectEqual(2, 1, "a number") },
    when("throws", .fail, "a step that must succeed failed") { _ in throw SystemError(errno: EIO, operation: "read", object: "a disk") },
    when("skip", .skip, "not on a Tuesday") { _ in throw CaseSkipped(.environment, "not on a Tuesday") },
    when("error", .error, "the suite is out of paper") { _ in throw SuiteError("the suite is out of paper") },
    when("capability", .skip, "lacks wings", needs: [Capability("wings")]) { _ in },
    when("hang", .timeout, "no verdict") { _ in while true { usleep(100_000) } },
    when("unanswered", .timeout, "no answer within 8 s to stat \"a\"") { subject in
      subject.workspace.record.begins("stat \"a\"")
      while true { usleep(100_000) }
    },
    when("deaf-hang", .timeout, "no verdict") { _ in
      var deaf = sigset_t()
      sigfillset(&deaf)
      sigprocmask(SIG_BLOCK, &deaf, nil)
      while true { usleep(100_000) }
    },
    when("crash", .crash, "signal 6") { _ in abort() },
    when("exit", .error, "status 7") { _ in exit(7) },
    when("memory", .crash, "signal") { _ in
      // Swift's allocation of what cannot be had ends the process; nothing is touched, so this is quick.
      while true { if UnsafeMutableRawPointer.allocate(byteCount: 1 << 30, alignment: 16).load(as: UInt8.self) == 1 { usleep(1) } }
    },
    when("leaves-process", .pass, "", leak: "outlived the case") { _ in try daemonise(["/bin/sleep", "1000"]) },
    when("leaves-daemon", .pass, "", leak: "outlived the case") { _ in try daemonise(["/usr/bin/setsid", "/bin/sleep", "1000"]) },
    when("leaves-temporary-file", .pass, "", leak: "temporary file") { _ in
      try Files.writeAtomically([1], to: String(cString: getenv("TMPDIR")) + "/forgotten")
    },
    when("erases-its-parent", .pass, "", leak: "outside the workspace") { subject in
      try Files.removeTree(Files.parent(of: Files.parent(of: subject.workspace.directory)) + "/a")
    },
  ]

  public static var cases: [AnyCase] { expectations.map(\.contract) + [gone, useless, wavering] }

  /// A backend that dies: what comes after it must not be red.
  public static let gone = AnyCase(
    ContractCase<SelfTestSubject>("selftest.gone", "a backend that dies is reported once", "this suite") { subject in
      subject.workspace.endings.add { throw SuiteError("\(Worker.backendIsGone)connection refused") }
    }, in: .events)

  /// One that is there and answers nothing: reported once too.
  public static let useless = AnyCase(
    ContractCase<SelfTestSubject>("selftest.useless", "a backend that is of no use is reported once", "this suite") { _ in
      throw SuiteError("\(Worker.backendIsUseless)no answer to List within 20 s")
    }, in: .events)

  /// Passes with even seeds.
  public static let wavering = AnyCase(
    ContractCase<SelfTestSubject>("selftest.wavering", "what passes and fails is flaky", "this suite") { subject in
      try expect(subject.workspace.seed % 2 == 0, "the seed \(subject.workspace.seed) is odd")
    }, in: .events)

  private static func when(
    _ name: String, _ outcome: Outcome, _ words: String, leak: String = "", needs: Set<Capability> = [],
    _ body: @escaping @Sendable (SelfTestSubject) throws -> Void
  ) -> Expectation {
    let contract = ContractCase<SelfTestSubject>("selftest.\(name)", "the runner reports \(outcome.rawValue)", "this suite", needs: needs) { try body($0) }
    return Expectation(contract: AnyCase(contract, in: .events), outcome: outcome, words: words, leak: leak)
  }

  private static func daemonise(_ words: [String]) throws {
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, words[0], nil, nil, &argv, clinux_environ())
    if failure != 0 { throw SuiteError("cannot start \(words[0]): \(SystemError(errno: failure, operation: "spawn", object: words[0]))") }
  }
}
