import CLinux
import Logging
import Protocols
import Synchronization
import SystemKit
import TestSupport

@testable import ShimRuntime

/// A daemon's directories and its view of them: everything that a test of the runtime needs, gone when it goes.
final class Scene: Sendable {
  let directory = ScratchDirectory("shimrt")
  let events = Recorder()

  var state: String { directory.path + "/state" }
  var root: String { directory.path + "/root" }

  func configuration(
    shims: [String: String] = [:], commandTimeout: Duration = .seconds(30), reattachTimeout: Duration = .seconds(30)
  ) -> ShimRuntime.Configuration {
    ShimRuntime.Configuration(
      state: state, root: root, address: directory.path + "/c.sock", executable: "/bin/true", shims: shims, commandTimeout: commandTimeout,
      reattachTimeout: reattachTimeout)
  }

  func runtime(shims: [String: String] = [:], reattachTimeout: Duration = .seconds(30)) -> ShimRuntime {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return ShimRuntime(configuration: configuration(shims: shims, reattachTimeout: reattachTimeout), events: events, logger: logger)
  }

  func bundle(_ id: String, namespace: String = "n") throws -> Bundle {
    try Bundle(TaskKey(namespace: namespace, id: id), configuration: configuration())
  }

  /// A program that answers `start` and `delete` with what the script says. `$ACTION` is the action.
  func script(_ body: String, name: String = "shim") throws -> String {
    let path = "\(directory.path)/\(name)"
    let text = "#!/bin/sh\nfor ACTION; do :; done\n\(body)\n"
    // Not written by this process: a child of another test that has it open for writing would keep it from being run.
    try Files.writeAtomically(Array(text.utf8), to: path + ".text", mode: 0o755)
    try copyProgram(path + ".text", to: path)
    return path
  }
}

/// Keeps every event.
final class Recorder: EventPublisher {
  private let envelopes = Mutex<[EventEnvelope]>([])
  func publish(_ envelope: EventEnvelope) { envelopes.withLock { $0.append(envelope) } }
  var all: [EventEnvelope] { envelopes.withLock { $0 } }
  var topics: [String] { all.map(\.topic) }
}

/// Polls; tests name what they wait for.
func eventually(_ seconds: Int = 20, _ condition: () async throws -> Bool) async throws -> Bool {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(20))
  }
  return false
}

func code(_ body: () async throws -> some Any) async -> ContainerdError.Code? {
  do {
    _ = try await body()
    return nil
  } catch {
    return (error as? ContainerdError)?.code
  }
}
