import ArgumentParser
import CLinux
import Protocols

@main
struct ContainerdRef: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "containerd-ref",
    abstract: "The reference implementation of containerd's core: pull, store, unpack and run containers.",
    discussion: """
      Start the daemon, then pull an image and run it:

        containerd-ref serve
        containerd-ref pull 127.0.0.1:5000/demo:latest
        containerd-ref run --rm 127.0.0.1:5000/demo:latest hello echo hello

      Any other containerd client drives the daemon through its socket as well:

        ctr --address /run/containerd-ref/containerd.sock images ls

      Every command has --help. A command that fails says why in one sentence and exits with status 1; run and exec exit with the program's status.
      """,
    version: Version.text,
    subcommands: [],
    groupedSubcommands: [
      CommandGroup(name: "Containers", subcommands: [RunCommand.self, ExecCommand.self, PsCommand.self, KillCommand.self, RmCommand.self]),
      CommandGroup(name: "Images", subcommands: [PullCommand.self, ImagesCommand.self, IndexCommand.self, RegistryCommand.self]),
      CommandGroup(name: "Daemon", subcommands: [ServeCommand.self, SnapshotterCommand.self, LazyCommand.self, ConfigCommand.self, EventsCommand.self]),
    ])

  static func main() async {
    StandardStreams.ensureOpen()
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch { Failure.exit(error) }
  }
}

/// How a command that cannot do its work ends: a sentence on standard error, status 1.
enum Failure {
  static func exit(_ error: any Error) -> Never {
    switch error {
    case let error as ContainerdError: say(sentence(error))
    case let code as ExitCode: ContainerdRef.exit(withError: code)
    case let interruption as Interrupted:
      say("interrupted; everything that was begun is undone")
      CLinux.exit(128 + interruption.signal)
    case is CancellationError: say("interrupted")
    default:
      // What the argument parser throws: help and versions are for standard output, and no failure.
      if ContainerdRef.exitCode(for: error) == .success { ContainerdRef.exit(withError: error) }
      let message = ContainerdRef.fullMessage(for: error)
      say(message.hasPrefix("Error: ") ? String(message.dropFirst(7)) : message)
    }
    CLinux.exit(1)
  }

  /// The message, with the class's words where the message alone would not say what is wrong: `container x: not found`.
  private static func sentence(_ error: ContainerdError) -> String {
    if error.message.contains(error.code.rawValue) { return error.message }
    return switch error.code {
    case .notFound, .alreadyExists, .notImplemented, .permissionDenied, .unauthenticated, .deadlineExceeded: error.description
    default: error.message
    }
  }

  static func say(_ text: String) { Output.error("containerd-ref: \(text)\n") }
}

enum Version {
  static let number = "0.1.0"
  static let revision = "reference"
  static let text = "containerd-ref \(number)"
}
