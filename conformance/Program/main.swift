import ArgumentParser
import ConformanceKit
import ConformanceTargets
import Foundation

// A worker changes its mount namespace, which only works while there is one thread: before anything else.
if CommandLine.arguments.dropFirst().first == "worker" {
  if let problem = Worker.isolate(memoryLimit: 4 << 30), CommandLine.arguments.contains("--must-isolate") {
    print("no isolation: \(problem)")
  }
}

/// 0 and 1 are verdicts; whatever keeps a command from being done, from a mistyped option to a file that is not there, is 2.
func start() async {
  var name: String?
  do {
    var command = try ConformanceCommand.parseAsRoot()
    name = type(of: command).configuration.commandName
    if var asynchronous = command as? any AsyncParsableCommand { try await asynchronous.run() } else { try command.run() }
  } catch {
    let code = ConformanceCommand.exitCode(for: error)
    if code.isSuccess || error is ExitCode { ConformanceCommand.exit(withError: error) }
    // The usage belongs to what was mistyped; what a command found out by itself needs none of the root's.
    let text =
      name.map { "Error: \(ConformanceCommand.message(for: error))\nSee 'containerd-conformance \($0) --help'." } ?? ConformanceCommand.fullMessage(for: error)
    let message = Array((text + "\n").utf8)
    _ = write(2, message, message.count)
    exit(2)
  }
}
await start()
