import ConformanceSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf
import SystemKit

/// A shim's program without a container, and the daemon's side of it.
public struct ShimSubject: Sendable {
  public let scene: ShimScene
  /// Runs the shim's program.
  public var run: @Sendable (ShimCommand) async throws -> ShimCommand.Result
  /// Connects to the socket that `start` has named.
  public var connect: @Sendable (_ socket: String) async throws -> any ShimCalls
  /// The events of the shims, in the order in which they came.
  public var events: @Sendable () -> [ShimEvent]

  public init(scene: ShimScene) {
    self.scene = scene
    run = { try await $0.run() }
    connect = { try await TTRPCCaller(path: $0) }
    events = { scene.listener.received }
  }

  // MARK: steps

  /// What a container runs, and how.
  struct Program {
    var script = "sleep 1000"
    var terminal = false
    var io = TaskIO()
    /// Joined to the specification's `linux` section, with a comma before.
    var linux = ""
    init(_ script: String = "sleep 1000", terminal: Bool = false, io: TaskIO = TaskIO(), linux: String = "") {
      (self.script, self.terminal, self.io, self.linux) = (script, terminal, io, linux)
    }
    var process: String {
      let text = script.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      return #"{"terminal":\#(terminal),"user":{"uid":0,"gid":0},"args":["/bin/sh","-c","\#(text)"],"env":["PATH=/bin"],"cwd":"/"}"#
    }
  }

  func configuration(_ id: String, _ program: Program) -> String {
    """
    {"ociVersion":"1.0.2","process":\(program.process),"root":{"path":"rootfs"},"hostname":"conformance",
     "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
               {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]},
               {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}],
     "linux":{"cgroupsPath":"/\(scene.cgroup(id))","namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}]\(program.linux)}}
    """
  }

  func command(_ id: String, bundle: String, _ action: [String]) async throws -> ShimCommand.Result {
    let arguments = scene.arguments(id) + action
    scene.note(
      "\(action.last ?? "") of the shim of \(id)", "(cd \(bundle) && TTRPC_ADDRESS=\(scene.listener.path) \(arguments.joined(separator: " ")))")
    return try await run(ShimCommand(arguments: arguments, environment: scene.commandEnvironment, directory: bundle))
  }

  /// Starts a shim for a bundle that is there, and connects.
  func startShim(_ id: String, bundle: String) async throws -> (socket: String, calls: any ShimCalls) {
    let result = try await command(id, bundle: bundle, ["start"])
    try expect(result.status == 0, "start of the shim exited with \(result.status): \(result.text) \(result.errors)")
    let socket = try ShimAddress.socket(in: result.output)
    scene.remember(socket: socket)
    return (socket, try await open(socket))
  }

  func open(_ socket: String) async throws -> any ShimCalls {
    let calls = try await connect(socket)
    scene.remember(calls)
    return calls
  }

  /// A shim with a bundle, and no container yet.
  func shim(_ id: String = "c", _ program: Program = Program(), configuration: String? = nil) async throws -> ShimTask {
    let bundle = try await scene.makeBundle(id, configuration: configuration ?? self.configuration(id, program))
    let (socket, calls) = try await startShim(id, bundle: bundle)
    return ShimTask(subject: self, id: id, bundle: bundle, socket: socket, calls: calls, program: program)
  }

  func created(_ id: String = "c", _ program: Program = Program()) async throws -> ShimTask {
    let task = try await shim(id, program)
    _ = try await task.create()
    return task
  }

  func started(_ id: String = "c", _ program: Program = Program()) async throws -> ShimTask {
    let task = try await created(id, program)
    _ = try await task.start()
    return task
  }

  // MARK: looking

  /// The events of a container, once there are the wanted ones.
  func events(of id: String, until topic: String, process: String? = nil) async throws -> [ShimEvent] {
    do {
      return try await eventually("the event") {
        let events = events().filter { $0.container == id }
        return events.contains { $0.topic == topic && (process == nil || $0.process == process) } ? events : nil
      }
    } catch is Mismatch {
      let what = process.map { " of \($0)" } ?? ""
      throw Mismatch(description: "the event \(topic)\(what) did not come; there came \(events().filter { $0.container == id })")
    }
  }
}

/// The contracts of a shim: its program, its task service, its events.
public enum ShimSuite {
  public static let cases: [ContractCase<ShimSubject>] = program + events + ends + streams + logging + sharing + calls
}

/// What `start` prints, in either form.
enum ShimAddress {
  static func socket(in output: [UInt8]) throws -> String {
    var text = String(decoding: output, as: UTF8.self)
    while text.last?.isWhitespace == true { text.removeLast() }
    var address = text
    if text.hasPrefix("{") {
      guard let found = text.firstMatch(of: #/"address"\s*:\s*"([^"]*)"/#) else {
        throw Mismatch(description: "start printed a document without an address: \(text)")
      }
      address = String(found.1)
    }
    let path = address.hasPrefix("unix://") ? String(address.dropFirst(7)) : address
    try expect(path.hasPrefix("/"), "start printed no address of a unix socket but \"\(text.prefix(300))\"")
    return path
  }
}
