/// One fault around a good backend, and the cases that must notice it.
///
/// A mutant is a claim about the suite: this fault is found, by these cases, with this symptom, and the good backend is not blamed.
public struct Mutant: Sendable, Identifiable {
  public let id: String
  /// The fault, as a sentence: `prepare on a taken key gives the mounts of the first`.
  public let sentence: String
  public let group: CaseGroup
  /// The address of the good backend that is wrapped: `inproc:fake`.
  public let base: String
  /// Ids or globs of the cases that are meant to notice. Empty for a control, which nobody may notice.
  public let kills: [String]
  /// Words that the failure must contain, so that the case is red for this reason and no other.
  public let symptom: String
  /// Globs of the cases that are run against it; by default everything that judges the same kind of subject, and on bases that are not in memory `kills` alone.
  public let scope: [String]
  public let threads: [String]
  private let change: @Sendable (inout Target) -> Void

  public var isControl: Bool { kills.isEmpty }

  public init(
    _ id: String, _ sentence: String, in group: CaseGroup, on base: String = "inproc:fake", kills: [String], symptom: String = "", scope: [String] = [],
    threads: [String] = [], _ change: @escaping @Sendable (inout Target) -> Void
  ) {
    self.id = id
    self.sentence = sentence
    self.group = group
    self.base = base
    self.kills = kills
    self.symptom = symptom
    self.scope = scope
    self.threads = threads
    self.change = change
  }

  public func around(_ good: Target) -> Target {
    var target = good
    change(&target)
    return target
  }
}
