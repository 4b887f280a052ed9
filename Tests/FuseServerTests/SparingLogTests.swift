import Synchronization
import Testing

@testable import FuseServer

@Suite struct SparingLogTests {
  @Test func afterABurstItIsToldHowManyMoreThereWere() async throws {
    let told = Mutex<[String]>([])
    let log = SparingLog(most: 3, period: .seconds(1)) { line in told.withLock { $0.append(line) } }
    for number in 0..<1000 { log.add { "line \(number)" } }
    #expect(told.withLock { $0 } == ["line 0", "line 1", "line 2"])
    try await Task.sleep(for: .milliseconds(1100))
    log.add { "again" }
    log.add { "and again" }
    #expect(told.withLock { $0.dropFirst(3) } == ["again (and 997 times more, since it was last told)", "and again"])
  }
}
