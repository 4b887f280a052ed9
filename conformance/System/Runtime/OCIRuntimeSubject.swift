import CLinux
import ConformanceSuites
import Foundation

/// One call of a runtime's command line.
public struct OCICall: Sendable {
  public var verb: String
  /// Between the verb and the operands.
  public var options: [String] = []
  /// The id and what follows it.
  public var operands: [String] = []
  /// The state root, `--root`.
  public var root: String
  /// Where config.json of the container lies: what a mutant of `create` changes.
  public var bundle: String
  /// Of `create`, the program's streams too.
  public var stdin = "/dev/null"
  public var stdout: String
  public var stderr: String
  public var directory: String?
  /// A descriptor that the caller has open beside its streams.
  public var extra: (descriptor: Int32, path: String)?
  /// The runtime's own process, and nothing that it has started, is killed after so many seconds.
  public var killedAfter: Double?

  public var id: String { operands.first ?? "" }
}

/// What came of a call.
public struct OCIResult: Sendable {
  public var code: Int32
  public var output: String
  public var errors: String
  public var failed: Bool { code != 0 }

  public init(code: Int32, output: String = "", errors: String = "") {
    self.code = code
    self.output = output
    self.errors = errors
  }
}

public typealias OCIHandler = @Sendable (OCICall) throws -> OCIResult

/// An OCI runtime, known by its command line.
public struct OCIRuntimeSubject: Sendable {
  /// The words before `--root`: the runtime, with whatever it needs to run on this machine.
  public var command: [String]
  /// Performs a call. A mutant is put around it.
  public var handle: OCIHandler
  /// The same without a mutant: cleaning up is no part of what is judged.
  public let plain: OCIHandler
  /// Of the case alone.
  public var directory: String
  public var patience: Double
  /// What a case leaves to chance comes from here.
  public var seed: UInt64
  /// What the case's cgroups are named after.
  public var mark: String
  /// Takes down a step: words, the line of shell that does the same, what came of it; the call of a script's function, and what it is to answer.
  public typealias Note = @Sendable (_ text: String, _ command: String, _ outcome: String, _ script: [String]?, _ answer: String?) -> Void
  private let taken: Note

  public func note(_ text: String, _ command: String, _ outcome: String, script: [String]? = nil, answer: String? = nil) {
    taken(text, command, outcome, script, answer)
  }

  public init(command: [String], directory: String, patience: Double, seed: UInt64, mark: String, note: @escaping Note) {
    self.command = command
    self.directory = directory
    self.patience = patience
    self.seed = seed
    self.mark = mark
    taken = note
    plain = { call in
      var program = Program(words: command + ["--root", call.root, call.verb] + call.options + call.operands)
      program.stdin = call.stdin
      program.stdout = call.stdout
      program.stderr = call.stderr
      program.directory = call.directory
      program.extra = call.extra
      let (outputBefore, errorsBefore) = (contents(call.stdout).utf8.count, contents(call.stderr).utf8.count)
      let pid = try program.spawn()
      let code: Int32
      if let delay = call.killedAfter {
        usleep(UInt32(delay * 1_000_000))
        kill(pid, SIGKILL)
        code = try Children.end(of: pid, within: 5) ?? 137
      } else if let ended = try Children.end(of: pid, within: 20 * patience) {
        code = ended
      } else {
        Children.killGroup(pid)
        _ = try Children.end(of: pid, within: 5)
        note("\(call.verb) \(call.id)", program.shell, "did not end", nil, nil)
        throw Mismatch(description: "`\(call.verb)` did not end within \(Int(20 * patience)) s: \(program.shell)")
      }
      let result = OCIResult(
        code: code, output: String(contents(call.stdout).utf8.dropFirst(outputBefore)) ?? "",
        errors: String(contents(call.stderr).utf8.dropFirst(errorsBefore)) ?? "")
      let words = ["runtime", call.stdin, call.stdout, call.stderr, call.directory ?? "/", call.verb] + call.options + call.operands
      let plain = call.extra == nil && call.killedAfter == nil
      note(
        "\(call.verb) \(call.operands.joined(separator: " "))", program.shell, result.failed ? "exit code \(code): \(result.errors)" : "done",
        plain ? words : nil, result.failed ? "refused" : call.verb == "state" ? Self.told(result.output) : "done")
      return result
    }
    handle = plain
  }

  /// A state, in the words in which scripts tell it: no pid, no version.
  static func told(_ state: String) -> String {
    guard let state = try? JSON(parsing: state) else { return "no state" }  // that is the answer then
    let status = state["status"].text ?? "none"
    let pid = ["created", "running"].contains(status) ? (state["pid"].number ?? 0) > 0 ? " pid set" : " pid none" : ""
    let notes = state["annotations"].names.map { " \($0)=\(state["annotations"][$0].text ?? "")" }.joined()
    return "state \(state["id"].text ?? "none") \(status) \(state["bundle"].text ?? "none")\(pid)\(notes)"
  }

  /// Puts something around the runtime.
  public mutating func around(_ change: @escaping @Sendable (OCICall, OCIHandler) throws -> OCIResult) {
    let inner = handle
    handle = { try change($0, inner) }
  }
}

extension Capability {
  /// The runtime puts containers into cgroups here.
  public static let cgroups = Capability("cgroups")
}
