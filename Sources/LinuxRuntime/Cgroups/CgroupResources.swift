import CLinux
import SystemKit

extension Cgroup {
  /// Writes what a configuration or an update asks for.
  func apply(_ resources: ResourcesSpec) throws(RuntimeError) {
    if resources.memoryLimit != nil || resources.memorySwap != nil || resources.memoryReservation != nil || resources.swappiness != nil
      || resources.disableOOMKiller == true
    {
      try applyMemory(resources, needed("memory"))
    }
    if resources.cpuShares != nil || resources.cpuQuota != nil || resources.cpuPeriod != nil || resources.cpuIdle != nil
      || resources.cpuBurst != nil || resources.cpuRealtimeRuntime != nil || resources.cpuRealtimePeriod != nil
    {
      try applyCpu(resources, needed("cpu"))
    }
    if resources.cpus != nil || resources.mems != nil {
      let path = try needed("cpuset").path
      if let cpus = resources.cpus { try CgroupFile.write(cpus, path + "/cpuset.cpus") }
      if let mems = resources.mems { try CgroupFile.write(mems, path + "/cpuset.mems") }
    }
    if let limit = resources.pidsLimit {
      try CgroupFile.write(limit < 0 ? "max" : String(limit), needed("pids").path + "/pids.max")
    }
    try applyBlockIO(resources)
    for page in resources.hugepages {
      let directory = try needed("hugetlb")
      let file = "\(directory.path)/hugetlb.\(page.size)"
      try CgroupFile.write(String(page.limit), file + (directory.unified ? ".max" : ".limit_in_bytes"))
      CgroupFile.tryWrite(String(page.limit), file + (directory.unified ? ".rsvd.max" : ".rsvd.limit_in_bytes"))
    }
    if let classID = resources.networkClassID { try CgroupFile.write(String(classID), needed("net_cls").path + "/net_cls.classid") }
    for priority in resources.networkPriorities {
      try CgroupFile.write("\(priority.name) \(priority.priority)", needed("net_prio").path + "/net_prio.ifpriomap")
    }
    if !resources.unified.isEmpty {
      guard let unified else { throw RuntimeError(.invalid, "linux.resources.unified: there is no unified hierarchy here") }
      for (name, value) in resources.unified { try CgroupFile.write(value, unified.path + "/" + name) }
    }
  }

  private func needed(_ controller: String) throws(RuntimeError) -> Directory {
    guard let directory = directory(controller) else {
      throw RuntimeError(.invalid, "linux.resources: the cgroup controller \(controller) is not available")
    }
    return directory
  }

  private func applyMemory(_ resources: ResourcesSpec, _ directory: Directory) throws(RuntimeError) {
    func text(_ value: Int64) -> String { value < 0 ? (directory.unified ? "max" : "-1") : String(value) }
    let path = directory.path + "/memory."
    if resources.checkBeforeUpdate, let limit = resources.memoryLimit, limit >= 0,
      let usage = CgroupFile.number(path + (directory.unified ? "current" : "usage_in_bytes")), usage > UInt64(limit)
    {
      throw RuntimeError(.invalid, "linux.resources.memory.limit: \(limit) is below the present use of \(usage) bytes")
    }
    if directory.unified {
      if let limit = resources.memoryLimit { try CgroupFile.write(text(limit), path + "max") }
      if let swap = resources.memorySwap {
        // The specification counts memory and swap together; this file counts swap alone.
        if swap < 0 {
          try CgroupFile.write("max", path + "swap.max")
        } else {
          guard let limit = resources.memoryLimit, limit >= 0, swap >= limit else {
            throw RuntimeError(.invalid, "linux.resources.memory.swap: \(swap) needs a memory limit that is not above it")
          }
          try CgroupFile.write(String(swap - limit), path + "swap.max")
        }
      }
      if let reservation = resources.memoryReservation { try CgroupFile.write(text(reservation), path + "low") }
      return
    }
    let swap: () throws(RuntimeError) -> Void = { () throws(RuntimeError) in
      if let swap = resources.memorySwap { try CgroupFile.write(text(swap), path + "memsw.limit_in_bytes") }
    }
    if let limit = resources.memoryLimit {
      // The limit may never be above the limit with swap: which one goes first depends on the direction.
      if CgroupFile.tryWrite(text(limit), path + "limit_in_bytes") {
        try swap()
      } else {
        if resources.memorySwap == nil, limit < 0 { CgroupFile.tryWrite("-1", path + "memsw.limit_in_bytes") }
        try swap()
        try CgroupFile.write(text(limit), path + "limit_in_bytes")
      }
    } else {
      try swap()
    }
    if let reservation = resources.memoryReservation { try CgroupFile.write(text(reservation), path + "soft_limit_in_bytes") }
    if let swappiness = resources.swappiness { try CgroupFile.write(String(swappiness), path + "swappiness") }
    if resources.disableOOMKiller == true { try CgroupFile.write("1", path + "oom_control") }
  }

