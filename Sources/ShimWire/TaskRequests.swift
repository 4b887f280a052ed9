/// Make the container of a bundle.
public struct CreateTaskRequest: WireMessage {
  public var id: String = ""
  public var bundle: String = ""
  public var rootfs: [Mount] = []
  public var terminal: Bool = false
  public var stdin: String = ""
  public var stdout: String = ""
  public var stderr: String = ""
  public var checkpoint: String = ""
  public var parentCheckpoint: String = ""
  public var options: WireAny?

  public init() {}
  public init(
    id: String, bundle: String = "", rootfs: [Mount] = [], terminal: Bool = false, stdin: String = "", stdout: String = "", stderr: String = "",
    checkpoint: String = "", parentCheckpoint: String = "", options: WireAny? = nil
  ) {
    self.id = id
    self.bundle = bundle
    self.rootfs = rootfs
    self.terminal = terminal
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.checkpoint = checkpoint
    self.parentCheckpoint = parentCheckpoint
    self.options = options
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&bundle)
    case 3: try field.append(to: &rootfs)
    case 4: field.set(&terminal)
    case 5: try field.set(&stdin)
    case 6: try field.set(&stdout)
    case 7: try field.set(&stderr)
    case 8: try field.set(&checkpoint)
    case 9: try field.set(&parentCheckpoint)
    case 10: try field.set(&options)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.string(2, bundle)
    writer.messages(3, rootfs)
    writer.bool(4, terminal)
    writer.string(5, stdin)
    writer.string(6, stdout)
    writer.string(7, stderr)
    writer.string(8, checkpoint)
    writer.string(9, parentCheckpoint)
    writer.message(10, options)
  }
}

/// State, Start, Delete and Wait: a process by its container and, for a further process, its own id. Also read as the
/// requests that have only the container's id.
public struct ProcessRequest: WireMessage {
  public var id: String = ""
  public var execID: String = ""

  public init() {}
  public init(id: String, execID: String = "") {
    self.id = id
    self.execID = execID
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&execID)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.string(2, execID)
  }
}

/// Add a process to a container.
public struct ExecProcessRequest: WireMessage {
  public var id: String = ""
  public var execID: String = ""
  public var terminal: Bool = false
  public var stdin: String = ""
  public var stdout: String = ""
  public var stderr: String = ""
  public var spec: WireAny?

  public init() {}
  public init(id: String, execID: String = "", terminal: Bool = false, stdin: String = "", stdout: String = "", stderr: String = "", spec: WireAny? = nil) {
    self.id = id
    self.execID = execID
    self.terminal = terminal
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.spec = spec
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&execID)
    case 3: field.set(&terminal)
    case 4: try field.set(&stdin)
    case 5: try field.set(&stdout)
    case 6: try field.set(&stderr)
    case 7: try field.set(&spec)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.string(2, execID)
    writer.bool(3, terminal)
    writer.string(4, stdin)
    writer.string(5, stdout)
    writer.string(6, stderr)
    writer.message(7, spec)
  }
}

/// Give a terminal another size.
public struct ResizePtyRequest: WireMessage {
  public var id: String = ""
  public var execID: String = ""
  public var width: UInt32 = 0
  public var height: UInt32 = 0

  public init() {}
  public init(id: String, execID: String = "", width: UInt32 = 0, height: UInt32 = 0) {
    self.id = id
    self.execID = execID
    self.width = width
    self.height = height
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&execID)
    case 3: field.set(&width)
    case 4: field.set(&height)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.string(2, execID)
    writer.number(3, UInt64(width))
    writer.number(4, UInt64(height))
  }
}

/// Send a signal.
public struct KillRequest: WireMessage {
  public var id: String = ""
  public var execID: String = ""
  public var signal: UInt32 = 0
  public var all: Bool = false

  public init() {}
  public init(id: String, execID: String = "", signal: UInt32 = 0, all: Bool = false) {
    self.id = id
    self.execID = execID
    self.signal = signal
    self.all = all
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&execID)
    case 3: field.set(&signal)
    case 4: field.set(&all)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.string(2, execID)
    writer.number(3, UInt64(signal))
    writer.bool(4, all)
  }
}

/// End the standard input.
public struct CloseIORequest: WireMessage {
  public var id: String = ""
  public var execID: String = ""
  public var stdin: Bool = false

  public init() {}
  public init(id: String, execID: String = "", stdin: Bool = false) {
    self.id = id
    self.execID = execID
    self.stdin = stdin
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&execID)
    case 3: field.set(&stdin)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.string(2, execID)
    writer.bool(3, stdin)
  }
}

/// Change resources; annotations are ignored.
public struct UpdateTaskRequest: WireMessage {
  public var id: String = ""
  public var resources: WireAny?

  public init() {}
  public init(id: String, resources: WireAny? = nil) {
    self.id = id
    self.resources = resources
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&resources)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.message(2, resources)
  }
}

/// End the shim.
public struct ShutdownRequest: WireMessage {
  public var id: String = ""
  public var now: Bool = false

  public init() {}
  public init(id: String, now: Bool = false) {
    self.id = id
    self.now = now
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: field.set(&now)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.bool(2, now)
  }
}
