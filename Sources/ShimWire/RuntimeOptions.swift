/// `containerd.runc.v1.Options`: what a client says about the runtime of one container.
public struct RuntimeOptions: WireMessage {
  public static let typeURL = "containerd.runc.v1.Options"

  public var noPivotRoot: Bool = false
  public var noNewKeyring: Bool = false
  public var shimCgroup: String = ""
  public var ioUID: UInt32 = 0
  public var ioGID: UInt32 = 0
  public var binaryName: String = ""
  public var root: String = ""
  public var systemdCgroup: Bool = false

  public init() {}

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&noPivotRoot)
    case 2: field.set(&noNewKeyring)
    case 3: try field.set(&shimCgroup)
    case 4: field.set(&ioUID)
    case 5: field.set(&ioGID)
    case 6: try field.set(&binaryName)
    case 7: try field.set(&root)
    case 9: field.set(&systemdCgroup)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.bool(1, noPivotRoot)
    writer.bool(2, noNewKeyring)
    writer.string(3, shimCgroup)
    writer.number(4, UInt64(ioUID))
    writer.number(5, UInt64(ioGID))
    writer.string(6, binaryName)
    writer.string(7, root)
    writer.bool(9, systemdCgroup)
  }
}

/// `containerd.runtime.bootstrap.v1.BootstrapParams`: what newer daemons write to the standard input of `start`.
public struct BootstrapParams: WireMessage {
  public var instanceID: String = ""
  public var namespace: String = ""
  public var extensions: [BootstrapExtension] = []

  public init() {}

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&instanceID)
    case 2: try field.set(&namespace)
    case 8: try field.append(to: &extensions)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, instanceID)
    writer.string(2, namespace)
    writer.messages(8, extensions)
  }
}

/// `containerd.runtime.bootstrap.v1.Extension`.
public struct BootstrapExtension: WireMessage {
  public var value: WireAny?

  public init() {}
  public init(value: WireAny?) { self.value = value }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    if field.number == 1 { try field.set(&value) }
  }

  public func write(to writer: inout ProtoWriter) { writer.message(1, value) }
}

/// `containerd.types.RuntimeInfo`: the answer of `-info`.
public struct RuntimeInfo: WireMessage {
  public var name: String = ""
  public var version: RuntimeVersion?
  public var options: WireAny?
  public var features: WireAny?

  public init() {}
  public init(name: String, version: RuntimeVersion?, options: WireAny? = nil, features: WireAny? = nil) {
    self.name = name
    self.version = version
    self.options = options
    self.features = features
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&name)
    case 2: try field.set(&version)
    case 3: try field.set(&options)
    case 4: try field.set(&features)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, name)
    writer.message(2, version)
    writer.message(3, options)
    writer.message(4, features)
  }
}

/// `containerd.types.RuntimeVersion`.
public struct RuntimeVersion: WireMessage {
  public var version: String = ""
  public var revision: String = ""

  public init() {}
  public init(version: String, revision: String = "") {
    self.version = version
    self.revision = revision
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&version)
    case 2: try field.set(&revision)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, version)
    writer.string(2, revision)
  }
}
