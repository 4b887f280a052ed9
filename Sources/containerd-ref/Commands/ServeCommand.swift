import ArgumentParser
import DaemonConfiguration
import Protocols

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Run the daemon in the foreground.",
    discussion: "Containers outlive it: after a restart, or a crash, it finds them again. SIGTERM and SIGINT end it in order.")

  @OptionGroup var options: DaemonOptions

  func run() async throws {
    let configuration = try options.configuration()
    try await Daemon(configuration: configuration).run()
  }
}

/// Options that every command of the daemon's own shares.
struct DaemonOptions: ParsableArguments {
  @Option(name: .shortAndLong, help: "Configuration file (default: \(Configuration.defaultPath) if there).")
  var config: String?
  @Option(help: "Directory for what must survive a reboot.")
  var root: String?
  @Option(help: "Directory for what need not.")
  var state: String?
  @Option(help: "Socket to serve (default: STATE/containerd.sock).")
  var address: String?
  @Option(name: .shortAndLong, help: "trace, debug, info, warn or error.")
  var logLevel: String?
  @Option(help: "text or json.")
  var logFormat: String?

  func configuration() throws -> Configuration {
    var configuration = try Configuration(path: config)
    if let root { configuration.root = root }
    if let state { configuration.state = state }
    if let address { configuration.address = address }
    if let logLevel { configuration.level = logLevel }
    if let logFormat { configuration.format = logFormat }
    for (option, path) in [("--root", configuration.root), ("--state", configuration.state), ("--address", configuration.socket)] where !path.hasPrefix("/") {
      throw ContainerdError.invalidArgument("\(option) \"\(path)\" must be an absolute path")
    }
    guard LogLevel.parse(configuration.level) != nil else {
      throw ContainerdError.invalidArgument("log level \"\(configuration.level)\" is none of \(LogLevel.names)")
    }
    guard LogOutput.Format(rawValue: configuration.format) != nil else {
      throw ContainerdError.invalidArgument("log format \"\(configuration.format)\" is neither text nor json")
    }
    return configuration
  }
}

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "Print the configuration in force, as TOML with comments.",
    discussion: "What it prints can be saved, changed and given to \"serve --config\". docs/configuration.md says what each field means.")

  @OptionGroup var options: DaemonOptions

  func run() throws {
    let configuration = try options.configuration()
    for warning in configuration.warnings { Failure.say(warning) }
    Output.text(configuration.toml)
  }
}
