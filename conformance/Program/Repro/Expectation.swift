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
  var steps: [Step] = []

  init(_ good: [Record.Step]) { steps = good.map { Step(text: $0.text, call: $0.script, answer: $0.answer ?? "") } }

  /// The calls of one run, as far as a good one made the same in its order, with what the good one was told.
  init(calls: [Record.Step], answers good: [Record.Step]) {
    let answers = good.filter { $0.script != nil }
    var next = 0
    for step in calls {
      guard let call = step.script else {
        steps.append(Step(text: step.text, answer: ""))
        continue
      }
      guard next < answers.count, Self.method(call) == Self.method(answers[next].script ?? "") else { break }
      steps.append(Step(text: step.text, call: call, answer: answers[next].answer ?? ""))
      next += 1
    }
  }

  /// The other good run agrees in the order of its calls, or what it was told is not compared.
  mutating func agree(with good: [Record.Step]) {
    let answers = good.filter { $0.script != nil }
    var next = 0
    for index in steps.indices where steps[index].call != nil {
      let other = next < answers.count ? answers[next].answer ?? "" : ""
      next += 1
      if steps[index].answer != other { steps[index].answer = Self.common(steps[index].answer, other) }
    }
  }

  /// A call without its messages: those name what is another in each run.
  private static func method(_ call: String) -> String { call.split(separator: " ").prefix(call.hasPrefix("call ") ? 2 : 1).joined(separator: " ") }

  /// Of two answers on the wire the values that are in both; nothing of two other ones that differ.
  private static func common(_ ours: String, _ theirs: String) -> String {
    if ours == theirs || isSame(ours, theirs) { return ours }
    let (first, second) = (ours.split(separator: "\n"), Set(theirs.split(separator: "\n")))
    guard let status = first.first, status.hasPrefix("status "), second.contains(status) else { return "" }
    return first.filter(second.contains).joined(separator: "\n")
  }

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
      steps[index].answer = Self.refusals.contains(ours) && Self.refusals.contains(theirs) ? "refused" : Self.common(ours, theirs)
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
