extension Cgroup {
  /// What the container uses now. Files that a kernel has not got are left out.
  func read() -> CgroupStats {
    var stats = CgroupStats()
    stats.unified = directories.allSatisfy(\.unified)
    if let directory = directory("pids") {
      let limit = CgroupFile.number(directory.path + "/pids.max") ?? 0
      stats.pids = CgroupStats.Pids(current: CgroupFile.number(directory.path + "/pids.current") ?? 0, limit: limit == .max ? 0 : limit)
    }
    if let directory = directory("memory") { stats.memory = memory(directory) }
    stats.cpu = cpu()
    if let directory = directory("blkio") {
      stats.ioServiceBytes = blockEntries(directory.path + "/blkio.throttle.io_service_bytes_recursive")
      stats.ioServiced = blockEntries(directory.path + "/blkio.throttle.io_serviced_recursive")
    } else if let directory = directory("io") {
      readUnifiedIO(directory.path + "/io.stat", into: &stats)
    }
    return stats
  }

  private func memory(_ directory: Directory) -> CgroupStats.Memory {
    var memory = CgroupStats.Memory()
    let path = directory.path + "/memory."
    func number(_ name: String) -> UInt64 { CgroupFile.number(path + name) ?? 0 }
    memory.stat = CgroupFile.pairs(path + "stat")
    if directory.unified {
      memory.usage = number("current")
      memory.maxUsage = number("peak")
      memory.limit = number("max")
      memory.swapUsage = number("swap.current")
      memory.swapLimit = number("swap.max")
      let events = CgroupFile.pairs(path + "events")
      memory.failCount = events.first { $0.name == "max" }?.value ?? 0
      memory.oomKills = events.first { $0.name == "oom_kill" }?.value ?? 0
    } else {
      memory.usage = number("usage_in_bytes")
      memory.maxUsage = number("max_usage_in_bytes")
      memory.limit = number("limit_in_bytes")
      memory.failCount = number("failcnt")
      memory.swapUsage = number("memsw.usage_in_bytes")
      memory.swapLimit = number("memsw.limit_in_bytes")
      memory.oomKills = CgroupFile.pairs(path + "oom_control").first { $0.name == "oom_kill" }?.value ?? 0
    }
    return memory
  }

  private func cpu() -> CgroupStats.Cpu? {
    var cpu = CgroupStats.Cpu()
    if let directory = directory("cpuacct") {
      cpu.usageTotal = CgroupFile.number(directory.path + "/cpuacct.usage") ?? 0
      cpu.usageUser = CgroupFile.number(directory.path + "/cpuacct.usage_user") ?? 0
      cpu.usageKernel = CgroupFile.number(directory.path + "/cpuacct.usage_sys") ?? 0
      cpu.usagePerCpu = (CgroupFile.text(directory.path + "/cpuacct.usage_percpu") ?? "").split(separator: " ").compactMap { UInt64($0) }
    }
    guard let directory = directory("cpu") ?? (directories.allSatisfy(\.unified) ? unified : nil) else {
      return self.directory("cpuacct") == nil ? nil : cpu
    }
    for (name, value) in CgroupFile.pairs(directory.path + "/cpu.stat") {
      switch name {
      case "usage_usec": cpu.usageTotal = value * 1000
      case "user_usec": cpu.usageUser = value * 1000
      case "system_usec": cpu.usageKernel = value * 1000
      case "nr_periods": cpu.periods = value
      case "nr_throttled": cpu.throttledPeriods = value
      case "throttled_time": cpu.throttledTime = value
      case "throttled_usec": cpu.throttledTime = value * 1000
      default: break
      }
    }
    return cpu
  }

  private func blockEntries(_ path: String) -> [CgroupStats.BlockEntry] {
    (CgroupFile.text(path) ?? "").split(separator: "\n").compactMap { line in
      let parts = line.split { $0 == " " || $0 == ":" }
      guard parts.count == 4, let major = UInt64(parts[0]), let minor = UInt64(parts[1]), let value = UInt64(parts[3]) else { return nil }
      return CgroupStats.BlockEntry(major: major, minor: minor, operation: String(parts[2]), value: value)
    }
  }

  private func readUnifiedIO(_ path: String, into stats: inout CgroupStats) {
    for line in (CgroupFile.text(path) ?? "").split(separator: "\n") {
      let parts = line.split(separator: " ")
      let device = (parts.first ?? "").split(separator: ":").compactMap { UInt64($0) }
      guard device.count == 2 else { continue }
      for part in parts.dropFirst() {
        let pair = part.split(separator: "=")
        guard pair.count == 2, let value = UInt64(pair[1]) else { continue }
        func entry(_ operation: String) -> CgroupStats.BlockEntry {
          CgroupStats.BlockEntry(major: device[0], minor: device[1], operation: operation, value: value)
        }
        switch pair[0] {
        case "rbytes": stats.ioServiceBytes.append(entry("Read"))
        case "wbytes": stats.ioServiceBytes.append(entry("Write"))
        case "rios": stats.ioServiced.append(entry("Read"))
        case "wios": stats.ioServiced.append(entry("Write"))
        default: break
        }
      }
    }
  }
}

extension Cgroup {
  /// How many processes the kernel has killed for want of memory.
  var outOfMemoryKills: UInt64 {
    guard let directory = directory("memory") else { return 0 }
    let file = directory.path + (directory.unified ? "/memory.events" : "/memory.oom_control")
    return CgroupFile.pairs(file).first { $0.name == "oom_kill" }?.value ?? 0
  }
}
