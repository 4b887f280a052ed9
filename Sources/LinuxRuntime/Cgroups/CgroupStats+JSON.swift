extension CgroupStats {
  /// The `data` of a runc "stats" event.
  public var json: JSONValue {
    func number(_ value: UInt64) -> JSONValue { .number(value) }
    var members: [(String, JSONValue?)] = []
    if let cpu {
      members.append(
        (
          "cpu",
          .record([
            (
              "usage",
              .record([
                ("total", number(cpu.usageTotal)), ("percpu", cpu.usagePerCpu.isEmpty ? nil : .array(cpu.usagePerCpu.map(number))),
                ("kernel", number(cpu.usageKernel)), ("user", number(cpu.usageUser)),
              ])
            ),
            (
              "throttling",
              .record([
                ("periods", number(cpu.periods)), ("throttledPeriods", number(cpu.throttledPeriods)),
                ("throttledTime", number(cpu.throttledTime)),
              ])
            ),
          ])
        ))
    }
    if let memory {
      members.append(
        (
          "memory",
          .record([
            (
              "usage",
              .record([
                ("usage", number(memory.usage)), ("max", number(memory.maxUsage)), ("limit", number(memory.limit)),
                ("failcnt", number(memory.failCount)),
              ])
            ),
            ("swap", .record([("usage", number(memory.swapUsage)), ("limit", number(memory.swapLimit))])),
            ("raw", .object(memory.stat.map { JSONMember(name: $0.name, value: number($0.value)) })),
          ])
        ))
    }
    if let pids { members.append(("pids", .record([("current", number(pids.current)), ("limit", number(pids.limit))]))) }
    func entries(_ list: [BlockEntry]) -> JSONValue {
      .array(
        list.map {
          .record([("major", number($0.major)), ("minor", number($0.minor)), ("op", .string($0.operation)), ("value", number($0.value))])
        })
    }
    members.append(
      ("blkio", .record([("ioServiceBytesRecursive", entries(ioServiceBytes)), ("ioServicedRecursive", entries(ioServiced))])))
    return .record(members)
  }
}
