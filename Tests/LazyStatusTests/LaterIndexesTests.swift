import Protocols
import Synchronization
import Testing

@testable import FuseSnapshotter

@Suite struct LaterIndexesTests {
  /// What was made, and how many at a time.
  private final class Maker: Sendable {
    struct State {
      var made: [String] = []
      var now = 0
      var most = 0
    }
    let state = Mutex(State())
    func make(_ request: LazyRequest) async {
      state.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      try? await Task.sleep(for: .milliseconds(20))
      state.withLock {
        $0.now -= 1
        $0.made.append(request.reference)
      }
    }
    func wait(for count: Int) async throws {
      for _ in 0..<1000 where state.withLock({ $0.made.count < count }) { try await Task.sleep(for: .milliseconds(10)) }
    }
  }
  private let maker = Maker()

  private func queue(quiet: Duration) -> LaterIndexes { LaterIndexes(quiet: quiet) { [maker] in await maker.make($0) } }
  private func request(_ number: Int) -> LazyRequest { LazyRequest(reference: "layer \(number)", key: "", labels: [:]) }

  @Test func theyAreMadeOneAfterAnotherInTheirOrder() async throws {
    let later = queue(quiet: .milliseconds(10))
    for number in 0..<5 { later.add(request(number)) }
    try await maker.wait(for: 5)
    // Another that comes when all is done begins anew.
    later.add(request(5))
    try await maker.wait(for: 6)
    let state = maker.state.withLock { $0 }
    #expect(state.made == (0...5).map { "layer \($0)" } && state.most == 1)
  }

  @Test func noneIsMadeWhileAClientUnpacks() async throws {
    let later = queue(quiet: .milliseconds(30))
    let key = "default/7/extract-1-x sha256:1"
    later.prepared(key)
    later.add(request(0))
    try await Task.sleep(for: .milliseconds(300))
    #expect(maker.state.withLock { $0.made.isEmpty && $0.now == 0 })
    later.ended(key)
    try await maker.wait(for: 1)
    #expect(maker.state.withLock { $0.made.count } == 1)
  }

  @Test func aContainerThatLivesIsNoReasonToWait() async throws {
    let later = queue(quiet: .milliseconds(30))
    later.prepared("default/8/container")
    later.add(request(0))
    try await maker.wait(for: 1)
    #expect(maker.state.withLock { $0.made.count } == 1)
  }

  @Test func eachCallOfAClientPutsThemOff() async throws {
    let (start, passed) = (ContinuousClock.now, Passed())
    let later = LaterIndexes(quiet: .milliseconds(50), now: { start + .milliseconds(passed.milliseconds.withLock { $0 }) }) { [maker] in await maker.make($0) }
    later.add(request(0))
    for number in 0..<3 {
      // Of the time that the queue sees, less than it wants to be quiet.
      passed.milliseconds.withLock { $0 += 40 }
      later.prepared("default/\(number)/container")
      try await Task.sleep(for: .milliseconds(200))
      #expect(maker.state.withLock { $0.made.isEmpty && $0.now == 0 })
    }
    passed.milliseconds.withLock { $0 += 51 }
    try await maker.wait(for: 1)
    #expect(maker.state.withLock { $0.made.count } == 1)
  }
  @Test func whoAsksAllTheTimeIsNotWaitedFor() async throws {
    let (start, passed) = (ContinuousClock.now, Passed())
    let later = LaterIndexes(quiet: .milliseconds(50), now: { passed.look(since: start) }) { [maker] in await maker.make($0) }
    let made = passed.looks.withLock { $0 }
    later.add(request(0))
    // Until it has looked, and waits.
    while passed.looks.withLock({ $0 }) == made { try await Task.sleep(for: .milliseconds(10)) }
    for number in 0..<4 {
      passed.milliseconds.withLock { $0 += 40 }
      later.prepared("default/\(number)/container")
    }
    try await maker.wait(for: 1)
    #expect(maker.state.withLock { $0.made.count } == 1)
  }

  private final class Passed: Sendable {
    let milliseconds = Mutex(0)
    let looks = Mutex(0)
    func look(since start: ContinuousClock.Instant) -> ContinuousClock.Instant {
      looks.withLock { $0 += 1 }
      return start + .milliseconds(milliseconds.withLock { $0 })
    }
  }

  @Test func whatWaitsWhenTheServerStopsIsForgotten() async throws {
    let later = queue(quiet: .seconds(2))
    later.add(request(0))
    later.close()
    later.add(request(1))
    try await Task.sleep(for: .milliseconds(2500))
    #expect(maker.state.withLock { $0.made.isEmpty })
  }
}
