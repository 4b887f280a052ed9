import Synchronization

/// How a registry misbehaves, and towards whom.
///
///     registry.faults.add(.status(503), to: .blobs, times: 2)
///     registry.faults.add(.cut(afterBytes: 1000), to: .path("sha256:ab…"), method: "GET", times: 1)
///     registry.faults.limit(bytesPerSecond: 1 << 20)
///     registry.faults.goAway(for: .seconds(3))
public final class RegistryFaults: Sendable {
  public enum Target: Hashable, Sendable {
    case everything, manifests, blobs, referrers, token
    /// The path, without the query, ends so.
    case path(String)
  }

  public enum Fault: Sendable {
    /// Answers with this status and an error document; nothing is done.
    case status(Int, headers: [String: String] = [:])
    /// Sends the client to the same path at another origin, `http://127.0.0.1:…`.
    case redirect(Int = 307, to: String)
    /// Closes the connection after so many bytes of the body.
    case cut(afterBytes: Int64)
    /// Sends so many bytes of the body, and closes the connection when the gate is opened.
    case cutAtGate(afterBytes: Int64, RegistryGate)
    /// Sends so many bytes of the body and then nothing, for ever.
    case stall(afterBytes: Int64)
    /// Inverts the byte at this place of the body.
    case corrupt(byte: Int64)
    /// Inverts the byte at this place of the blob, in whatever part of it is sent.
    case corruptBlob(at: Int64)
    /// Sends no more than so many bytes of the body, and says that this is all.
    case truncate(to: Int64)
    /// Sends these bytes as the body, with their own length.
    case replace([UInt8])
    /// Announces a length that is so much off, and closes the connection after the body.
    case contentLength(off: Int64)
    /// Sends the whole where a part was asked for.
    case ignoreRange
    /// Answers 206 with a part that nobody asked for, shifted by so many bytes.
    case shiftRange(Int64)
    /// Sends this header in place of the true one; nil leaves it out.
    case header(String, String?)
    /// Waits before it answers.
    case delay(Duration)
    /// Sends the body no faster than this.
    case throttle(bytesPerSecond: Int64)
    /// Knows no HEAD.
    case noHead
  }

  private struct Rule {
    var fault: Fault
    var target: Target
    var method: String?
    var spared: Int
    var remaining: Int?
  }

  private enum Presence: Sendable {
    case here
    case away(until: ContinuousClock.Instant?)
  }

  private let rules = Mutex<[Rule]>([])
  private let presence = Mutex(Presence.here)
  let throttle = RegistryThrottle()

  public init() {}

  /// Adds a fault to the next `times` requests that match, to all of them where nil; the first `sparing` ones are spared.
  public func add(_ fault: Fault, to target: Target = .everything, method: String? = nil, sparing: Int = 0, times: Int? = nil) {
    rules.withLock { $0.append(Rule(fault: fault, target: target, method: method, spared: sparing, remaining: times)) }
  }

  /// All answers together leave no faster than this; nil for as fast as they go.
  public func limit(bytesPerSecond: Int64?) { throttle.rate = bytesPerSecond }

  /// Whoever connects is sent away without a word, and answers under way break off; for a time, or until `comeBack`.
  public func goAway(for time: Duration? = nil) { presence.withLock { $0 = .away(until: time.map { .now + $0 }) } }

  public func comeBack() { presence.withLock { $0 = .here } }

  var isAway: Bool {
    presence.withLock { presence in
      switch presence {
      case .here: return false
      case .away(let until):
        guard let until, until <= .now else { return true }
        presence = .here
        return false
      }
    }
  }

  /// As it was in the beginning: no fault, no limit, present.
  public func clear() {
    rules.withLock { $0 = [] }
    limit(bytesPerSecond: nil)
    comeBack()
  }

  /// The faults that this request meets, in the order in which they were added.
  func take(method: String, path: String) -> [Fault] {
    rules.withLock { rules in
      var met: [Fault] = []
      for index in rules.indices where Self.matches(rules[index], method, path) {
        if rules[index].spared > 0 {
          rules[index].spared -= 1
          continue
        }
        if let remaining = rules[index].remaining {
          if remaining == 0 { continue }
          rules[index].remaining = remaining - 1
        }
        met.append(rules[index].fault)
      }
      return met
    }
  }

  private static func matches(_ rule: Rule, _ method: String, _ path: String) -> Bool {
    if let wanted = rule.method, wanted != method { return false }
    return switch rule.target {
    case .everything: true
    case .manifests: path.contains("/manifests/")
    case .blobs: path.contains("/blobs/")
    case .referrers: path.contains("/referrers/")
    case .token: path == "/token"
    case .path(let suffix): path.hasSuffix(suffix)
    }
  }
}

/// What a test opens when it has seen enough. One request waits at it.
public final class RegistryGate: Sendable {
  private let stream: AsyncStream<Never>
  private let continuation: AsyncStream<Never>.Continuation

  public init() { (stream, continuation) = AsyncStream.makeStream(of: Never.self) }

  public func open() { continuation.finish() }

  /// Returns when the gate is open, or the task cancelled.
  func wait() async { for await _ in stream {} }
}
