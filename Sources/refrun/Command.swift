import Glibc
import LinuxRuntime
import SystemKit

/// The commands by name. Each gives the exit status.
enum Command {
  static let version = "0.1.0"

  static func run(_ global: GlobalOptions, _ arguments: inout Arguments, _ log: Log) throws(RuntimeError) -> Int32 {
    if global.wantsVersion {
      Output.line("refrun version \(version)\nspec: 1.3.0\nlibseccomp: static")
      return 0
    }
    guard !global.wantsHelp, let name = arguments.next() else {
      Output.line(Help.text)
      return 0
    }
    if arguments.words.contains(where: { $0 == "--help" || $0 == "-h" }), name != "exec" {
      Output.line(Help.text)
      return 0
    }
    switch name {
    case "create": return try CreateCommand.create(global, &arguments, log)
    case "run": return try CreateCommand.run(global, &arguments, log)
    case "exec": return try ExecCommand.run(global, &arguments, log)
    case "start": try each(global, &arguments, log) { container throws(RuntimeError) in try container.start() }
    case "pause": try each(global, &arguments, log) { container throws(RuntimeError) in try container.pause() }
    case "resume": try each(global, &arguments, log) { container throws(RuntimeError) in try container.resume() }
    case "state":
      let container = try Container.load(root: global.root, id: arguments.id())
      Output.line(try JSONParser.parse(container.stateJSON()).serialized(indent: 2))
    case "kill": try kill(global, &arguments)
    case "delete": try delete(global, &arguments, log)
    case "list": try Listing.list(global, &arguments)
    case "ps": try Listing.processes(global, &arguments)
    case "events": try Listing.events(global, &arguments)
    case "update": try UpdateCommand.run(global, &arguments)
    case "spec": try spec(&arguments)
    case "features": Output.line(Features.json.serialized(indent: 4))
    case "help": Output.line(Help.text)
    default: throw RuntimeError(.invalid, "no such command: \(name)")
    }
    return 0
  }

  private static func each(
    _ global: GlobalOptions, _ arguments: inout Arguments, _ log: Log, _ body: (Container) throws(RuntimeError) -> Void
  ) throws(RuntimeError) {
    _ = try arguments.options(flags: [:], values: [:])
    let container = try Container.load(root: global.root, id: arguments.id())
    try arguments.end()
    try body(container)
    container.warnings.forEach { log.warning($0) }
  }

  private static func kill(_ global: GlobalOptions, _ arguments: inout Arguments) throws(RuntimeError) {
    var options = try arguments.options(flags: ["all": "all", "a": "all"], values: ["signal": "signal", "s": "signal"])
    let id = try arguments.id()
    if arguments.words.first?.hasPrefix("-") ?? false { options = try arguments.options(flags: ["all": "all", "a": "all"], values: [:]) }
    let signal = try Signals.number(arguments.next() ?? options.value("signal") ?? "TERM")
    try Container.load(root: global.root, id: id).kill(signal: signal, all: options.has("all"))
  }

  private static func delete(_ global: GlobalOptions, _ arguments: inout Arguments, _ log: Log) throws(RuntimeError) {
    let flags = ["force": "force", "f": "force"]
    var force = try arguments.options(flags: flags, values: [:]).has("force")
    let id = try arguments.id()
    force = try arguments.options(flags: flags, values: [:]).has("force") || force
    let container: Container
    do throws(RuntimeError) { container = try Container.load(root: global.root, id: id) } catch {
      guard force, error.kind == .notFound else { throw error }
      // runc: what is not there need not be forced away.
      return try Container.discardUnfinished(root: global.root, id: id)
    }
    try container.delete(force: force)
    container.warnings.forEach { log.warning($0) }
  }

  private static func spec(_ arguments: inout Arguments) throws(RuntimeError) {
    let options = try arguments.options(flags: ["rootless": "rootless"], values: ["bundle": "bundle", "b": "bundle"])
    if options.has("rootless") { throw RuntimeError(.invalid, "spec --rootless is not supported") }
    let path = (options.value("bundle") ?? ".") + "/config.json"
    if Files.exists(path) { throw RuntimeError(.alreadyExists, "File \(path) exists. Remove it first") }
    do { try Files.writeAtomically(DefaultSpec.json.serialized(indent: 2) + [0x0A], to: path, mode: 0o666) } catch {
      throw RuntimeError(error, doing: "write the configuration")
    }
  }
}
