/// One attempt at a property: the choices that it draws, and the story of what it did.
///
/// Everything left to chance is drawn here, as a number below a bound, and kept. The same numbers make the same attempt again, and
/// smaller or fewer numbers make a simpler one: 0 must always mean the simplest choice. Where recorded choices end, 0 is drawn.
package final class Attempt {
  package struct Step: Sendable, Hashable {
    package var text: String
    /// The same with a public tool, as a line of shell; empty where there is none.
    package var command: String
    package var outcome: String
  }

  package struct Span: Sendable, Hashable {
    package var range: Range<Int>
    /// How many sequences are around it, itself counted.
    package var depth: Int
  }

  /// What was drawn so far.
  package private(set) var choices: [UInt64] = []
  /// The ranges of choices that belong together, and may be left out together.
  package private(set) var spans: [Span] = []
  package private(set) var story: [Step] = []
  private let recorded: [UInt64]
  private var chance: Chance?
  private var depth = 0

  /// An attempt by chance.
  package init(seed: UInt64) {
    recorded = []
    chance = Chance(seed)
  }

  /// The same attempt again, or one that was made smaller.
  package init(replaying choices: [UInt64]) { recorded = choices }

  /// A number below the bound.
  package func draw(_ bound: Int) -> Int {
    let value: UInt64
    if chance != nil, let drawn = chance?.below(UInt64(max(bound, 1))) {
      value = drawn
    } else {
      value = choices.count < recorded.count ? min(recorded[choices.count], UInt64(max(bound, 1) - 1)) : 0
    }
    choices.append(value)
    return Int(value)
  }

  /// True so many times in a hundred; false is the simpler.
  package func chance(_ percent: Int) -> Bool { draw(100) >= 100 - percent }

  /// One of the values; the first is the simplest.
  package func one<Value>(of values: [Value]) -> Value { values[draw(values.count)] }

  /// One of the values by weight; the first is the simplest.
  package func weighted<Value>(_ values: [(Int, Value)]) -> Value {
    var rest = draw(values.reduce(0) { $0 + $1.0 })
    for (weight, value) in values {
      if rest < weight { return value }
      rest -= weight
    }
    return values[values.count - 1].1
  }

  /// Repeats the body, each time with choices of its own that may be left out together, at most so many times.
  package func sequence(atMost limit: Int, _ body: () async throws -> Void) async throws {
    var steps = 0
    depth += 1
    defer { depth -= 1 }
    while true {
      let start = choices.count
      guard goesOn(steps < limit) else { return }
      steps += 1
      defer { spans.append(Span(range: start..<choices.count, depth: depth)) }
      try await body()
    }
  }

  /// By chance a sequence goes on as long as it may; a recorded one as long as it did.
  private func goesOn(_ may: Bool) -> Bool {
    let goes = may && (chance != nil || (choices.count < recorded.count && recorded[choices.count] != 0))
    choices.append(goes ? 1 : 0)
    return goes
  }

  /// Takes down what is about to be done; the outcome comes with `came`.
  package func does(_ text: String, command: String = "") { story.append(Step(text: text, command: command, outcome: "")) }
  /// The story starts anew: what came before has nothing to do with what comes now.
  package func begins(_ text: String) { story = [Step(text: text, command: "", outcome: "")] }
  package func came(_ outcome: String) { if !story.isEmpty { story[story.count - 1].outcome = outcome } }
}
