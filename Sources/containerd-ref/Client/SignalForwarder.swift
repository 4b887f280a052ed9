import Glibc
import Protocols

/// What the signals that this program gets mean: before a process runs, "leave it"; then they are the process's.
actor SignalForwarder {
  static let signals: [Int32] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH]
  /// A first process that ignores being asked to end so many times is killed.
  private static let requests = 3

  private var target: (task: any ContainerTask, exec: String?)?
  private var asked = 0

  /// From now on signals are for this process.
  func handOn(to task: any ContainerTask, _ exec: String?) { target = (task, exec) }

  /// False if the signal is for us: to stop.
  private func receive(_ signal: Int32) async -> Bool {
    guard let (task, exec) = target else { return signal == SIGWINCH || signal == SIGUSR1 || signal == SIGUSR2 }
    if signal == SIGWINCH {
      await Self.resize(task, exec)
      return true
    }
    if signal == SIGINT || signal == SIGTERM { asked += 1 }
    let number = asked >= Self.requests ? SIGKILL : signal
    if number == SIGKILL { Failure.say("asked \(asked) times to end, it goes on: killing it") }
    do { try await task.kill(exec: exec, signal: UInt32(number), all: number == SIGKILL && exec == nil) } catch let error as ContainerdError {
      // The process has just ended: its status is on the way.
      if error.code != .notFound { Failure.say("could not send signal \(number): \(error.message)") }
    } catch { Failure.say("could not send signal \(number): \(error)") }
    return true
  }

  /// Gives a process's terminal the size of ours. A process that has ended has none.
  static func resize(_ task: any ContainerTask, _ exec: String?) async {
    guard let size = Terminal.size(0) else { return }
    try? await task.resize(exec: exec, width: UInt32(size.columns), height: UInt32(size.rows))
  }

  /// Runs the body with this process's signals in its hands. Signals before `handOn` cancel the body, which has undone what it began when the call
  /// returns.
  static func serving<Value: Sendable>(_ body: @escaping @Sendable (SignalForwarder) async throws -> Value) async throws -> Value {
    let forwarder = SignalForwarder()
    return try await Interruption.run(signals, stops: { await !forwarder.receive($0) }) { try await body(forwarder) }
  }
}
