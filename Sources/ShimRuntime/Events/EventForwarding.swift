import ContainerdAPI
import Protocols
import SwiftProtobuf

/// `containerd.services.events.ttrpc.v1.Events/Forward`: how shims tell the daemon what happened.
///
/// Envelopes go on unread, in the order each shim sends them. Only the end of an init is looked at, so that it stays known if the
/// shim dies before the task is deleted.
struct EventForwarding: Sendable {
  static let path = "containerd.services.events.ttrpc.v1.Events/Forward"

  let events: any EventPublisher
  let registry: TaskRegistry

  func forward(_ call: TTRPCServer.Call) throws -> [UInt8] {
    let envelope: EventEnvelope
    do {
      let request = try Containerd_Services_Events_Ttrpc_V1_ForwardRequest(serializedBytes: call.payload)
      envelope = try Self.envelope(request.envelope)
    } catch let error as ContainerdError {
      throw error
    } catch {
      throw ContainerdError.invalidArgument("event cannot be read: \(error)")
    }
    noteExit(envelope)
    events.publish(envelope)
    return []
  }

  static func envelope(_ wire: Containerd_Types_Envelope) throws(ContainerdError) -> EventEnvelope {
    try Identifiers.validate(wire.namespace, kind: "namespace of event")
    let parts = wire.topic.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count >= 2, parts[0].isEmpty, !parts.dropFirst().contains("") else {
      throw .invalidArgument("topic \"\(wire.topic.prefix(256))\" of an event must look like /tasks/exit")
    }
    guard wire.hasEvent else { throw .invalidArgument("event \(wire.topic) without a value") }
    return EventEnvelope(
      timestamp: wire.hasTimestamp ? Timestamp(wire.timestamp) : .now(), namespace: wire.namespace,
      event: .other(topic: wire.topic, TypedValue(bare: wire.event)))
  }

  private func noteExit(_ envelope: EventEnvelope) {
    guard case .other("/tasks/exit", let value) = envelope.event, value.typeURL == "containerd.events.TaskExit",
      let exit = try? Containerd_Events_TaskExit(serializedBytes: value.value), exit.id == exit.containerID
    else { return }  // Not an init's end, or not one that we can read: then nothing is learnt from it.
    let task = registry.task(TaskKey(namespace: envelope.namespace, id: exit.containerID))
    task?.noteExit(ExitStatus(pid: exit.pid, code: exit.exitStatus, exitedAt: Timestamp(exit.exitedAt)), published: true)
  }
}
