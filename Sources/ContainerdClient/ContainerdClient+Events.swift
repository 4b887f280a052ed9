import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

extension ContainerdClient {
  /// Hands on what happens from now on, in all namespaces, until the task is cancelled or the daemon ends. Filters as containerd has them, any of them
  /// may match: `topic==/tasks/exit`.
  public func events(_ filters: [String] = [], _ handle: @escaping @Sendable (EventEnvelope) async throws -> Void) async throws {
    let api = Containerd_Services_Events_V1_Events.Client(wrapping: client)
    try await call {
      try await api.subscribe(.with { $0.filters = filters }, metadata: metadata) { response in
        for try await envelope in response.messages {
          try await handle(
            EventEnvelope(
              timestamp: Timestamp(wire: envelope.timestamp), namespace: envelope.namespace,
              event: .other(topic: envelope.topic, TypedValue(wire: envelope.event))))
        }
      }
    }
  }
}
