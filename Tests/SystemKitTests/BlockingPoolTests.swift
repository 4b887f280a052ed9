import BlockingIO
import CLinux
import Synchronization
import Testing

@Suite struct BlockingPoolTests {
  private struct Broken: Error, Equatable {}

  private final class Meter: Sendable {
    private let state = Mutex((now: 0, most: 0))
    var most: Int { state.withLock { $0.most } }
    func enter() {
      state.withLock { state in
        state.now += 1
        state.most = max(state.most, state.now)
      }
    }
    func leave() { state.withLock { $0.now -= 1 } }
  }

  @Test func resultsAndErrorsComeBack() async throws {
    let pool = BlockingPool(label: "test")
    #expect(await pool.run { 41 + 1 } == 42)
    await #expect(throws: Broken()) { try await pool.run { () throws(Broken) in throw Broken() } }
  }

  @Test func noMoreThanTheWidthRunAtOnceAndAllRun() async {
    let pool = BlockingPool(label: "test", width: 3)
    let meter = Meter()
    let sum = await withTaskGroup(of: Int.self) { group in
      for number in 1...40 {
        group.addTask {
          await pool.run {
            meter.enter()
            usleep(2000)
            meter.leave()
            return number
          }
        }
      }
      return await group.reduce(0, +)
    }
    #expect(sum == 820)
    #expect(meter.most <= 3, "\(meter.most) ran at once")
  }

  @Test func asManyAsTheWidthRunAtOnce() async {
    let pool = BlockingPool(label: "test", width: 3)
    let meter = Meter()
    // Each waits until all three are inside: with fewer at once this never ends.
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<3 {
        group.addTask {
          await pool.run {
            meter.enter()
            while meter.most < 3 { usleep(1000) }
          }
        }
      }
    }
    #expect(meter.most == 3)
  }

  @Test func blockedCallsDoNotHoldUpOtherTasks() async {
    let pool = BlockingPool(label: "test", width: 64)
    let release = DispatchGate()
    // More blocked calls than the cooperative pool has threads: were they on it, nobody could ever open the gate.
    let blocked = Task { await withTaskGroup(of: Void.self) { group in for _ in 0..<64 { group.addTask { await pool.run { release.wait() } } } } }
    await Task.detached { release.open() }.value
    await blocked.value
  }

  @Test func waitingCallsRunInTheOrderInWhichTheyCame() async throws {
    let pool = BlockingPool(label: "test", width: 1)
    let order = Order()
    let release = DispatchGate()
    let first = Task { await pool.run { release.wait() } }
    // Each waits in line before the next one asks.
    var waiting: [Task<Void, Never>] = []
    for number in 0..<10 {
      waiting.append(Task { await pool.run { order.add(number) } })
      try await Task.sleep(for: .milliseconds(50))
    }
    release.open()
    await first.value
    for task in waiting { await task.value }
    #expect(order.numbers == Array(0..<10))
  }

  @Test func aCancelledCallerTakesNoSlotWithIt() async throws {
    let pool = BlockingPool(label: "test", width: 1)
    let release = DispatchGate()
    let first = Task { await pool.run { release.wait() } }
    let cancelled = Task { await pool.run { 1 } }
    cancelled.cancel()
    release.open()
    await first.value
    #expect(await cancelled.value == 1, "what was asked for is done: a system call half made is nobody's")
    #expect(await pool.run { 2 } == 2, "the slot is free again")
  }

  @Test func aThreadOfItsOwnReturnsWhatItsWorkReturns() async throws {
    let (here, there) = (gettid(), try await DedicatedThread.run { gettid() })
    #expect(here != there)
    await #expect(throws: Broken()) { try await DedicatedThread.run { throw Broken() } }
  }
}

private final class Order: Sendable {
  private let seen = Mutex<[Int]>([])
  var numbers: [Int] { seen.withLock { $0 } }
  func add(_ number: Int) { seen.withLock { $0.append(number) } }
}

/// Blocks a thread until it is opened.
private final class DispatchGate: Sendable {
  private let isOpen = Mutex(false)
  func open() { isOpen.withLock { $0 = true } }
  func wait() { while !isOpen.withLock({ $0 }) { usleep(1000) } }
}
