import ArgumentParser
import EmbeddedRegistry
import Foundation
import Logging
import Protocols

struct RegistryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "registry", abstract: "A registry on loopback, for demonstrations and tests.", subcommands: [RegistryServeCommand.self])
}

struct RegistryServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Serve a directory as a registry, until SIGTERM or SIGINT.",
    discussion: """
      Prints the address that it listens on. Push and pull with anything that speaks to registries over plain HTTP:

        containerd-ref registry serve --root /tmp/registry --listen 127.0.0.1:5000
        skopeo copy --dest-tls-verify=false oci:image docker://127.0.0.1:5000/demo:latest
      """)

  @Option(help: "Directory for what is pushed.")
  var root: String
  @Option(help: "Loopback address to listen on; port 0 takes any that is free.")
  var listen = "127.0.0.1:5000"
  @Option(help: "Most bytes per second of one answer.")
  var limitRate: Int64?
  @Option(help: ArgumentHelp("Most bytes per second of all answers together.", valueName: "bytes-per-second"))
  var throttle: Int64?
  @Option(help: ArgumentHelp("Wait so long before each answer.", valueName: "milliseconds"))
  var delay: Int?
  @Option(help: ArgumentHelp("Close the connection after so many bytes of each blob, so that pulls have to resume.", valueName: "bytes"))
  var cutAfter: Int64?
  @Option(help: "File to append a line to for every request that has been answered.")
  var accessLog: String?
  @Option(name: .shortAndLong, help: "trace, debug, info, warn or error.")
  var logLevel = "info"

  func validate() throws {
    if let limitRate, limitRate <= 0 { throw ValidationError("--limit-rate \(limitRate) must be more than 0") }
    if let throttle, throttle <= 0 { throw ValidationError("--throttle \(throttle) must be more than 0") }
    if let delay, delay < 0 { throw ValidationError("--delay \(delay) must not be less than 0") }
    if let cutAfter, cutAfter <= 0 { throw ValidationError("--cut-after \(cutAfter) must be more than 0: nothing would ever arrive") }
    if LogLevel.parse(logLevel) == nil { throw ValidationError("--log-level \"\(logLevel)\" is none of \(LogLevel.names)") }
    if splitAddress() == nil { throw ValidationError("--listen \"\(listen)\" must be HOST:PORT") }
  }

  func run() async throws {
    guard let (host, port) = splitAddress() else { throw ValidationError("--listen \"\(listen)\" must be HOST:PORT") }
    var handler = StreamLogHandler.standardError(label: "registry")
    handler.logLevel = LogLevel.parse(logLevel) ?? .info
    let logger = Logger(label: "registry") { [handler] _ in handler }
    let access = try accessLog.map { try AccessLogFile($0) }
    let signals = StopSignals()
    let registry = try await EmbeddedRegistry(
      .init(root: root, host: host, port: port, bytesPerSecond: limitRate, logLimit: 1) { record in
        logger.debug("\(record)")
        access?.append(record)
      })
    registry.faults.limit(bytesPerSecond: throttle)
    if let delay { registry.faults.add(.delay(.milliseconds(delay))) }
    if let cutAfter { registry.faults.add(.cut(afterBytes: cutAfter), to: .blobs, method: "GET") }
    print(registry.address)
    fflush(nil)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await registry.run() }
      group.addTask { await signals.wait() }
      try await group.next()
      group.cancelAll()
    }
  }

  private func splitAddress() -> (host: String, port: Int)? {
    guard let colon = listen.lastIndex(of: ":"), let port = UInt16(listen[listen.index(after: colon)...]) else { return nil }
    let host = listen[..<colon].trimmingCharacters(in: ["[", "]"])
    return host.isEmpty ? nil : (host, Int(port))
  }
}

/// Lines for other programs to read; each is one write, so that they never mix.
private final class AccessLogFile: Sendable {
  private let file: FileHandle

  init(_ path: String) throws {
    let fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    if fd < 0 { throw ContainerdError.unavailable("access log \(path): \(String(cString: strerror(errno)))") }
    file = FileHandle(fileDescriptor: fd, closeOnDealloc: true)
  }

  func append(_ record: AccessRecord) {
    do { try file.write(contentsOf: Data("\(record)\n".utf8)) } catch { Logger(label: "registry").error("access log: \(error)") }
  }
}
