import AsyncHTTPClient
import NIOHTTP1
import Protocols

/// A refusal that may pass: thrown inside an attempt to have it repeated.
struct Transient: Error {
  var cause: ContainerdError
  /// What the server asked for in `Retry-After`.
  var after: Duration?
}

/// Repeats attempts with growing pauses: refusals that may pass, and connections that fail.
struct Retry: Sendable {
  static let longestPause = Duration.seconds(10)
  static let longestWish = Duration.seconds(60)

  var attempts: Int
  var firstPause: Duration

  func callAsFunction<Value: Sendable>(_ object: String, _ attempt: () async throws -> Value) async throws -> Value {
    var pause = firstPause
    var number = 1
    while true {
      let cause: ContainerdError
      var wanted: Duration?
      do { return try await attempt() } catch let error as ContainerdError { throw error } catch let error as Transient {
        cause = error.cause
        wanted = error.after
      } catch {
        if error is CancellationError || Task.isCancelled { throw CancellationError() }
        cause = .unavailable("\(object): failed \(number) times, last: \(error)")
      }
      if number >= attempts { throw cause }
      try await Task.sleep(for: wanted.map { min($0, Self.longestWish) } ?? pause)
      pause = min(pause * 2, Self.longestPause)
      number += 1
    }
  }

  /// 429, and what a server says when it is not itself.
  static func isTransient(_ status: HTTPResponseStatus) -> Bool { status == .tooManyRequests || status == .requestTimeout || status.code >= 500 }

  /// Seconds; the header's other form, a date, is left to our own pauses.
  static func after(_ headers: HTTPHeaders) -> Duration? {
    headers.first(name: "Retry-After").flatMap { UInt32($0) }.map { .seconds(Int64($0)) }
  }
}
