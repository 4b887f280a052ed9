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
  static func probe(_ path: String) throws {
    guard let refusal = try SocketProbe.refusal(path) else { return }
    if refusal.errno == EACCES { throw ContainerdError(.permissionDenied, "socket \(path): not allowed to connect (are you root?)") }
    throw ContainerdError.unavailable(
      "no daemon at \(path): \(refusal.text). Start one with \"containerd-ref serve\", or name its socket with --address")
  }
}
