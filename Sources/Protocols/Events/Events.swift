/// # Events
///
/// What happened, told after it happened: an event about a metadata change is published when its transaction is durable, never
/// inside it. A subscription is a live tail; nothing is replayed.
public enum Event: Hashable, Sendable {
  case namespaceCreate(name: String, labels: Labels)
  case namespaceUpdate(name: String, labels: Labels)
  case namespaceDelete(name: String)
  case imageCreate(name: String, labels: Labels)
  case imageUpdate(name: String, labels: Labels)
  case imageDelete(name: String)
  case contentCreate(digest: Digest, size: Int64, mediaType: String)
  case contentDelete(digest: Digest)
  case snapshotPrepare(key: String, parent: String, snapshotter: String)
  case snapshotCommit(key: String, name: String, snapshotter: String)
  case snapshotRemove(key: String, snapshotter: String)
  case containerCreate(id: String, image: String, runtime: String, options: TypedValue?)
  case containerUpdate(id: String, image: String, labels: Labels, snapshotKey: String)
  case containerDelete(id: String)
  case taskExit(container: String, id: String, exit: ExitStatus)
  case taskDelete(container: String, id: String, exit: ExitStatus)
  /// Forwarded by a shim or published by a client: carried on unread.
  case other(topic: String, TypedValue)

  public var topic: String {
    switch self {
    case .namespaceCreate: "/namespaces/create"
    case .namespaceUpdate: "/namespaces/update"
    case .namespaceDelete: "/namespaces/delete"
    case .imageCreate: "/images/create"
    case .imageUpdate: "/images/update"
    case .imageDelete: "/images/delete"
    case .contentCreate: "/content/create"
    case .contentDelete: "/content/delete"
    case .snapshotPrepare: "/snapshot/prepare"
    case .snapshotCommit: "/snapshot/commit"
    case .snapshotRemove: "/snapshot/remove"
    case .containerCreate: "/containers/create"
    case .containerUpdate: "/containers/update"
    case .containerDelete: "/containers/delete"
    case .taskExit: "/tasks/exit"
    case .taskDelete: "/tasks/delete"
    case .other(let topic, _): topic
    }
  }
}

public struct EventEnvelope: Hashable, Sendable {
  public var timestamp: Timestamp
  public var namespace: String
  public var event: Event
  public var topic: String { event.topic }
  public init(timestamp: Timestamp = .now(), namespace: String, event: Event) {
    self.timestamp = timestamp
    self.namespace = namespace
    self.event = event
  }
}

public protocol EventPublisher: Sendable {
  /// Never blocks on a slow subscriber and never fails the caller's operation.
  func publish(_ envelope: EventEnvelope)
}

public protocol EventExchange: EventPublisher {
  /// Envelopes from now on, in the order of publication, until the task reading it is cancelled. A subscriber that falls more
  /// than 16 384 envelopes behind is ended, so that it cannot exhaust the daemon.
  func subscribe() -> AsyncStream<EventEnvelope>
}
