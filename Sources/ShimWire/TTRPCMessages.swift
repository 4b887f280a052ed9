/// One entry of a request's metadata.
public struct KeyValue: WireMessage {
  public var key: String = ""
  public var value: String = ""

  public init() {}
  public init(key: String, value: String = "") {
    self.key = key
    self.value = value
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&key)
    case 2: try field.set(&value)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, key)
    writer.string(2, value)
  }
}

/// A call.
public struct TTRPCRequest: WireMessage {
  public var service: String = ""
  public var method: String = ""
  public var payload: [UInt8] = []
  public var timeoutNano: Int64 = 0
  public var metadata: [KeyValue] = []

  public init() {}
  public init(service: String, method: String = "", payload: [UInt8] = [], timeoutNano: Int64 = 0, metadata: [KeyValue] = []) {
    self.service = service
    self.method = method
    self.payload = payload
    self.timeoutNano = timeoutNano
    self.metadata = metadata
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&service)
    case 2: try field.set(&method)
    case 3: field.set(&payload)
    case 4: field.set(&timeoutNano)
    case 5: try field.append(to: &metadata)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, service)
    writer.string(2, method)
    writer.data(3, payload)
    writer.signed(4, timeoutNano)
    writer.messages(5, metadata)
  }
}

/// `google.rpc.Status`.
public struct Status: WireMessage {
  public var code: Int32 = 0
  public var message: String = ""
  public var details: [WireAny] = []

  public init() {}
  public init(code: Int32, message: String = "", details: [WireAny] = []) {
    self.code = code
    self.message = message
    self.details = details
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&code)
    case 2: try field.set(&message)
    case 3: try field.append(to: &details)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.signed(1, Int64(code))
    writer.string(2, message)
    writer.messages(3, details)
  }
}

/// What came of a call.
public struct TTRPCResponse: WireMessage {
  public var status: Status?
  public var payload: [UInt8] = []

  public init() {}
  public init(status: Status?, payload: [UInt8] = []) {
    self.status = status
    self.payload = payload
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&status)
    case 2: field.set(&payload)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.message(1, status)
    writer.data(2, payload)
  }
}
