import ConformanceKit

/// What a script does and expects: the calls of a good run, and the answers on which the good runs agree.
struct Expectation {
  struct Step {
    var text: String
    /// nil where no public tool can do it.
    var call: String?
    /// Empty where anything may come.
    var answer: String
  }
  var steps: [Step]

  init(_ good: [Record.Step]) { steps = good.map { Step(text: $0.text, call: $0.script, answer: $0.answer ?? "") } }

  private var calls: [String] { steps.compactMap(\.call) }

  /// Where the other run made the same calls: what it was told as well may come, as far as the run has gone on after it.
  mutating func allow(_ other: [Record.Step], butLast: Bool) {
    let told = other.filter { $0.script != nil }
    guard !told.isEmpty else { return }
    let counted = butLast ? told.count - 1 : told.count
    var next = 0
    for index in steps.indices where steps[index].call != nil {
      guard next < counted, told[next].script == steps[index].call else { return }
      let (ours, theirs) = (steps[index].answer, told[next].answer ?? "")
      next += 1
      if ours == theirs || Self.isSame(ours, theirs) { continue }
      steps[index].answer = Self.refusals.contains(ours) && Self.refusals.contains(theirs) ? "refused" : ""
    }
  }

  var compared: Int { steps.count { $0.call != nil && !$0.answer.isEmpty } }
  var missing: [String] { steps.filter { $0.call == nil && !$0.answer.isEmpty }.map(\.text) }

  private static let refusals: Set<String> = [
    "not found", "already exists", "failed precondition", "invalid argument", "not implemented", "unavailable", "out of range", "another error", "refused",
  ]

  /// Amounts as scripts compare them.
  private static func isSame(_ a: String, _ b: String) -> Bool {
    let (first, second) = (a.split(separator: " "), b.split(separator: " "))
    guard first.count == 4, second.count == 4, first[0] == "usage", second[0] == "usage", first[3] == second[3] else { return false }
    guard let i = Int(first[1]), let j = Int(second[1]), let s = Int(first[2]), let t = Int(second[2]) else { return false }
    return abs(i - j) <= 1 && abs(s - t) < 65536
  }
}
