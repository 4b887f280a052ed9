import ArgumentParser
import ContainerSpec
import ContainerdClient
import Protocols

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Run a container from an image.", usage: "containerd-ref run [OPTIONS] IMAGE ID [COMMAND …]",
    discussion: """
      Options come before IMAGE; everything after ID is the command and goes to the container as it is. A command replaces the image's entrypoint and \
      command. In the foreground the container has this program's input, output and signals, and its exit status becomes this program's; the container \
      stays, for \"ps --all\" and \"rm\", unless --rm is given.

        containerd-ref run --rm 127.0.0.1:5000/demo:latest hello echo hello
        containerd-ref run --rm -t --pull 127.0.0.1:5000/demo:latest shell sh
        containerd-ref run -d --log-uri file:///var/log/web.log --memory-limit 67108864 IMAGE web
      """)

  @OptionGroup var client: ClientOptions
  @OptionGroup(title: "What happens to the container") var life: LifeOptions
  @OptionGroup(title: "The program") var program: ProgramOptions
  @OptionGroup(title: "What it may do and use") var limits: LimitOptions
  @OptionGroup(title: "Where --pull pulls from") var registries: RegistryOptions
  @Argument(help: "The image, as \"images\" shows it.")
  var image: String
  @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("The container's name, then the command.", valueName: "id, command"))
  var idAndCommand: [String] = []

  struct LifeOptions: ParsableArguments {
    @Flag(help: "Remove the container when its program has ended; not with --detach.")
    var rm = false
    @Flag(name: .shortAndLong, help: "Leave the container running. Its output is dropped unless --log-uri says where to.")
    var detach = false
    @Flag(help: "Pull the image first if it is not here.")
    var pull = false
    @Option(help: ArgumentHelp("Where output goes instead of here: file:///PATH, or what else the shim knows.", valueName: "uri"))
    var logUri: String?
    @Option(help: ArgumentHelp("Directory for the FIFOs of input and output (default: fifo beside the socket).", valueName: "path"))
    var fifoDir: String?
    @Option(help: ArgumentHelp("The runtime.", valueName: "name"))
    var runtime = "io.containerd.runc.v2"
    @OptionGroup var snapshots: SnapshotterOption
    @Option(help: ArgumentHelp("A label for the container, and an annotation in the runtime's spec; may be repeated.", valueName: "KEY=VALUE"))
    var label: [String] = []
    @Option(help: ArgumentHelp("An annotation in the runtime's spec; may be repeated.", valueName: "KEY=VALUE"))
    var annotation: [String] = []
    @Flag(help: "Print id and pid of a detached container as JSON.")
    var json = false
  }

  struct ProgramOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Give the program a terminal.")
    var tty = false
    @Option(name: .shortAndLong, help: ArgumentHelp("Set a variable, or take one away with a bare KEY; may be repeated.", valueName: "KEY=VALUE"))
    var env: [String] = []
    @Option(help: ArgumentHelp("Working directory instead of the image's.", valueName: "path"))
    var cwd: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("Who runs it instead of the image's user: names of the image, or numbers.", valueName: "USER[:GROUP]"))
    var user: String?
    @Option(help: ArgumentHelp("A mount, like type=bind,src=/tmp,dst=/host,options=rbind:ro; may be repeated.", valueName: "fields"))
    var mount: [String] = []
    @Flag(help: "Make the root file system read-only.")
    var readOnly = false
    @Flag(help: "Use the machine's network.")
    var netHost = false
    @Option(help: ArgumentHelp("Join a namespace that exists, like network:/run/netns/blue; may be repeated.", valueName: "TYPE:PATH"))
    var withNs: [String] = []
  }

  struct LimitOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Most memory it may use.", valueName: "bytes"))
    var memoryLimit: Int64?
    @Option(help: ArgumentHelp("Most processors' worth of time, like 0.5.", valueName: "number"))
    var cpus: Double?
    @Option(help: ArgumentHelp("Its weight when processors are short.", valueName: "number"))
    var cpuShares: UInt64 = 1024
    @Option(help: ArgumentHelp("A further capability, like CAP_SYS_ADMIN; may be repeated.", valueName: "name"))
    var capAdd: [String] = []
    @Option(help: ArgumentHelp("A capability less; may be repeated.", valueName: "name"))
    var capDrop: [String] = []
    @Flag(help: "Let programs gain privileges through set-user-id files.")
    var allowNewPrivs = false
    @Flag(help: "Everything that this program itself may do, and all devices.")
    var privileged = false
  }

  func validate() throws {
    if image.hasPrefix("-") { throw ValidationError("unknown option \"\(image)\"; options come before IMAGE, see --help") }
    if idAndCommand.isEmpty { throw ValidationError("a name for the container is missing: run IMAGE ID [COMMAND …]") }
    if idAndCommand[0].hasPrefix("-") { throw ValidationError("options come before IMAGE: \"\(idAndCommand[0])\" stands where the container's name is due") }
    if life.rm && life.detach { throw ValidationError("--rm and --detach exclude each other") }
    if life.json && !life.detach { throw ValidationError("--json is for --detach: in the foreground the output is the program's") }
    if let uri = life.logUri, uri.contains("://") == false, uri.hasPrefix("/") == false {
      throw ValidationError("--log-uri \"\(uri)\" is neither a URI nor an absolute path")
    }
    if program.tty && !life.detach && !Terminal.isTerminal(0) { throw ValidationError("--tty needs a terminal on standard input") }
    if program.tty && life.logUri != nil && !life.detach { throw ValidationError("--log-uri takes the output away: with --tty it needs --detach") }
  }

  func run() async throws {
    let run = try ContainerRun(self)
    let status = try await SignalForwarder.serving { [client] signals in
      try await client.connect { try await run.perform($0, signals) }
    }
    if status != 0 { throw ExitCode(Int32(bitPattern: status)) }
  }

  var id: String { idAndCommand[0] }
  /// `--` is the user's way to say that options are over, not a part of the command.
  var command: [String] { Array(idAndCommand.dropFirst().first == "--" ? idAndCommand.dropFirst(2) : idAndCommand.dropFirst()) }
}

/// `KEY=VALUE` options as a dictionary.
func pairs(_ texts: [String], _ option: String) throws(ContainerdError) -> [String: String] {
  var pairs: [String: String] = [:]
  for text in texts {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let key = parts.first, !key.isEmpty else { throw .invalidArgument("\(option) \"\(text)\": KEY=VALUE is needed") }
    pairs[key] = parts.count == 2 ? parts[1] : ""
  }
  return pairs
}
