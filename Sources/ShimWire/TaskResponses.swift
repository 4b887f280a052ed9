/// The answer to Create and Start.
public struct PidResponse: WireMessage {
  public var pid: UInt32 = 0

  public init() {}
  public init(pid: UInt32) {
    self.pid = pid
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&pid)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.number(1, UInt64(pid))
  }
}

/// The answer to Delete, and what the `delete` command prints.
public struct DeleteResponse: WireMessage {
  public var pid: UInt32 = 0
  public var exitStatus: UInt32 = 0
  public var exitedAt: Timestamp?

  public init() {}
  public init(pid: UInt32, exitStatus: UInt32 = 0, exitedAt: Timestamp? = nil) {
    self.pid = pid
    self.exitStatus = exitStatus
    self.exitedAt = exitedAt
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&pid)
    case 2: field.set(&exitStatus)
    case 3: try field.set(&exitedAt)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.number(1, UInt64(pid))
    writer.number(2, UInt64(exitStatus))
    writer.message(3, exitedAt)
  }
}

/// The answer to State.
public struct StateResponse: WireMessage {
  public var id: String = ""
  public var bundle: String = ""
  public var pid: UInt32 = 0
  public var status: UInt32 = 0
  public var stdin: String = ""
  public var stdout: String = ""
  public var stderr: String = ""
  public var terminal: Bool = false
  public var exitStatus: UInt32 = 0
  public var exitedAt: Timestamp?
  public var execID: String = ""

  public init() {}
  public init(
    id: String, bundle: String = "", pid: UInt32 = 0, status: UInt32 = 0, stdin: String = "", stdout: String = "", stderr: String = "", terminal: Bool = false,
    exitStatus: UInt32 = 0, exitedAt: Timestamp? = nil, execID: String = ""
  ) {
    self.id = id
    self.bundle = bundle
    self.pid = pid
    self.status = status
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.terminal = terminal
    self.exitStatus = exitStatus
    self.exitedAt = exitedAt
    self.execID = execID
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&id)
    case 2: try field.set(&bundle)
    case 3: field.set(&pid)
    case 4: field.set(&status)
    case 5: try field.set(&stdin)
    case 6: try field.set(&stdout)
    case 7: try field.set(&stderr)
    case 8: field.set(&terminal)
    case 9: field.set(&exitStatus)
    case 10: try field.set(&exitedAt)
    case 11: try field.set(&execID)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, id)
    writer.string(2, bundle)
    writer.number(3, UInt64(pid))
    writer.number(4, UInt64(status))
    writer.string(5, stdin)
    writer.string(6, stdout)
    writer.string(7, stderr)
    writer.bool(8, terminal)
    writer.number(9, UInt64(exitStatus))
    writer.message(10, exitedAt)
    writer.string(11, execID)
  }
}

/// One process of a container.
public struct ProcessInfo: WireMessage {
  public var pid: UInt32 = 0
  public var info: WireAny?

  public init() {}
  public init(pid: UInt32, info: WireAny? = nil) {
    self.pid = pid
    self.info = info
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&pid)
    case 2: try field.set(&info)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.number(1, UInt64(pid))
    writer.message(2, info)
  }
}

/// The answer to Pids.
public struct PidsResponse: WireMessage {
  public var processes: [ProcessInfo] = []

  public init() {}
  public init(processes: [ProcessInfo]) {
    self.processes = processes
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.append(to: &processes)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.messages(1, processes)
  }
}

/// `containerd.runc.v1.ProcessDetails`: which exec a pid is.
public struct ProcessDetails: WireMessage {
  public var execID: String = ""

  public init() {}
  public init(execID: String) {
    self.execID = execID
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&execID)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.string(1, execID)
  }
}

/// The answer to Wait.
public struct WaitResponse: WireMessage {
  public var exitStatus: UInt32 = 0
  public var exitedAt: Timestamp?

  public init() {}
  public init(exitStatus: UInt32, exitedAt: Timestamp? = nil) {
    self.exitStatus = exitStatus
    self.exitedAt = exitedAt
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&exitStatus)
    case 2: try field.set(&exitedAt)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.number(1, UInt64(exitStatus))
    writer.message(2, exitedAt)
  }
}

/// The answer to Stats.
public struct StatsResponse: WireMessage {
  public var stats: WireAny?

  public init() {}
  public init(stats: WireAny?) {
    self.stats = stats
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: try field.set(&stats)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.message(1, stats)
  }
}

/// The answer to Connect.
public struct ConnectResponse: WireMessage {
  public var shimPID: UInt32 = 0
  public var taskPID: UInt32 = 0
  public var version: String = ""

  public init() {}
  public init(shimPID: UInt32, taskPID: UInt32 = 0, version: String = "") {
    self.shimPID = shimPID
    self.taskPID = taskPID
    self.version = version
  }

  public mutating func take(_ field: ProtoField) throws(WireError) {
    switch field.number {
    case 1: field.set(&shimPID)
    case 2: field.set(&taskPID)
    case 3: try field.set(&version)
    default: break
    }
  }

  public func write(to writer: inout ProtoWriter) {
    writer.number(1, UInt64(shimPID))
    writer.number(2, UInt64(taskPID))
    writer.string(3, version)
  }
}
