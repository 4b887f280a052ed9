import ContainerdAPI
import Foundation
import Protocols
import SwiftProtobuf
import WireMapping

extension EventEnvelope {
  func wire() throws -> Containerd_Types_Envelope {
    let payload = try event.wire()
    return .with {
      $0.timestamp = timestamp.wire
      $0.namespace = namespace
      $0.topic = topic
      $0.event = payload
    }
  }
}

extension Event {
  /// The event as containerd's message, packed with its bare type name.
  func wire() throws -> Google_Protobuf_Any {
    if case .other(_, let value) = self { return value.wire }
    return try .bare(message)
  }

  private var message: any Message {
    switch self {
    case .namespaceCreate(let name, let labels):
      Containerd_Events_NamespaceCreate.with { ($0.name, $0.labels) = (name, labels) }
    case .namespaceUpdate(let name, let labels):
      Containerd_Events_NamespaceUpdate.with { ($0.name, $0.labels) = (name, labels) }
    case .namespaceDelete(let name):
      Containerd_Events_NamespaceDelete.with { $0.name = name }
    case .imageCreate(let name, let labels):
      Containerd_Services_Images_V1_ImageCreate.with { ($0.name, $0.labels) = (name, labels) }
    case .imageUpdate(let name, let labels):
      Containerd_Services_Images_V1_ImageUpdate.with { ($0.name, $0.labels) = (name, labels) }
    case .imageDelete(let name):
      Containerd_Services_Images_V1_ImageDelete.with { $0.name = name }
    case .contentCreate(let digest, let size, let mediaType):
      Containerd_Events_ContentCreate.with { ($0.digest, $0.size, $0.mediaType) = (digest.description, size, mediaType) }
    case .contentDelete(let digest):
      Containerd_Events_ContentDelete.with { $0.digest = digest.description }
    case .snapshotPrepare(let key, let parent, let snapshotter):
      Containerd_Events_SnapshotPrepare.with { ($0.key, $0.parent, $0.snapshotter) = (key, parent, snapshotter) }
    case .snapshotCommit(let key, let name, let snapshotter):
      Containerd_Events_SnapshotCommit.with { ($0.key, $0.name, $0.snapshotter) = (key, name, snapshotter) }
    case .snapshotRemove(let key, let snapshotter):
      Containerd_Events_SnapshotRemove.with { ($0.key, $0.snapshotter) = (key, snapshotter) }
    case .containerCreate(let id, let image, let runtime, let options):
      Containerd_Events_ContainerCreate.with {
        ($0.id, $0.image, $0.runtime.name) = (id, image, runtime)
        if let options { $0.runtime.options = options.wire }
      }
    case .containerUpdate(let id, let image, let labels, let snapshotKey):
      Containerd_Events_ContainerUpdate.with { ($0.id, $0.image, $0.labels, $0.snapshotKey) = (id, image, labels, snapshotKey) }
    case .containerDelete(let id):
      Containerd_Events_ContainerDelete.with { $0.id = id }
    case .taskExit(let container, let id, let exit):
      Containerd_Events_TaskExit.with {
        ($0.containerID, $0.id, $0.pid, $0.exitStatus, $0.exitedAt) = (container, id, exit.pid, exit.code, exit.exitedAt.wire)
      }
    case .taskDelete(let container, let id, let exit):
      Containerd_Events_TaskDelete.with {
        ($0.containerID, $0.id, $0.pid, $0.exitStatus, $0.exitedAt) = (container, id, exit.pid, exit.code, exit.exitedAt.wire)
      }
    case .other: Google_Protobuf_Empty()
    }
  }
}

/// An envelope that filters can ask: `namespace`, `topic`, and `event.FIELD…` of the messages that we know.
struct FilterableEnvelope: Filterable {
  let envelope: Containerd_Types_Envelope

  private static let known: [String: any Message.Type] = {
    let types: [any Message.Type] = [
      Containerd_Events_NamespaceCreate.self, Containerd_Events_NamespaceUpdate.self, Containerd_Events_NamespaceDelete.self,
      Containerd_Services_Images_V1_ImageCreate.self, Containerd_Services_Images_V1_ImageUpdate.self,
      Containerd_Services_Images_V1_ImageDelete.self, Containerd_Events_ContentCreate.self, Containerd_Events_ContentDelete.self,
      Containerd_Events_SnapshotPrepare.self, Containerd_Events_SnapshotCommit.self, Containerd_Events_SnapshotRemove.self,
      Containerd_Events_ContainerCreate.self, Containerd_Events_ContainerUpdate.self, Containerd_Events_ContainerDelete.self,
      Containerd_Events_TaskCreate.self, Containerd_Events_TaskStart.self, Containerd_Events_TaskDelete.self, Containerd_Events_TaskExit.self,
      Containerd_Events_TaskOOM.self, Containerd_Events_TaskExecAdded.self, Containerd_Events_TaskExecStarted.self,
      Containerd_Events_TaskPaused.self, Containerd_Events_TaskResumed.self, Containerd_Events_TaskCheckpointed.self,
    ]
    return Dictionary(uniqueKeysWithValues: types.map { ($0.protoMessageName, $0) })
  }()

  func filterValue(_ path: [String]) -> String? {
    switch path.first {
    case "namespace" where path.count == 1: envelope.namespace
    case "topic" where path.count == 1: envelope.topic
    case "event": field(path.dropFirst())
    default: nil
    }
  }

  /// Fields are read through the message's JSON form. A message that does not decode has no fields.
  private func field(_ path: ArraySlice<String>) -> String? {
    guard let type = Self.known[envelope.event.bareTypeName], var message = try? type.init(serializedBytes: envelope.event.value) else { return nil }
    // An Any of a type that we do not know has no JSON form, and no field to ask for either.
    if var create = message as? Containerd_Events_ContainerCreate {
      create.runtime.clearOptions()
      message = create
    }
    var options = JSONEncodingOptions()
    options.preserveProtoFieldNames = true
    guard let json = try? message.jsonString(options: options), let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) else { return nil }
    var current: Any? = object
    var rest = path
    while let name = rest.first, let map = current as? [String: Any] {
      // Label keys contain dots: what is left of the path may be one key.
      if let value = map[rest.joined(separator: ".")] { return "\(value)" }
      current = map[name]
      rest = rest.dropFirst()
    }
    return rest.isEmpty ? current.map { "\($0)" } : nil
  }
}
