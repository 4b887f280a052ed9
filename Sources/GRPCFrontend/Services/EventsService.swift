import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct EventsService: Containerd_Services_Events_V1_Events.SimpleServiceProtocol {
  let exchange: any EventExchange

  func publish(request: Containerd_Services_Events_V1_PublishRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    let scope = try RequestScope.required()
    try publish(namespace: scope.namespace, topic: request.topic, event: request.event, at: .now())
    return Google_Protobuf_Empty()
  }

  func forward(request: Containerd_Services_Events_V1_ForwardRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    let envelope = request.envelope
    try publish(namespace: envelope.namespace, topic: envelope.topic, event: envelope.event, at: Timestamp(wire: envelope.timestamp))
    return Google_Protobuf_Empty()
  }

  private func publish(namespace: String, topic: String, event: Google_Protobuf_Any, at time: Timestamp) throws {
    try Identifiers.validate(namespace, kind: "namespace")
    let parts = topic.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count < 2 || !parts[0].isEmpty { throw ContainerdError.invalidArgument("topic \"\(topic)\" must start with '/'") }
    for part in parts.dropFirst() { try Identifiers.validate(String(part), kind: "topic component") }
    exchange.publish(EventEnvelope(timestamp: time, namespace: namespace, event: .other(topic: topic, TypedValue(wire: event))))
  }

  func subscribe(
    request: Containerd_Services_Events_V1_SubscribeRequest, response: RPCWriter<Containerd_Types_Envelope>, context: ServerContext
  ) async throws {
    let filters = try FilterSet(parsing: request.filters)
    let events = exchange.subscribe()
    try await untilClientLeaves(context) {
      for await envelope in events {
        let wire = try envelope.wire()
        if filters.matches(FilterableEnvelope(envelope: wire)) { try await response.write(wire) }
      }
      throw ContainerdError(.resourceExhausted, "event subscriber fell too far behind")
    }
  }
}
