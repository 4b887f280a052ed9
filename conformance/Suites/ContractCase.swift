import Protocols

/// One promise of a contract, as a value: what must hold, where it is written, and a body that finds out.
///
/// A case knows no test framework. It is given a fresh *subject* (the implementation and what a case needs beside it), and throws a
/// `ContractViolation` if the subject breaks the promise. `id` never changes its meaning; a case that means something else gets another id.
public struct ContractCase<Subject: Sendable>: Sendable, Identifiable, CustomStringConvertible {
  /// `group.topic.what`, such as `snapshots.prepare.existing-key`.
  public let id: String
  public let level: ContractLevel
  /// What must hold, as a sentence.
  public let sentence: String
  /// Where that is written: a law or method of `Sources/Protocols`, and the numbered statements (`SNAP-05`) that the case checks.
  public let statement: String
  /// What the subject must be able to do for the case to make sense.
  public let needs: Set<Capability>
  /// Who is hurt, and how, where the promise is broken: a sentence for the author of a backend.
  public let why: String
  /// The public threads behind the case, as `owner/repository#number`.
  public let threads: [String]
  private let body: @Sendable (Subject) async throws -> Void

  public init(
    _ id: String, _ sentence: String, _ statement: String, level: ContractLevel = .must, needs: Set<Capability> = [], why: String = "",
    threads: [String] = [], body: @escaping @Sendable (Subject) async throws -> Void
  ) {
    self.id = id
    self.level = level
    self.sentence = sentence
    self.statement = statement
    self.needs = needs
    self.why = why.isEmpty ? Reasons.all[id] ?? "" : why
    self.threads = threads
    self.body = body
  }

  /// Tests show a case by its id.
  public var description: String { id }

  /// Runs the case. What is thrown names the case, what was expected, and what came instead. A `CaseSkipped` passes through.
  public func run(on subject: Subject) async throws {
    do { try await body(subject) } catch let failure as Mismatch {
      throw violation(failure.description, expected: failure.expected, actual: failure.actual)
    } catch let skipped as CaseSkipped {
      throw skipped
    } catch let broken as SuiteError {
      throw broken
    } catch {
      throw violation("a step that must succeed failed: \(error)")
    }
  }

  private func violation(_ detail: String, expected: String? = nil, actual: String? = nil) -> ContractViolation {
    ContractViolation(id: id, level: level, sentence: sentence, statement: statement, detail: detail, expected: expected, actual: actual)
  }
}

/// How binding a case is: as in RFC 2119. A quirk is no promise: what the reference does, kept in sight.
public enum ContractLevel: String, Sendable, CaseIterable, Codable {
  case must = "MUST"
  case should = "SHOULD"
  case may = "MAY"
  case quirk = "QUIRK"
}

/// What not every implementation can do, and some cases need. Groups add their own in an extension beside their subject, and to `known`.
public struct Capability: Hashable, Sendable, CustomStringConvertible {
  public let name: String
  public init(_ name: String) { self.name = name }
  public var description: String { name }

  /// Ingests can be cut anywhere. (The wire can only start one over.)
  public static let truncation = Capability("truncation")
  /// A reader keeps its blob when the name is deleted. (A reader that asks again for each piece cannot.)
  public static let openReaders = Capability("openReaders")
  /// Blobs may be named by sha512.
  public static let sha512 = Capability("sha512")
  /// Trees are real: mounts can be performed and files written.
  public static let files = Capability("files")
  /// The subject is in this process: closing it closes it.
  public static let closing = Capability("closing")
  /// Programs really run.
  public static let programs = Capability("programs")
}

public struct ContractViolation: Error, CustomStringConvertible {
  public let id: String
  public let level: ContractLevel
  public let sentence: String
  public let statement: String
  public let detail: String
  public let expected: String?
  public let actual: String?

  public var description: String {
    """
    \(id) (\(level.rawValue), \(statement))
      must hold: \(sentence)
      but: \(detail)
    """
  }
}

/// The case cannot say anything here, and why. Never a way to pass.
public struct CaseSkipped: Error, CustomStringConvertible {
  public enum Reason: String, Sendable, Codable {
    /// The subject does not offer what the case needs.
    case capability
    /// Not permitted here: root, or a capability of the kernel's.
    case privilege
    /// The kernel, the file system or the cgroups of this machine lack something.
    case environment
    /// A program that the case drives is not installed.
    case tool
  }
  public let reason: Reason
  public let detail: String
  public init(_ reason: Reason, _ detail: String) {
    self.reason = reason
    self.detail = detail
  }
  public var description: String { "skipped (\(reason.rawValue)): \(detail)" }
}

/// The suite itself could not do its work: nobody's fault but ours, or this machine's. Never a failure of the subject.
public struct SuiteError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// What a check found; `ContractCase.run` adds which case it belongs to.
package struct Mismatch: Error, CustomStringConvertible {
  package let description: String
  package var expected: String?
  package var actual: String?
  package init(description: String, expected: String? = nil, actual: String? = nil) {
    self.description = description
    self.expected = expected
    self.actual = actual
  }
}
