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
  /// Where that is written: a law or method of `Sources/Protocols`, or a numbered statement of a specification.
  public let statement: String
  /// What the subject must be able to do for the case to make sense.
  public let needs: Set<Capability>
  private let body: @Sendable (Subject) async throws -> Void

  public init(
    _ id: String, _ sentence: String, _ statement: String, level: ContractLevel = .must, needs: Set<Capability> = [],
    body: @escaping @Sendable (Subject) async throws -> Void
  ) {
    self.id = id
    self.level = level
    self.sentence = sentence
    self.statement = statement
    self.needs = needs
    self.body = body
  }

  /// Tests show a case by its id.
  public var description: String { id }

  /// Runs the case. What is thrown names the case, what was expected, and what came instead.
  public func run(on subject: Subject) async throws {
    do { try await body(subject) } catch let failure as Mismatch {
      throw ContractViolation(id: id, level: level, sentence: sentence, statement: statement, detail: failure.description)
    } catch {
      throw ContractViolation(id: id, level: level, sentence: sentence, statement: statement, detail: "a step that must succeed failed: \(error)")
    }
  }
}

/// How binding a case is: as in RFC 2119.
public enum ContractLevel: String, Sendable, CaseIterable {
  case must = "MUST"
  case should = "SHOULD"
}

/// What not every implementation can do, and some cases need.
public enum Capability: String, Sendable, CaseIterable {
  /// Ingests can be cut anywhere. (The wire can only start one over.)
  case truncation
  /// A reader keeps its blob when the name is deleted. (A reader that asks again for each piece cannot.)
  case openReaders
  /// Blobs may be named by sha512.
  case sha512
  /// Trees are real: mounts can be performed and files written.
  case files
  /// The subject is in this process: closing it closes it.
  case closing
  /// Programs really run.
  case programs
}

public struct ContractViolation: Error, CustomStringConvertible {
  public let id: String
  public let level: ContractLevel
  public let sentence: String
  public let statement: String
  public let detail: String

  public var description: String {
    """
    \(id) (\(level.rawValue), \(statement))
      must hold: \(sentence)
      but: \(detail)
    """
  }
}

/// What a check found; `ContractCase.run` adds which case it belongs to.
struct Mismatch: Error, CustomStringConvertible { let description: String }
