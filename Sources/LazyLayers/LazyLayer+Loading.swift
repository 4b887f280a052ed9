import BlockingIO
import CLinux
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// Loading: who wants what, and what is on its way.
///
/// A span is fetched once, however many want it; spans that lie side by side are fetched with one request. What fails is tried again, with growing pauses,
/// until those who wait give up: nobody waits longer than the policy's deadline, and nobody is told of a failure that passed.
extension LazyLayer {
  /// Called once, on some thread that must not be blocked: with nil when the bytes are here.
  public typealias Arrival = @Sendable (ContainerdError?) -> Void

  final class Waiter {
    var missing: Int
    let deadline: ContinuousClock.Instant
    let tell: Arrival
    var isTold = false
    init(missing: Int, deadline: ContinuousClock.Instant, tell: @escaping Arrival) {
      self.missing = missing
      self.deadline = deadline
      self.tell = tell
    }
  }

  enum Phase {
    case filling
    case checking
    case checked
    case poisoned(String)
  }

  /// What threads share. Waiters are touched under the lock only.
  struct State: @unchecked Sendable {
    var phase = Phase.filling
    var waiting: [Int: [Waiter]] = [:]
    /// Wanted, and not yet asked for, in the order of wishes.
    var queue: [Int] = []
    var queued: Set<Int> = []
    var flying: Set<Int> = []
    var runs = 0
    var failures: [Int: (count: Int, error: ContainerdError)] = [:]
    var hasReaper = false
    var failedChecks = 0
    /// What was fetched last could not be written.
    var isDiskFull = false
    var fetched: Int64 = 0
    /// Requests that failed, or brought what was wrong.
    var fetchErrors = 0
    var lastWish: ContinuousClock.Instant?
    var accesses = Accesses()

    var poison: String? { if case .poisoned(let reason) = phase { reason } else { nil } }

    mutating func enqueue(_ span: Int) {
      if !flying.contains(span), queued.insert(span).inserted { queue.append(span) }
    }

    /// Everybody who waited for the span and now waits for nothing more, or is told of the error.
    mutating func settle(_ span: Int, _ error: ContainerdError?) -> [Arrival] {
      var told: [Arrival] = []
      for waiter in waiting.removeValue(forKey: span) ?? [] where !waiter.isTold {
        waiter.missing -= 1
        if error == nil, waiter.missing > 0 { continue }
        waiter.isTold = true
        told.append(waiter.tell)
      }
      return told
    }
  }

  /// Has bytes of the archive loaded. Never blocks.
  /// - Parameter deadline: when whoever waits is told what has failed so far; nil: as the policy has it.
  public func want(_ range: Range<Int64>, by deadline: ContinuousClock.Instant? = nil, _ tell: @escaping Arrival) {
    let wanted = spans.spans(holding: range)
    note(wanted)
    var answer: ContainerdError??
    state.withLock { state in
      if let reason = state.poison {
        answer = .some(ContainerdError(.dataLoss, "layer \(name.blob.digest): \(reason)"))
        return
      }
      state.lastWish = .now
      // Under the lock: a span that arrives meanwhile finds the waiter, or is present already.
      let missing = wanted.filter { !presence[$0] }
      if missing.isEmpty {
        answer = .some(nil)
        return
      }
      let waiter = Waiter(missing: missing.count, deadline: deadline ?? self.deadline, tell: tell)
      for span in missing {
        state.waiting[span, default: []].append(waiter)
        state.enqueue(span)
      }
    }
    if case .some(let answer) = answer { return tell(answer) }
    launch()
    reap()
  }

  /// Of a read that comes now.
  public var deadline: ContinuousClock.Instant { .now + policy.deadline }

