@preconcurrency import Dispatch
import Glibc

/// SIGTERM and SIGINT, or others, as something to wait for.
final class StopSignals: Sendable {
  private let stream: AsyncStream<Int32>
  private let sources: [any DispatchSourceSignal]

  init(_ numbers: [Int32] = [SIGTERM, SIGINT]) {
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    self.stream = stream
    // A client that leaves in the middle of an answer must not end the daemon.
    signal(SIGPIPE, SIG_IGN)
    self.sources = numbers.map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler { continuation.yield(number) }
      source.resume()
      return source
    }
  }

  /// The next one. After its task was cancelled: SIGTERM.
  @discardableResult func wait() async -> Int32 {
    for await number in stream { return number }
    return SIGTERM
  }
}
