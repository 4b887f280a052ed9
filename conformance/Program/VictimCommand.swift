import ArgumentParser
import ConformanceKit
import ConformanceTargets

/// The child that serves a backend of this package, and is killed over it. Only cases call it.
struct VictimCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "victim", abstract: "Serves a backend of this package to a case that kills it.", shouldDisplay: false)

  @Option var root: String
  @Option var socket: String
  @Argument var backend: String

  func run() async throws {
    guard let victim = Victim(rawValue: backend) else { throw ValidationError("no backend \(backend)") }
    try await victim.serve(root: root, socket: socket)
  }
}
