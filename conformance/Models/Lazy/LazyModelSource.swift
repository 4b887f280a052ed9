import CLinux
import ConformanceSystemSuites
import Dispatch
import Synchronization
import SystemKit

/// A registry without a network, for `LazyModel`: hands out parts of layers to whoever has a token, and misbehaves as a case says.
public final class LazyModelSource: Sendable {
  enum Answer: Equatable {
    case bytes([UInt8])
    case away
    case brokenOff
    case refused
    case unauthorized
  }

  private struct State {
    var trouble: LazyRegistry.Trouble?
    var breaks = 0
    var traffic = LazyRegistry.Traffic(requests: 0, bytes: 0)
    var valid = 1
    var asked = 0
    /// Bytes a second.
    var limit: Int64?
  }
  private let state = Mutex(State())
  let blobs: [[UInt8]]

  init(blobs: [[UInt8]]) { self.blobs = blobs }

  /// Everything that it was asked, for whatever.
  public var requests: Int { state.withLock { $0.asked } }
  public func reach(_ reachable: Bool) { set(reachable ? nil : .away) }

  func set(_ trouble: LazyRegistry.Trouble?) {
    state.withLock { state in
      state.trouble = trouble
      state.breaks = trouble == .brokenOff ? 2 : 0
    }
  }

  /// Whether it answers.
  func ask() -> Bool {
    state.withLock { state in
      state.asked += 1
      return state.trouble != .away
    }
  }

  /// Credentials make a token.
  func token() -> Int? { ask() ? state.withLock { $0.valid } : nil }

  func read(_ layer: Int, _ range: Range<Int>, token: Int) -> Answer {
    if let limit = state.withLock({ $0.limit }) { usleep(UInt32(min(Int64(range.count) * 1_000_000 / max(1, limit), 10_000_000))) }
    return state.withLock { state in
      state.asked += 1
      if state.trouble == .away { return .away }
      if token != state.valid { return .unauthorized }
      state.traffic.requests += 1
      var bytes = Array(blobs[layer][range])
      switch state.trouble {
      case .refused: return .refused
      case .brokenOff where state.breaks > 0:
        state.breaks -= 1
        state.traffic.bytes += Int64(bytes.count / 2)
        return .brokenOff
      case .wrongBytes: for place in stride(from: 0, to: bytes.count, by: 4096) { bytes[place] ^= 0xff }
      case .shortened: bytes.removeLast(bytes.count - bytes.count / 3)
      default: break
      }
      state.traffic.bytes += Int64(bytes.count)
      return .bytes(bytes)
    }
  }

  var registry: LazyRegistry {
    LazyRegistry(
      sizes: blobs.map { Int64($0.count) }, trouble: { self.set($0) }, traffic: { self.state.withLock { $0.traffic } },
      expire: { self.state.withLock { $0.valid += 1 } }, limit: { limit in self.state.withLock { $0.limit = limit } })
  }
}
