/// A maker of fresh subjects, for cases that need one per attempt: random sequences, and the search for the shortest that fails.
///
/// Every target that offers a subject can offer this for it.
public struct FreshSubjects<Subject: Sendable>: Sendable {
  /// A subject that shares nothing with those before.
  public let make: @Sendable () async throws -> Subject
  /// Everything that is left to chance comes from here.
  public let seed: UInt64
  /// How long to go on: 1 is the usual budget.
  public let budget: Double
  /// How much slower than a usual machine to expect this one.
  public let patience: Double
  /// Choices to replay instead of making new ones; empty for none.
  public let choices: [UInt64]
  /// Takes down a step: words, the same with a public tool (or nothing), and what came of it.
  public let note: @Sendable (_ text: String, _ command: String, _ outcome: String) -> Void

  public init(
    seed: UInt64, budget: Double = 1, patience: Double = 1, choices: [UInt64] = [],
    note: @escaping @Sendable (String, String, String) -> Void = { _, _, _ in }, make: @escaping @Sendable () async throws -> Subject
  ) {
    self.make = make
    self.seed = seed
    self.budget = budget
    self.patience = patience
    self.choices = choices
    self.note = note
  }
}
