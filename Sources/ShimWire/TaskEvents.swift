/// Where the standard streams of a task lead.
public struct TaskIO: WireMessage {
  public var stdin: String = ""
  public var stdout: String = ""
  public var stderr: String = ""
  public var terminal: Bool = false

  public init() {}
  public init(stdin: String, stdout: String = "", stderr: String = "", terminal: Bool = false) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.terminal = terminal
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&stdin)
    case 2: try field.set(&stdout)
    case 3: try field.set(&stderr)
    case 4: field.set(&terminal)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, stdin)
    writer.string(2, stdout)
    writer.string(3, stderr)
    writer.bool(4, terminal)
  }
}

/// A container was made.
public struct TaskCreate: WireMessage {
  public var containerID: String = ""
  public var bundle: String = ""
  public var rootfs: [Mount] = []
  public var io: TaskIO?
  public var checkpoint: String = ""
  public var pid: UInt32 = 0

  public init() {}
  public init(containerID: String, bundle: String = "", rootfs: [Mount] = [], io: TaskIO? = nil, checkpoint: String = "", pid: UInt32 = 0) {
    self.containerID = containerID
    self.bundle = bundle
    self.rootfs = rootfs
    self.io = io
    self.checkpoint = checkpoint
    self.pid = pid
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&containerID)
    case 2: try field.set(&bundle)
    case 3: try field.append(to: &rootfs)
    case 4: try field.set(&io)
    case 5: try field.set(&checkpoint)
    case 6: field.set(&pid)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, containerID)
    writer.string(2, bundle)
    writer.messages(3, rootfs)
    writer.message(4, io)
    writer.string(5, checkpoint)
    writer.number(6, UInt64(pid))
  }
}

/// A container's program runs.
public struct TaskStart: WireMessage {
  public var containerID: String = ""
  public var pid: UInt32 = 0

  public init() {}
  public init(containerID: String, pid: UInt32 = 0) {
    self.containerID = containerID
    self.pid = pid
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&containerID)
    case 2: field.set(&pid)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, containerID)
    writer.number(2, UInt64(pid))
  }
}

/// A container was removed.
public struct TaskDelete: WireMessage {
  public var containerID: String = ""
  public var pid: UInt32 = 0
  public var exitStatus: UInt32 = 0
  public var exitedAt: Timestamp?
  public var id: String = ""

  public init() {}
  public init(containerID: String, pid: UInt32 = 0, exitStatus: UInt32 = 0, exitedAt: Timestamp? = nil, id: String = "") {
    self.containerID = containerID
    self.pid = pid
    self.exitStatus = exitStatus
    self.exitedAt = exitedAt
    self.id = id
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&containerID)
    case 2: field.set(&pid)
    case 3: field.set(&exitStatus)
    case 4: try field.set(&exitedAt)
    case 5: try field.set(&id)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, containerID)
    writer.number(2, UInt64(pid))
    writer.number(3, UInt64(exitStatus))
    writer.message(4, exitedAt)
    writer.string(5, id)
  }
}

/// A process has ended; `id` is the container's for its first process.
public struct TaskExit: WireMessage {
  public var containerID: String = ""
  public var id: String = ""
  public var pid: UInt32 = 0
  public var exitStatus: UInt32 = 0
  public var exitedAt: Timestamp?

  public init() {}
  public init(containerID: String, id: String = "", pid: UInt32 = 0, exitStatus: UInt32 = 0, exitedAt: Timestamp? = nil) {
    self.containerID = containerID
    self.id = id
    self.pid = pid
    self.exitStatus = exitStatus
    self.exitedAt = exitedAt
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&containerID)
    case 2: try field.set(&id)
    case 3: field.set(&pid)
    case 4: field.set(&exitStatus)
    case 5: try field.set(&exitedAt)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, containerID)
    writer.string(2, id)
    writer.number(3, UInt64(pid))
    writer.number(4, UInt64(exitStatus))
    writer.message(5, exitedAt)
  }
}

/// A further process was announced.
public struct TaskExecAdded: WireMessage {
  public var containerID: String = ""
  public var execID: String = ""

  public init() {}
  public init(containerID: String, execID: String = "") {
    self.containerID = containerID
    self.execID = execID
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&containerID)
    case 2: try field.set(&execID)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, containerID)
    writer.string(2, execID)
  }
}

/// A further process runs.
public struct TaskExecStarted: WireMessage {
  public var containerID: String = ""
  public var execID: String = ""
  public var pid: UInt32 = 0

  public init() {}
  public init(containerID: String, execID: String = "", pid: UInt32 = 0) {
    self.containerID = containerID
    self.execID = execID
    self.pid = pid
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&containerID)
    case 2: try field.set(&execID)
    case 3: field.set(&pid)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, containerID)
    writer.string(2, execID)
    writer.number(3, UInt64(pid))
  }
}

/// TaskPaused, TaskResumed and TaskOOM.
public struct TaskReference: WireMessage {
  public var containerID: String = ""

  public init() {}
  public init(containerID: String) {
    self.containerID = containerID
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&containerID)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, containerID)
  }
}