  /// What is fetched for a span: its bytes, and those behind it that are in no span. They are needed to check the blob, and cost nothing on the way.
  private func fetchRange(_ span: Int) -> Range<Int64> {
    let range = spans.blobRange(span)
    if span + 1 == spans.count { return range }
    let next = spans.blobRange(span + 1).lowerBound
    return next - range.upperBound <= Self.smallGap ? range.lowerBound..<max(range.upperBound, next) : range
  }
  private static let smallGap: Int64 = 64 << 10

  /// Where in the archive spans are that lie side by side in the blob.
  private func unpacked(_ run: Range<Int>) -> Range<Int64> {
    let ranges = run.map { spans.archiveRange($0) }
    return (ranges.map(\.lowerBound).min() ?? 0)..<(ranges.map(\.upperBound).max() ?? 0)
  }

  /// The parts of the blob that no span has, but for the small ones between spans.
  var gaps: [Range<Int64>] {
    var gaps: [Range<Int64>] = []
    var end: Int64 = 0
    for span in 0..<spans.count {
      let range = fetchRange(span)
      if range.lowerBound > end { gaps.append(end..<range.lowerBound) }
      end = max(end, range.upperBound)
    }
    if end < spans.size { gaps.append(end..<spans.size) }
    return gaps
  }

  /// Starts as many requests as the policy allows.
  private func launch() {
    while true {
      let run: Range<Int>? = state.withLock { state in
        guard state.runs < policy.runs, let first = state.queue.first else { return nil }
        var last = first
        while state.queued.contains(last + 1), fetchRange(last + 1).upperBound - fetchRange(first).lowerBound <= policy.urgentBytes { last += 1 }
        let run = first..<last + 1
        state.queue.removeAll { run.contains($0) }
        state.queued.subtract(run)
        state.flying.formUnion(run)
        state.runs += 1
        return run
      }
      guard let run else { return }
      Task {
        await load(run)
        state.withLock { $0.runs -= 1 }
        launch()
      }
    }
  }

  /// Loads the next spans that are missing, for nobody in particular. Not to be called twice at a time.
  /// - Returns: false if none is missing, or another cannot be had now.
  func fill() async -> Bool {
    let run: Range<Int>? = state.withLock { state in
      if case .filling = state.phase {} else { return nil }
      var start = 0
      while let first = presence.firstMissing(from: start) {
        if state.flying.contains(first) || state.queued.contains(first) {
          start = first + 1
          continue
        }
        var last = first
        while last + 1 < presence.count, !presence[last + 1], !state.flying.contains(last + 1), !state.queued.contains(last + 1),
          fetchRange(last + 1).upperBound - fetchRange(first).lowerBound <= policy.backgroundBytes
        { last += 1 }
        state.flying.formUnion(first..<last + 1)
        return first..<last + 1
      }
      return nil
    }
    guard let run else { return false }
    return await load(run)
  }

  /// Fetches, checks and writes spans that lie side by side, and tells those who wait.
  @discardableResult
  func load(_ run: Range<Int>) async -> Bool {
    let range = fetchRange(run.lowerBound).lowerBound..<(run.map { fetchRange($0).upperBound }.max() ?? 0)
    var failures: [Int: ContainerdError] = [:]
    do {
      if state.withLock({ $0.isDiskFull }) { try await pool.run { [self] in try reserve(range, unpacked(run)) } }
      let bytes = try await source.read(range)
      failures = await pool.run { [self] in store(run, bytes, from: range.lowerBound) }
      state.withLock { $0.fetched += Int64(bytes.count) }
    } catch {
      let cause = error as? ContainerdError ?? ContainerdError(.unavailable, "\(error)")
      for span in run { failures[span] = cause }
    }
    var told: [(Arrival, ContainerdError?)] = []
    var again: [(Int, Duration)] = []
    state.withLock { state in
      if !failures.isEmpty { state.fetchErrors += 1 }
      if failures.isEmpty { state.isDiskFull = false } else if failures.values.contains(where: { $0.code == .resourceExhausted }) { state.isDiskFull = true }
      for span in run {
        state.flying.remove(span)
        guard let cause = failures[span] else {
          state.failures[span] = nil
          told += state.settle(span, nil).map { ($0, nil) }
          continue
        }
        let count = (state.failures[span]?.count ?? 0) + 1
        let error = described(span, cause)
        state.failures[span] = (count, error)
        guard state.waiting[span] != nil else { continue }
        if count >= cause.patience {
          state.failures[span] = nil
          told += state.settle(span, error).map { ($0, error) }
        } else {
          again.append((span, min(policy.firstPause * (1 << min(count - 1, 16)), policy.longestPause)))
        }
      }
    }
    for (tell, error) in told { tell(error) }
    for (span, pause) in again {
      Task {
        try await Task.sleep(for: pause)
        state.withLock { if $0.waiting[span] != nil { $0.enqueue(span) } }
        launch()
      }
    }
    if failures.isEmpty, presence.isWhole { beginCheck() }
    return failures.isEmpty
  }

