import ArgumentParser
import ContainerdClient
import GRPCCore
import Protocols

/// Options of commands that talk to a running daemon.
struct ClientOptions: ParsableArguments {
  @Option(name: .shortAndLong, help: "The daemon's socket.")
  var address = "/run/containerd-ref/containerd.sock"
  @Option(name: .shortAndLong, help: "The namespace to work in.")
  var namespace = "default"

  func connect<Value: Sendable>(_ body: @Sendable (ContainerdClient) async throws -> Value) async throws -> Value {
    do {
      return try await ContainerdClient.with(socket: address, namespace: namespace, body)
    } catch let error as ContainerdError where error.code == .unavailable && error.message.contains(address) {
      throw ContainerdError.unavailable("\(address): \(error.message) (is the daemon running?)")
    }
  }
}
