import ArgumentParser

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
  @Option(name: .shortAndLong, help: "Socket to serve (default: STATE/containerd.sock).")
  var address: String?
  @Option(name: .shortAndLong, help: "trace, debug, info, warn or error.")
  var logLevel: String?

  func configuration() throws -> Configuration {
    var configuration = try Configuration(path: config)
    if let root { configuration.root = root }
    if let state { configuration.state = state }
    if let address { configuration.address = address }
    if let logLevel { configuration.level = logLevel }
    return configuration
  }
}

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "Print the configuration in force, as TOML with comments.")

  @OptionGroup var options: DaemonOptions

  func run() throws { print(try options.configuration().toml, terminator: "") }
}
