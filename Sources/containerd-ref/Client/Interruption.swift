@preconcurrency import Dispatch
import Glibc

/// A signal ended what the user had asked for.
struct Interrupted: Error {
  let signal: Int32
}

/// Signals as a stream, instead of what they would do.
final class SignalStream: Sendable {
  let numbers: AsyncStream<Int32>
  private let sources: [any DispatchSourceSignal]

  init(_ signals: [Int32]) {
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    numbers = stream
    sources = signals.map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler { continuation.yield(number) }
      source.resume()
      return source
    }
  }

  /// A program that reads our output and goes away shows as an error of the write, not as our death.
  static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }
}

/// Work that ^C, a hang-up or a request to end stops in order: the work is cancelled, and has undone what it began when the call returns.
enum Interruption {
  static func guarding<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
    try await run([SIGINT, SIGTERM, SIGHUP], stops: { _ in true }, body)
  }

  /// Asks about every signal whether it stops the work.
  static func run<Value: Sendable>(
    _ signals: [Int32], stops: @escaping @Sendable (Int32) async -> Bool, _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    SignalStream.ignoreBrokenPipes()
    let signals = SignalStream(signals)
    let work = Task { try await body() }
    let watch = Task { () -> Int32? in
      for await number in signals.numbers where await stops(number) {
        work.cancel()
        return number
      }
      return nil
    }
    let result = await work.result
    watch.cancel()
    if case .failure = result, work.isCancelled, let number = await watch.value { throw Interrupted(signal: number) }
    return try result.get()
  }
}

/// What has to be undone, in reverse order, if the rest fails.
actor Undo {
  private var steps: [(what: String, step: @Sendable () async throws -> Void)] = []

  func add(_ what: String, _ step: @escaping @Sendable () async throws -> Void) { steps.append((what, step)) }

  /// It is to stay.
  func forget(_ what: String) { steps.removeAll { $0.what == what } }

  /// Runs all steps, whatever fails, in a task that nobody has cancelled, and says what could not be undone.
  func run() async {
    let pending = steps.reversed()
    steps = []
    await Task {
      for (what, step) in pending {
        do { try await step() } catch { Failure.say("could not \(what): \(error)") }
      }
    }.value
  }
}