  private func described(_ span: Int, _ cause: ContainerdError) -> ContainerdError {
    let range = spans.blobRange(span)
    return ContainerdError(
      cause.code, "image \(name.image), layer \(name.blob.digest), span \(span) (bytes \(range.lowerBound) to \(range.upperBound)): \(cause.message)")
  }

  /// Checks and writes; a span that is wrong keeps no other. Blocking.
  private func store(_ run: Range<Int>, _ bytes: [UInt8], from start: Int64) -> [Int: ContainerdError] {
    var failures: [Int: ContainerdError] = [:]
    for span in run where !presence[span] {
      let range = spans.blobRange(span)
      do throws(ContainerdError) {
        let unpacked = try spans.unpack(span, from: Array(bytes[Int(range.lowerBound - start)..<Int(range.upperBound - start)]))
        let fetched = fetchRange(span)
        try write(Array(bytes[Int(fetched.lowerBound - start)..<Int(fetched.upperBound - start)]), to: packed, at: fetched.lowerBound, "packed")
        try write(unpacked, to: archive, at: spans.archiveRange(span).lowerBound, "archive")
        presence.set(span)
      } catch { failures[span] = error }
    }
    return failures
  }

  // MARK: deadlines

  /// One task looks after all who wait, as long as there are any.
  private func reap() {
    let mine = state.withLock { state in
      // Who waited may have been answered by now: then nobody would take the mark away again.
      if state.hasReaper || state.waiting.isEmpty { return false }
      state.hasReaper = true
      return true
    }
    if !mine { return }
    Task {
      while expire() { try await Task.sleep(for: .milliseconds(100)) }
    }
  }

  /// - Returns: whether somebody still waits.
  private func expire() -> Bool {
    let now = ContinuousClock.now
    var told: [(Arrival, ContainerdError)] = []
    let goesOn = state.withLock { state in
      for (span, waiters) in state.waiting {
        for waiter in waiters where !waiter.isTold && waiter.deadline <= now {
          waiter.isTold = true
          let cause = state.failures[span]?.error ?? described(span, ContainerdError(.deadlineExceeded, "no answer"))
          told.append((waiter.tell, ContainerdError(cause.code, "\(cause.message); given up after \(policy.deadline)")))
        }
        let left = waiters.filter { !$0.isTold }
        state.waiting[span] = left.isEmpty ? nil : left
      }
      if state.waiting.isEmpty { state.hasReaper = false }
      return !state.waiting.isEmpty
    }
    for (tell, error) in told { tell(error) }
    return goesOn
  }

  /// Those who wait for a layer that turned out to be another.
  func tellAll(_ error: ContainerdError) {
    let told: [Arrival] = state.withLock { state in
      let all = state.waiting.values.flatMap { $0 }.filter { !$0.isTold }
      state.waiting = [:]
      var told: [Arrival] = []
      for waiter in all where !waiter.isTold {
        waiter.isTold = true
        told.append(waiter.tell)
      }
      return told
    }
    for tell in told { tell(error) }
  }
}
