@preconcurrency import Dispatch
import Glibc

/// SIGTERM and SIGINT as something to wait for.
final class StopSignals: Sendable {
  private let stream: AsyncStream<Void>
  private let sources: [any DispatchSourceSignal]

  init() {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    self.stream = stream
    // A client that leaves in the middle of an answer must not end the daemon.
    signal(SIGPIPE, SIG_IGN)
    self.sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler { continuation.yield() }
      source.resume()
      return source
    }
  }

  func wait() async { for await _ in stream { return } }
}
