import Protocols
import Testing

@testable import FuseServer

@Suite struct RepeatedReadsTests {
  private let start = ContinuousClock.now
  private let error = ContainerdError(.unavailable, "away")

  private func read(_ thread: UInt32, _ wanted: Range<Int64>, node: Int = 7) -> RequestedRead {
    RequestedRead(device: 1, number: 2, thread: thread, node: node, wanted: wanted)
  }

  @Test func everyThreadThatWaitedIsToldOnce() {
    let repeats = RepeatedReads()
    #expect(repeats.first(of: read(1, 0..<4096), at: start) == nil)
    repeats.failed(read(1, 0..<131_072), error, deadline: start, at: start)
    for thread: UInt32 in 1...3 {
      let first = repeats.first(of: read(thread, 8192..<12_288), at: start + .milliseconds(10))
      #expect(first?.deadline == start && first?.error.message == "away")
      #expect(repeats.first(of: read(thread, 8192..<12_288), at: start + .milliseconds(20)) == nil)
    }
    // Others, and other places, are reads of their own.
    #expect(repeats.first(of: read(4, 8192..<12_288, node: 8), at: start) == nil)
    #expect(repeats.first(of: read(4, 131_072..<135_168), at: start) == nil)
    #expect(repeats.first(of: read(4, 8192..<12_288), at: start + RepeatedReads.window + .milliseconds(1)) == nil)
  }

  @Test func aPageThatFailedAloneIsNotAskedForAgain() {
    let repeats = RepeatedReads()
    repeats.failed(read(1, 0..<4096), error, deadline: start, at: start)
    // It may have been read ahead, in a file of one page.
    #expect(repeats.first(of: read(1, 0..<4096), at: start) != nil)
    repeats.failed(read(1, 0..<4096), error, deadline: start + .seconds(2), at: start + .seconds(2))
    #expect(repeats.first(of: read(1, 0..<4096), at: start + .seconds(2)) == nil)
    #expect(repeats.first(of: read(2, 0..<4096), at: start + .seconds(2))?.deadline == start + .seconds(2))
  }

  /// All its threads are one reader, which comes back twice.
  @Test func aUnionIsToldTwice() {
    let repeats = RepeatedReads { $0 < 10 ? .union : .thread($0) }
    repeats.failed(read(1, 0..<131_072), error, deadline: start, at: start)
    #expect(repeats.first(of: read(2, 0..<4096), at: start) != nil)
    #expect(repeats.first(of: read(3, 0..<4096), at: start) != nil)
    // Then it may be the next read, or somebody else's.
    #expect(repeats.first(of: read(4, 0..<4096), at: start)?.deadline == start + RepeatedReads.unionPatience)
    #expect(repeats.first(of: read(11, 0..<4096), at: start) != nil)
    #expect(repeats.first(of: read(11, 0..<4096), at: start) == nil)
    repeats.failed(read(4, 0..<4096), error, deadline: start + .seconds(2), at: start + .seconds(2))
    #expect(repeats.first(of: read(5, 0..<4096), at: start + .seconds(2))?.deadline == start + .seconds(2) + RepeatedReads.unionPatience)
    #expect(repeats.first(of: read(5, 0..<4096), at: start + .seconds(3)) == nil)
  }

  @Test func theOldestAreForgotten() {
    let repeats = RepeatedReads()
    for node in 0..<1000 { repeats.failed(read(1, 0..<4096, node: node), error, deadline: start, at: start) }
    #expect(repeats.first(of: read(2, 0..<4096, node: 0), at: start) == nil)
    #expect(repeats.first(of: read(2, 0..<4096, node: 999), at: start) != nil)
  }
}
