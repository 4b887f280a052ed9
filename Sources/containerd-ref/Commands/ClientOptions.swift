import ArgumentParser
import CLinux
import ContainerdClient
import Foundation
import GRPCCore
import Protocols
import SystemKit

/// Options of commands that talk to a running daemon.
struct ClientOptions: ParsableArguments {
  @Option(help: "The daemon's socket; also from $CONTAINERD_ADDRESS.")
  var address = ProcessInfo.processInfo.environment["CONTAINERD_ADDRESS"] ?? "/run/containerd-ref/containerd.sock"
  @Option(name: .shortAndLong, help: "The namespace to work in; also from $CONTAINERD_NAMESPACE.")
  var namespace = ProcessInfo.processInfo.environment["CONTAINERD_NAMESPACE"] ?? "default"

  func connect<Value: Sendable>(_ body: @Sendable (ContainerdClient) async throws -> Value) async throws -> Value {
    try Identifiers.validate(namespace, kind: "namespace")
    try DaemonSocket.probe(address)
    return try await ContainerdClient.with(socket: address, namespace: namespace, body)
  }
}

enum DaemonSocket {
  /// Whether somebody listens, with the kernel's own reason if not: a gRPC client only ever says that it is still trying.
  static func probe(_ path: String) throws {
    func unreachable(_ why: String) -> ContainerdError {
      .unavailable("no daemon at \(path): \(why). Start one with \"containerd-ref serve\", or name its socket with --address")
    }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let capacity = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < capacity else { throw ContainerdError.invalidArgument("socket \(path): the path is longer than \(capacity - 1) bytes") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let descriptor = OwnedFD(adopting: try check("socket", path) { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) })
    let raw = descriptor.raw
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        CLinux.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if result == 0 { return }
    let failure = SystemError.last("connect", path)
    switch failure.errno {
    case ENOENT: throw unreachable("there is no such socket")
    case ECONNREFUSED: throw unreachable("nobody listens")
    case EACCES: throw ContainerdError(.permissionDenied, "socket \(path): not allowed to connect (are you root?)")
    default: throw unreachable(failure.reason)
    }
  }
}
