/// `google.protobuf.Any`.
public struct WireAny: WireMessage {
  public var typeURL: String = ""
  public var value: [UInt8] = []

  public init() {}
  public init(typeURL: String, value: [UInt8] = []) {
    self.typeURL = typeURL
    self.value = value
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&typeURL)
    case 2: field.set(&value)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, typeURL)
    writer.data(2, value)
  }
}

/// `google.protobuf.Timestamp`.
public struct Timestamp: WireMessage {
  public var seconds: Int64 = 0
  public var nanos: Int32 = 0

  public init() {}
  public init(seconds: Int64, nanos: Int32 = 0) {
    self.seconds = seconds
    self.nanos = nanos
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&seconds)
    case 2: field.set(&nanos)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.signed(1, seconds)
    writer.signed(2, Int64(nanos))
  }
}

/// `containerd.types.Mount`.
public struct Mount: WireMessage {
  public var type: String = ""
  public var source: String = ""
  public var target: String = ""
  public var options: [String] = []

  public init() {}
  public init(type: String, source: String = "", target: String = "", options: [String] = []) {
    self.type = type
    self.source = source
    self.target = target
    self.options = options
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&type)
    case 2: try field.set(&source)
    case 3: try field.set(&target)
    case 4: try field.append(to: &options)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, type)
    writer.string(2, source)
    writer.string(3, target)
    writer.strings(4, options)
  }
}
