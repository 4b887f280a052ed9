import ConformanceSuites

/// What is known of a case without running it.
public struct CaseInfo: Sendable, Identifiable, Codable, Hashable {
  public let id: String
  public let group: CaseGroup
  public let level: ContractLevel
  public let sentence: String
  /// Where the promise is written, in words, ids of statements included.
  public let source: String
  /// The ids of the numbered statements in `source`: `SNAP-05`, `RT-L11`.
  public let statements: [String]
  /// Sorted names of capabilities.
  public let needs: [String]
  public let why: String
  public let threads: [String]
  /// What kind of thing the case judges: the name of the subject's type without `Subject`.
  public let subject: String
}

/// A contract case whose subject's type is forgotten: it finds its subject in the target.
public struct AnyCase: Sendable, Identifiable {
  public let info: CaseInfo
  public var id: String { info.id }
  public let needs: Set<Capability>
  private let offered: @Sendable (Target) -> Bool
  private let body: @Sendable (Target, Workspace) async throws -> Void

  public init<Subject: Sendable>(_ contract: ContractCase<Subject>, in group: CaseGroup) {
    let name = String(describing: Subject.self)
    info = CaseInfo(
      id: contract.id, group: group, level: contract.level, sentence: contract.sentence, source: contract.statement,
      statements: Self.statements(in: contract.statement), needs: contract.needs.map(\.name).sorted(), why: contract.why, threads: contract.threads,
      subject: name.hasSuffix("Subject") ? String(name.dropLast(7)) : name)
    needs = contract.needs
    offered = { $0[Subject.self] != nil }
    body = { target, workspace in
      guard let offer = target[Subject.self] else { throw SuiteError("the target \(target.address) offers no \(name)") }
      let subject: Subject
      do { subject = try await offer(workspace) } catch let skipped as CaseSkipped {
        throw skipped
      } catch { throw SuiteError("the target \(target.address) did not give a fresh \(name): \(error)") }
      try await contract.run(on: subject)
    }
  }

  /// A case that needs many fresh subjects: it concerns every target that offers the subject.
  public init<Subject: Sendable>(_ contract: ContractCase<FreshSubjects<Subject>>, in group: CaseGroup) {
    let name = String(describing: Subject.self)
    info = CaseInfo(
      id: contract.id, group: group, level: contract.level, sentence: contract.sentence, source: contract.statement,
      statements: Self.statements(in: contract.statement), needs: contract.needs.map(\.name).sorted(), why: contract.why, threads: contract.threads,
      subject: name.hasSuffix("Subject") ? String(name.dropLast(7)) : name)
    needs = contract.needs
    offered = { $0[Subject.self] != nil }
    body = { target, workspace in
      let last = LastWorkspace()
      guard let fresh = target.fresh(Subject.self, in: workspace, last: last) else { throw SuiteError("the target \(target.address) offers no \(name)") }
      do { try await contract.run(on: fresh) } catch {
        // The finding is what matters; what cannot be tidied up after it is the leak audit's.
        for problem in await last.workspace?.endings.run() ?? [] { workspace.record.add("tidying up failed: \(problem)") }
        throw error
      }
      try await last.end()
    }
  }

  /// Whether the target has what the case judges at all. Where it has, missing capabilities are skips with a reason.
  public func concerns(_ target: Target) -> Bool { offered(target) }

  /// What the case needs and the target does not have.
  public func missing(in target: Target) -> [Capability] { needs.subtracting(target.capabilities).sorted { $0.name < $1.name } }

  public func run(on target: Target, in workspace: Workspace) async throws { try await body(target, workspace) }

  /// Letters, a dash, an optional letter and digits: `SNAP-05`, `RT-L11`.
  static func statements(in source: String) -> [String] {
    var found: [String] = []
    for word in source.split(whereSeparator: { !($0.isLetter || $0.isNumber || $0 == "-") }) {
      let parts = word.split(separator: "-", omittingEmptySubsequences: false)
      guard parts.count == 2, (2...4).contains(parts[0].count), parts[0].allSatisfy({ $0.isASCII && $0.isUppercase }) else { continue }
      let tail = parts[1].first?.isUppercase == true ? parts[1].dropFirst() : parts[1]
      if tail.count == 2, tail.allSatisfy({ $0.isASCII && $0.isNumber }), !found.contains(String(word)) { found.append(String(word)) }
    }
    return found
  }
}

extension [AnyCase] {
  /// The cases of one suite, all in one group.
  public init<Subject: Sendable>(_ cases: [ContractCase<Subject>], in group: CaseGroup) { self = cases.map { AnyCase($0, in: group) } }

  /// The cases of one suite that need many fresh subjects, all in one group.
  public init<Subject: Sendable>(_ cases: [ContractCase<FreshSubjects<Subject>>], in group: CaseGroup) { self = cases.map { AnyCase($0, in: group) } }

  /// The cases of one suite, each in the group of the longest prefix of its id.
  public init<Subject: Sendable>(_ cases: [ContractCase<Subject>], in group: CaseGroup, _ prefixes: [String: CaseGroup]) {
    self = cases.map { contract in
      let prefix = prefixes.keys.filter { contract.id.hasPrefix($0) }.max { $0.count < $1.count }
      return AnyCase(contract, in: prefix.flatMap { prefixes[$0] } ?? group)
    }
  }
}
