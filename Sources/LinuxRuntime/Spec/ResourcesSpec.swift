/// `linux.resources` (config-linux.md, "Control groups"). Absent members leave the kernel's value as it is.
public struct ResourcesSpec: Sendable {
  public struct DeviceRule: Sendable, Hashable {
    public var allow: Bool
    /// "a", "b" or "c".
    public var type: String
    /// nil: any.
    public var major: Int64?
    public var minor: Int64?
    /// Of "rwm".
    public var access: String
  }
  public struct Throttle: Sendable {
    public var device: String
    public var rate: UInt64
  }

  public var devices: [DeviceRule] = []
  // Bytes; -1 means no limit.
  public var memoryLimit: Int64?
  public var memoryReservation: Int64?
  public var memorySwap: Int64?
  public var swappiness: UInt64?
  public var disableOOMKiller: Bool?
  public var checkBeforeUpdate = false
  public var cpuShares: UInt64?
  // Microseconds.
  public var cpuQuota: Int64?
  public var cpuBurst: UInt64?
  public var cpuPeriod: UInt64?
  public var cpuRealtimeRuntime: Int64?
  public var cpuRealtimePeriod: UInt64?
  public var cpus: String?
  public var mems: String?
  public var cpuIdle: Int64?
  public var pidsLimit: Int64?
  public var blkioWeight: UInt16?
  public var blkioWeightDevices: [(device: String, weight: UInt16)] = []
  public var readBps: [Throttle] = []
  public var writeBps: [Throttle] = []
  public var readIOPS: [Throttle] = []
  public var writeIOPS: [Throttle] = []
  public var hugepages: [(size: String, limit: UInt64)] = []
  public var networkClassID: UInt32?
  public var networkPriorities: [(name: String, priority: UInt32)] = []
  public var unified: [(String, String)] = []

  public init(json bytes: [UInt8]) throws(RuntimeError) {
    try self.init(JSONReader(JSONParser.parse(bytes), path: "resources"))
  }

  public init() {}

  init(_ json: JSONReader) throws(RuntimeError) {
    for rule in try json.objects("devices") {
      let type = try rule.string("type") ?? "a"
      guard ["a", "b", "c"].contains(type) else { throw rule.error("type", "\"\(type)\" is not one of a, b, c") }
      let access = try rule.string("access") ?? "rwm"
      guard access.allSatisfy({ "rwm".contains($0) }) else { throw rule.error("access", "\"\(access)\" is not made of r, w and m") }
      let major: Int64? = try rule.integer("major")
      let minor: Int64? = try rule.integer("minor")
      devices.append(
        DeviceRule(
          allow: try rule.bool("allow") ?? false, type: type, major: major == -1 ? nil : major, minor: minor == -1 ? nil : minor,
          access: access.isEmpty ? "rwm" : access))
    }
    if let memory = try json.object("memory") {
      memoryLimit = try memory.integer("limit")
      memoryReservation = try memory.integer("reservation")
      memorySwap = try memory.integer("swap")
      swappiness = try memory.integer("swappiness")
      disableOOMKiller = try memory.bool("disableOOMKiller")
      checkBeforeUpdate = try memory.bool("checkBeforeUpdate") ?? false
      if let swappiness, swappiness > 100 { throw memory.error("swappiness", "must be between 0 and 100") }
    }
    if let cpu = try json.object("cpu") {
      cpuShares = try cpu.integer("shares")
      cpuQuota = try cpu.integer("quota")
      cpuBurst = try cpu.integer("burst")
      cpuPeriod = try cpu.integer("period")
      cpuRealtimeRuntime = try cpu.integer("realtimeRuntime")
      cpuRealtimePeriod = try cpu.integer("realtimePeriod")
      cpus = try cpu.string("cpus").flatMap { $0.isEmpty ? nil : $0 }
      mems = try cpu.string("mems").flatMap { $0.isEmpty ? nil : $0 }
      cpuIdle = try cpu.integer("idle")
    }
    if let pids = try json.object("pids") { pidsLimit = try pids.integer("limit") }
    if let block = try json.object("blockIO") {
      blkioWeight = try block.integer("weight")
      func device(_ entry: JSONReader) throws(RuntimeError) -> String {
        let major: Int64 = try entry.required("major", entry.integer("major"))
        let minor: Int64 = try entry.required("minor", entry.integer("minor"))
        return "\(major):\(minor)"
      }
      func throttles(_ name: String) throws(RuntimeError) -> [Throttle] {
        var list: [Throttle] = []
        for entry in try block.objects(name) {
          list.append(Throttle(device: try device(entry), rate: try entry.required("rate", entry.integer("rate"))))
        }
        return list
      }
      for entry in try block.objects("weightDevice") {
        if let weight: UInt16 = try entry.integer("weight") { blkioWeightDevices.append((try device(entry), weight)) }
      }
      readBps = try throttles("throttleReadBpsDevice")
      writeBps = try throttles("throttleWriteBpsDevice")
      readIOPS = try throttles("throttleReadIOPSDevice")
      writeIOPS = try throttles("throttleWriteIOPSDevice")
    }
    for entry in try json.objects("hugepageLimits") {
      let size = try entry.required("pageSize", entry.string("pageSize"))
      guard size.allSatisfy({ $0.isASCII && ($0.isNumber || $0.isLetter) }) else { throw entry.error("pageSize", "\"\(size)\" is not a page size") }
      hugepages.append((size, try entry.required("limit", entry.integer("limit"))))
    }
    if let network = try json.object("network") {
      networkClassID = try network.integer("classID")
      for entry in try network.objects("priorities") {
        networkPriorities.append((try entry.required("name", entry.string("name")), try entry.required("priority", entry.integer("priority"))))
      }
    }
    unified = try json.stringMap("unified")
    for (name, _) in unified where name.contains("/") || name.hasPrefix(".") || !name.contains(".") {
      throw json.error("unified", "\"\(name)\" is not the name of a cgroup file")
    }
  }
}
