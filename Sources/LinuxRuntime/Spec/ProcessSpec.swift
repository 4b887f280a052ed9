/// The `process` object of a configuration (config.md, "Process"), also used alone for `exec`.
public struct ProcessSpec: Sendable {
  public struct User: Sendable {
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    public var umask: UInt32?
    public var additionalGids: [UInt32] = []
  }
  public struct Rlimit: Sendable {
    public var type: String
    public var soft: UInt64
    public var hard: UInt64
  }
  /// Names as in the configuration; nil when `capabilities` is absent: then the process gets none.
  public struct CapabilitySets: Sendable {
    public var bounding: [String] = []
    public var effective: [String] = []
    public var permitted: [String] = []
    public var inheritable: [String] = []
    public var ambient: [String] = []

    public init() {}
  }
  public struct Scheduler: Sendable {
    public var policy: String
    public var nice: Int32 = 0
    public var priority: Int32 = 0
    public var flags: [String] = []
    /// Nanoseconds.
    public var runtime: UInt64 = 0
    public var deadline: UInt64 = 0
    public var period: UInt64 = 0
  }
  public struct IOPriority: Sendable {
    public var ioClass: String
    public var priority: Int32
  }

  public var terminal = false
  /// Rows and columns.
  public var consoleSize: (height: UInt16, width: UInt16)?
  public var user = User()
  public var args: [String] = []
  public var env: [String] = []
  public var cwd = "/"
  public var capabilities: CapabilitySets?
  public var rlimits: [Rlimit] = []
  public var noNewPrivileges = false
  public var apparmorProfile: String?
  public var selinuxLabel: String?
  public var oomScoreAdj: Int32?
  public var scheduler: Scheduler?
  public var ioPriority: IOPriority?

  public init(json bytes: [UInt8]) throws(RuntimeError) {
    try self.init(JSONReader(JSONParser.parse(bytes), path: "process"))
    try requireArguments()
  }

  public init() {}

  func requireArguments() throws(RuntimeError) {
    guard let program = args.first, !program.isEmpty else { throw RuntimeError(.invalid, "process.args: a program is expected") }
  }

  init(_ json: JSONReader) throws(RuntimeError) {
    terminal = try json.bool("terminal") ?? false
    if terminal, let size = try json.object("consoleSize") {
      consoleSize = (try size.integer("height") ?? 0, try size.integer("width") ?? 0)
    }
    if let user = try json.object("user") {
      self.user = User(
        uid: try user.integer("uid") ?? 0, gid: try user.integer("gid") ?? 0, umask: try user.integer("umask"),
        additionalGids: try user.integers("additionalGids"))
      // 2^32-1 means "no change" to the kernel, and above 2^31 ids wrap in too many programs.
      guard self.user.uid <= UInt32(Int32.max), self.user.gid <= UInt32(Int32.max) else {
        throw user.error("uid", "uid and gid must be at most \(Int32.max)")
      }
    }
    args = try json.strings("args")
    env = try json.strings("env")
    cwd = try json.string("cwd") ?? ""
    guard cwd.hasPrefix("/") else { throw json.error("cwd", "must be an absolute path, not \"\(cwd)\"") }
    if let sets = try json.object("capabilities") {
      var named = CapabilitySets()
      named.bounding = try sets.strings("bounding")
      named.effective = try sets.strings("effective")
      named.permitted = try sets.strings("permitted")
      named.inheritable = try sets.strings("inheritable")
      named.ambient = try sets.strings("ambient")
      capabilities = named
    }
    for limit in try json.objects("rlimits") {
      let type = try limit.required("type", limit.string("type"))
      guard !rlimits.contains(where: { $0.type == type }) else { throw limit.error("type", "\(type) is given twice") }
      guard Rlimits.resources[type] != nil else { throw limit.error("type", "\(type) is not a resource limit") }
      let soft: UInt64 = try limit.required("soft", limit.integer("soft"))
      let hard: UInt64 = try limit.required("hard", limit.integer("hard"))
      guard soft <= hard else { throw limit.error("soft", "\(type): soft \(soft) is above hard \(hard)") }
      rlimits.append(Rlimit(type: type, soft: soft, hard: hard))
    }
    noNewPrivileges = try json.bool("noNewPrivileges") ?? false
    apparmorProfile = try json.string("apparmorProfile").flatMap { $0.isEmpty ? nil : $0 }
    selinuxLabel = try json.string("selinuxLabel").flatMap { $0.isEmpty ? nil : $0 }
    oomScoreAdj = try json.integer("oomScoreAdj")
    if let adjustment = oomScoreAdj, !(-1000...1000).contains(adjustment) {
      throw json.error("oomScoreAdj", "must be between -1000 and 1000")
    }
    if let scheduler = try json.object("scheduler") {
      self.scheduler = Scheduler(
        policy: try scheduler.required("policy", scheduler.string("policy")), nice: try scheduler.integer("nice") ?? 0,
        priority: try scheduler.integer("priority") ?? 0, flags: try scheduler.strings("flags"),
        runtime: try scheduler.integer("runtime") ?? 0, deadline: try scheduler.integer("deadline") ?? 0,
        period: try scheduler.integer("period") ?? 0)
    }
    if let io = try json.object("ioPriority") {
      ioPriority = IOPriority(ioClass: try io.required("class", io.string("class")), priority: try io.integer("priority") ?? 0)
    }
  }
}
