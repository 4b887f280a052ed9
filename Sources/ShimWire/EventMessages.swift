/// An event with its time, namespace and topic.
public struct Envelope: WireMessage {
  public var timestamp: Timestamp?
  public var namespace: String = ""
  public var topic: String = ""
  public var event: WireAny?

  public init() {}
  public init(timestamp: Timestamp?, namespace: String = "", topic: String = "", event: WireAny? = nil) {
    self.timestamp = timestamp
    self.namespace = namespace
    self.topic = topic
    self.event = event
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&timestamp)
    case 2: try field.set(&namespace)
    case 3: try field.set(&topic)
    case 4: try field.set(&event)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.message(1, timestamp)
    writer.string(2, namespace)
    writer.string(3, topic)
    writer.message(4, event)
  }
}

/// Hand an event to the daemon.
public struct ForwardRequest: WireMessage {
  public var envelope: Envelope?

  public init() {}
  public init(envelope: Envelope?) {
    self.envelope = envelope
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&envelope)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.message(1, envelope)
  }
}
