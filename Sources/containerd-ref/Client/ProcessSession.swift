import CLinux
import Protocols
import SystemKit

/// Staying with one process in a container until it ends: its streams joined to ours, signals handed on, the terminal's size followed.
struct ProcessSession: Sendable {
  /// How long, after the end of the process, output may still come from others that hold the same streams.
  private static let patience = Duration.seconds(1)

  let task: any ContainerTask
  /// Nil for the container's first process.
  let exec: String?
  let io: TaskIO

  /// Starts the process, which has been made, and returns how it ended.
  func run(_ signals: SignalForwarder) async throws -> ExitStatus {
    let stop = try StreamCopy.Stop()
    let copies = try openOutputs().map { output in Task { try await StreamCopy.output(from: output.fifo, to: output.target, stop: stop) } }
    let raw = io.terminal ? try Terminal.Raw() : nil
    defer { raw?.restore() }
    // Before the start: nothing may be missed of a process that ends at once.
    let end = Task { try await waitThroughRestarts() }
    do {
      if io.terminal { await SignalForwarder.resize(task, exec) }
      _ = try await task.start(exec: exec)
    } catch {
      end.cancel()
      stop.raise()
      // Output comes before the message that says why it failed.
      for copy in copies { _ = await copy.result }
      throw error
    }
    await signals.handOn(to: task, exec)
    if io.terminal && exec != nil { await SignalForwarder.resize(task, exec) }
    let typing = try openInput().map { input in
      Task {
        // A process that is gone needs no end of its input.
        if try await StreamCopy.input(from: 0, to: input, stop: stop) { try? await task.closeStdin(exec: exec) }
      }
    }
    let status = try await end.value
    let deadline = Task {
      try await Task.sleep(for: Self.patience)
      stop.raise()
    }
    for copy in copies { _ = await copy.result }
    deadline.cancel()
    stop.raise()
    _ = await typing?.result
    return status
  }

  /// The end is recorded by the shim, not by the daemon: while the daemon is away there is nothing to do but wait for the next one.
  private func waitThroughRestarts() async throws -> ExitStatus {
    var told = false
    while true {
      do { return try await task.wait(exec: exec) } catch let error as ContainerdError where error.code == .unavailable {
        try Task.checkCancellation()
        if !told { Failure.say("the daemon is gone, the container goes on; its status will be fetched from the next daemon\r") }
        told = true
        try await Task.sleep(for: .milliseconds(300))
      }
    }
  }

  private func openOutputs() throws -> [(fifo: Int32, target: Int32)] {
    let stdout = try Files.open(io.stdout, O_RDONLY | O_NONBLOCK)
    if io.stderr.isEmpty { return [(stdout.release(), 1)] }
    let stderr = try Files.open(io.stderr, O_RDONLY | O_NONBLOCK)
    return [(stdout.release(), 1), (stderr.release(), 2)]
  }

  /// Nil when nobody reads: the process has ended already.
  private func openInput() throws -> Int32? {
    do throws(SystemError) { return try Files.open(io.stdin, O_WRONLY | O_NONBLOCK).release() } catch  where error.errno == ENXIO { return nil }
  }
}