  private func applyCpu(_ resources: ResourcesSpec, _ directory: Directory) throws(RuntimeError) {
    let path = directory.path + "/cpu."
    if let idle = resources.cpuIdle { try CgroupFile.write(String(idle), path + "idle") }
    if directory.unified {
      if let shares = resources.cpuShares, shares > 0 { try CgroupFile.write(String(Self.weight(shares: shares)), path + "weight") }
      if resources.cpuQuota != nil || resources.cpuPeriod != nil {
        let quota = resources.cpuQuota.map { $0 > 0 ? String($0) : "max" } ?? "max"
        try CgroupFile.write(resources.cpuPeriod.map { "\(quota) \($0)" } ?? quota, path + "max")
      }
      if let burst = resources.cpuBurst { try CgroupFile.write(String(burst), path + "max.burst") }
      return
    }
    if let shares = resources.cpuShares, shares > 0 { try CgroupFile.write(String(shares), path + "shares") }
    if let period = resources.cpuRealtimePeriod { try CgroupFile.write(String(period), path + "rt_period_us") }
    if let runtime = resources.cpuRealtimeRuntime { try CgroupFile.write(String(runtime), path + "rt_runtime_us") }
    // A period that the old quota does not fit is refused; then the quota goes first.
    var period = resources.cpuPeriod.flatMap { $0 == 0 ? nil : $0 }
    if let value = period, CgroupFile.tryWrite(String(value), path + "cfs_period_us") { period = nil }
    if let quota = resources.cpuQuota, quota != 0 { try CgroupFile.write(String(quota), path + "cfs_quota_us") }
    if let period { try CgroupFile.write(String(period), path + "cfs_period_us") }
    if let burst = resources.cpuBurst { try CgroupFile.write(String(burst), path + "cfs_burst_us") }
  }

  /// v1 shares (2…262144) to v2 weight (1…10000), linearly.
  static func weight(shares: UInt64) -> UInt64 { 1 + (min(max(shares, 2), 262_144) - 2) * 9999 / 262_142 }

  private func applyBlockIO(_ resources: ResourcesSpec) throws(RuntimeError) {
    let throttles = [
      (resources.readBps, "throttle.read_bps_device", "rbps"), (resources.writeBps, "throttle.write_bps_device", "wbps"),
      (resources.readIOPS, "throttle.read_iops_device", "riops"), (resources.writeIOPS, "throttle.write_iops_device", "wiops"),
    ]
    if let directory = directory("blkio") {
      if let weight = resources.blkioWeight, weight > 0 {
        // The file's name depends on the scheduler the kernel was built with.
        if !CgroupFile.tryWrite(String(weight), directory.path + "/blkio.bfq.weight") {
          try CgroupFile.write(String(weight), directory.path + "/blkio.weight")
        }
      }
      for entry in resources.blkioWeightDevices {
        try CgroupFile.write("\(entry.device) \(entry.weight)", directory.path + "/blkio.weight_device")
      }
      for (list, file, _) in throttles {
        for entry in list { try CgroupFile.write("\(entry.device) \(entry.rate)", "\(directory.path)/blkio.\(file)") }
      }
      return
    }
    let wanted = (resources.blkioWeight ?? 0) > 0 || !resources.blkioWeightDevices.isEmpty || throttles.contains { !$0.0.isEmpty }
    guard wanted else { return }
    let directory = try needed("io")
    if let weight = resources.blkioWeight, weight > 0, !CgroupFile.tryWrite(String(weight), directory.path + "/io.bfq.weight") {
      let scaled = 1 + (UInt64(max(weight, 10)) - 10) * 9999 / 990
      try CgroupFile.write(String(scaled), directory.path + "/io.weight")
    }
    for entry in resources.blkioWeightDevices { try CgroupFile.write("\(entry.device) \(entry.weight)", directory.path + "/io.bfq.weight") }
    for (list, _, key) in throttles {
      for entry in list { try CgroupFile.write("\(entry.device) \(key)=\(entry.rate)", directory.path + "/io.max") }
    }
  }
}
