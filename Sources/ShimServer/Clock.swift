import CLinux
import ShimWire

enum Clock {
  static func monotonicMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
  }

  static func now() -> Timestamp {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Timestamp(seconds: Int64(now.tv_sec), nanos: Int32(now.tv_nsec))
  }
}

extension Timestamp {
  /// Go's zero time, which clients take for "has not happened".
  static let never = Timestamp(seconds: -62_135_596_800)
}
