/// Searches for the simplest choices that still lead to the same kind of finding.
struct Shrinker {
  /// An attempt that failed.
  struct Failure {
    var choices: [UInt64]
    var spans: [Attempt.Span]
    var finding: Finding
    var story: [Attempt.Step]
  }

  /// Runs an attempt; nil if nothing was found.
  let run: ([UInt64]) async throws -> Failure?
  let deadline: ContinuousClock.Instant
  var attemptsLeft: Int
  private(set) var best: Failure
  private var tried: Set<[UInt64]> = []

  init(_ first: Failure, attempts: Int, deadline: ContinuousClock.Instant, run: @escaping ([UInt64]) async throws -> Failure?) {
    best = first
    attemptsLeft = attempts
    self.deadline = deadline
    self.run = run
  }

  private var over: Bool { attemptsLeft <= 0 || ContinuousClock.now > deadline }

  mutating func shrink() async throws {
    var before: [UInt64]
    repeat {
      before = best.choices
      try await deleteSpans()
      try await lowerTogether()
      try await lowerEach()
    } while best.choices != before && !over
  }

  /// Whether these choices are simpler than the best, and fail in the same way. If so they are the best from now on.
  private mutating func accepts(_ choices: [UInt64]) async throws -> Bool {
    if over || !Self.simpler(choices, than: best.choices) || !tried.insert(choices).inserted { return false }
    attemptsLeft -= 1
    guard let failure = try await run(choices), failure.finding.kind == best.finding.kind else { return false }
    // What was drawn may be less than what was offered, never simpler by being more.
    if !Self.simpler(failure.choices, than: best.choices) { return false }
    best = failure
    return true
  }

  /// Shorter, or as long and smaller in the first place that differs.
  static func simpler(_ left: [UInt64], than right: [UInt64]) -> Bool {
    left.count != right.count ? left.count < right.count : left.lexicographicallyPrecedes(right)
  }

  /// Leaves out steps, many at once and then one by one, from the end; then parts of steps.
  private mutating func deleteSpans() async throws {
    for depth in 1...3 {
      var width = max(spans(depth).count / 2, 1)
      while width >= 1, !over {
        var index = spans(depth).count - width
        while index >= 0, !over {
          let spans = spans(depth)
          if index + width <= spans.count {
            let cut = spans[index].lowerBound..<spans[index + width - 1].upperBound
            var choices = best.choices
            if cut.upperBound <= choices.count {
              choices.removeSubrange(cut)
              _ = try await accepts(choices)
            }
          }
          index -= 1
        }
        width /= 2
      }
    }
  }

  private func spans(_ depth: Int) -> [Range<Int>] { best.spans.filter { $0.depth == depth }.map(\.range) }

  /// The same number in several places is often the same name: lowers all of them at once.
  private mutating func lowerTogether() async throws {
    for value in Set(best.choices).sorted(by: >) where value > 0 {
      for lower in [0, value / 2, value - 1] where lower < value && !over {
        if try await accepts(best.choices.map { $0 == value ? lower : $0 }) { break }
      }
    }
  }

  /// Lowers one number after the other: to nothing, or by halves to the least that still fails.
  private mutating func lowerEach() async throws {
    var index = 0
    while index < best.choices.count, !over {
      if best.choices[index] > 0 {
        var low: UInt64 = 0
        if try await !accepts(replacing(index, 0)) {
          while index < best.choices.count, low + 1 < best.choices[index], !over {
            let middle = low + (best.choices[index] - low) / 2
            if try await !accepts(replacing(index, middle)) { low = middle }
          }
          // Halving finds a border; small numbers below it may fail too.
          for small in 1..<UInt64(4) where index < best.choices.count && small < best.choices[index] && !over {
            if try await accepts(replacing(index, small)) { break }
          }
        }
      }
      index += 1
    }
  }

  private func replacing(_ index: Int, _ value: UInt64) -> [UInt64] {
    var choices = best.choices
    if index < choices.count { choices[index] = value }
    return choices
  }
}
