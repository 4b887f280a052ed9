import ArgumentParser
import ContainerSpec
import ContainerdClient
import Protocols
import SystemKit

struct ExecCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec", abstract: "Run a further program in a container.", usage: "containerd-ref exec [OPTIONS] ID COMMAND …",
    discussion: """
      Options come before ID; everything after it is the command. The program's exit status becomes this program's.

        containerd-ref exec hello ls /
        containerd-ref exec -t hello sh
      """)

  @OptionGroup var client: ClientOptions
  @Flag(name: .shortAndLong, help: "Give the program a terminal.")
  var tty = false
  @Flag(name: .shortAndLong, help: "Leave the program running. Its output is dropped unless --log-uri says where to.")
  var detach = false
  @Option(name: .shortAndLong, help: ArgumentHelp("Set a variable, or take one away with a bare KEY; may be repeated.", valueName: "KEY=VALUE"))
  var env: [String] = []
  @Option(help: ArgumentHelp("Working directory instead of the container's.", valueName: "path"))
  var cwd: String?
  @Option(
    name: .shortAndLong, help: ArgumentHelp("Who runs it instead of the container's user: names the container knows, or numbers.", valueName: "USER[:GROUP]"))
  var user: String?
  @Option(help: ArgumentHelp("A name for the process (default: made up).", valueName: "id"))
  var execId: String?
  @Option(help: ArgumentHelp("Where output goes instead of here: file:///PATH, or what else the shim knows.", valueName: "uri"))
  var logUri: String?
  @Option(help: ArgumentHelp("Directory for the FIFOs of input and output (default: fifo beside the socket).", valueName: "path"))
  var fifoDir: String?
  @Argument(help: "The container.")
  var id: String
  @Argument(parsing: .captureForPassthrough, help: "The command.")
  var command: [String] = []

  func validate() throws {
    if id.hasPrefix("-") { throw ValidationError("unknown option \"\(id)\"; options come before ID, see --help") }
    if words.isEmpty { throw ValidationError("a command is missing: exec ID COMMAND …") }
    if tty && !detach && !Terminal.isTerminal(0) { throw ValidationError("--tty needs a terminal on standard input") }
  }

  private var words: [String] { command.first == "--" ? Array(command.dropFirst()) : command }

  func run() async throws {
    let status = try await SignalForwarder.serving { [self] signals in
      try await client.connect { try await exec($0, signals) }
    }
    if status != 0 { throw ExitCode(Int32(bitPattern: status)) }
  }

  private func exec(_ connection: ContainerdClient, _ signals: SignalForwarder) async throws -> UInt32 {
    let container = try await connection.containers.get(id)
    guard let spec = container.spec else { throw ContainerdError.failedPrecondition("container \(id) has no spec") }
    let task = connection.tasks.task(id)
    let state: ProcessState
    do { state = try await task.state(exec: nil) } catch let error as ContainerdError where error.code == .notFound {
      throw ContainerdError.failedPrecondition("container \(id) does not run")
    }
    var process = ExecProcess(arguments: words)
    process.terminal = tty
    process.workingDirectory = cwd
    process.environment = env
    if let user { process.user = try await RootFiles.users(of: state.pid).user(user) }

    let name = execId ?? "exec-\(String(UInt32.random(in: 0...UInt32.max), radix: 36))"
    let undo = Undo()
    do {
      let streams = try TaskStreams(
        id: name, logURI: logUri, detached: detach, terminal: tty, directory: fifoDir ?? Files.parent(of: client.address) + "/fifo")
      await undo.add("remove the FIFOs of \(name)") { try streams.remove() }
      try await task.exec(ExecCreation(id: name, process: try process.packed(in: spec), io: streams.io))
      await undo.add("remove process \(name)") { try await remove(name, of: task) }
      if detach {
        _ = try await task.start(exec: name)
        Output.text("\(name)\n")
        return 0
      }
      let status = try await ProcessSession(task: task, exec: name, io: streams.io).run(signals)
      _ = try await task.delete(exec: name)
      try streams.remove()
      return status.code
    } catch {
      await undo.run()
      throw error
    }
  }

  /// Ends the process, if it runs, and frees it.
  private func remove(_ name: String, of task: any ContainerTask) async throws {
    do {
      if try await task.state(exec: name).status == .running {
        do { try await task.kill(exec: name, signal: 9, all: false) } catch let error as ContainerdError where error.code == .notFound {}
        _ = try await task.wait(exec: name)
      }
      _ = try await task.delete(exec: name)
    } catch let error as ContainerdError where error.code == .notFound {}
  }
}
