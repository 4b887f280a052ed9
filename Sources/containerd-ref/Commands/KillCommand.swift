import ArgumentParser
import ContainerdClient
import Protocols

struct KillCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kill", abstract: "Send a signal to a container's program.",
    discussion: """
      Without --signal it is the signal with which the image says that its program wants to be asked to end, or TERM.

        containerd-ref kill hello
        containerd-ref kill --signal KILL hello
      """)

  @OptionGroup var client: ClientOptions
  @Option(name: .shortAndLong, help: "A name like TERM or SIGTERM, or a number.")
  var signal: String?
  @Option(help: ArgumentHelp("Only to this process, made by exec.", valueName: "id"))
  var execId: String?
  @Flag(name: .shortAndLong, help: "To all processes in the container.")
  var all = false
  @Argument(help: "The container.")
  var id: String

  /// Where clients note the image's stop signal.
  static let stopSignalLabel = "io.containerd.image.config.stop-signal"

  func run() async throws {
    let given = try signal.map { try SignalName.number($0) }
    try await client.connect { connection in
      let container = try await connection.containers.get(id)
      let number = try given ?? SignalName.number(container.labels[Self.stopSignalLabel] ?? "TERM")
      do {
        try await connection.tasks.task(id).kill(exec: execId, signal: UInt32(number), all: all)
      } catch let error as ContainerdError where error.code == .notFound {
        throw ContainerdError.failedPrecondition("container \(id) does not run: \(error.message)")
      }
    }
  }
}

/// Signals by name or number.
enum SignalName {
  private static let names: [String: Int32] = [
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13,
    "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25,
    "VTALRM": 26, "PROF": 27, "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
  ]

  static func number(_ text: String) throws(ContainerdError) -> Int32 {
    var name = text.uppercased()
    if name.hasPrefix("SIG") { name.removeFirst(3) }
    if let number = Int32(name), (1...64).contains(number) { return number }
    if let number = names[name] { return number }
    // Real-time signals are counted from either end: RTMIN+3, RTMAX-1.
    let offset = name.dropFirst(5)
    if name.hasPrefix("RTMIN+"), let steps = Int32(offset), (0...30).contains(steps) { return 34 + steps }
    if name.hasPrefix("RTMAX-"), let steps = Int32(offset), (-30...0).contains(steps) { return 64 + steps }
    throw .invalidArgument("\"\(text)\" is not a signal: a name like TERM or a number from 1 to 64 is needed")
  }
}
