import Protocols
import Synchronization

/// A clock that tests move. It begins at a fixed time and stands still; one that `follows` runs along with the real one.
public final class TestClock: Sendable {
  private let offset = Mutex<Int64>(0)
  private let follows: Bool

  public init(follows: Bool = false) { self.follows = follows }

  public var now: @Sendable () -> Timestamp {
    { [self] in (follows ? .now() : Timestamp(seconds: 1_700_000_000)).advanced(bySeconds: offset.withLock { $0 }) }
  }
  public func advance(_ seconds: Int64) { offset.withLock { $0 += seconds } }
}
