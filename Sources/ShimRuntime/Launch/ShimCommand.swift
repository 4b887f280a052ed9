import CLinux
import ContainerdAPI
import Protocols
import SwiftProtobuf
import SystemKit

/// The command line of a shim: `start` gives the address of a server that has been left running, `delete` takes away what a
/// dead shim has left. Blocking.
struct ShimCommand: Sendable {
  var binary: String
  var bundle: Bundle
  var configuration: ShimRuntime.Configuration

  /// - Parameter options: the runtime's options, on standard input as an `Any`. Nothing at all is accepted by every generation.
  func start(options: TypedValue?) throws -> ShimEndpoint {
    var input: [UInt8] = []
    if let options {
      var any = Google_Protobuf_Any()
      any.typeURL = options.typeURL
      any.value = Bytes.data(options.value)
      input = try any.serializedBytes()
    }
    let result = try run(arguments: [], action: "start", input: input)
    guard result.status == 0 else { throw failure("start", result) }
    do {
      return try LaunchReply.parse(result.output)
    } catch {
      throw ContainerdError(error.code, "\(binary): \(error.message)\(result.complaint)")
    }
  }

  /// How the container ended, as far as the shim's program can tell.
  func delete() throws -> ExitStatus {
    let result = try run(arguments: ["-bundle", bundle.path], action: "delete", input: [])
    guard result.status == 0 else { throw failure("delete", result) }
    do {
      let response = try Containerd_Task_V2_DeleteResponse(serializedBytes: result.output)
      let exitedAt = response.hasExitedAt ? Timestamp(response.exitedAt) : .now()
      return ExitStatus(pid: response.pid, code: response.exitStatus, exitedAt: exitedAt)
    } catch {
      throw ContainerdError.internalError("\(binary) delete printed no DeleteResponse: \(error)\(result.complaint)")
    }
  }

  func arguments(_ more: [String], action: String) -> [String] {
    let debug = configuration.debug ? ["-debug"] : []
    return [
      binary, "-namespace", bundle.key.namespace, "-address", configuration.address, "-publish-binary", configuration.executable, "-id",
      bundle.key.id,
    ] + more + debug + [action]
  }

  func environment(searchPath: String) -> [String] {
    [
      "TTRPC_ADDRESS=\(configuration.eventsAddress)", "GRPC_ADDRESS=\(configuration.address)", "NAMESPACE=\(bundle.key.namespace)",
      "MAX_SHIM_VERSION=2", "GOMAXPROCS=2", "PATH=\(searchPath)",
    ]
  }

  private func run(arguments more: [String], action: String, input: [UInt8]) throws -> ChildProcess.Result {
    try ChildProcess(
      arguments: arguments(more, action: action), environment: environment(searchPath: SearchPath.current), directory: bundle.path, input: input
    ).run(timeout: configuration.commandTimeout)
  }

  private func failure(_ action: String, _ result: ChildProcess.Result) -> ContainerdError {
    let said = String(decoding: result.output.prefix(2048), as: UTF8.self).trimmed
    return .init(.unknown, "\(binary) \(action) ended with status \(result.status)\(said.isEmpty ? "" : ": \(said)")\(result.complaint)")
  }
}

enum SearchPath {
  private static let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  /// The daemon's PATH. A daemon started with none still finds the system's programs, as does the shim that it starts.
  static var current: String {
    guard let value = getenv("PATH"), value.pointee != 0 else { return usual }
    return String(cString: value)
  }
}
