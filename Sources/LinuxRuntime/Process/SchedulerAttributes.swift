/// `struct sched_attr` for sched_setattr(2).
enum SchedulerAttributes {
  private static let policies: [String: UInt32] = [
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5, "SCHED_DEADLINE": 6,
  ]
  private static let flags: [String: UInt64] = [
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04, "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10, "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20, "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
  ]

  static func bytes(_ scheduler: ProcessSpec.Scheduler) throws(RuntimeError) -> [UInt8] {
    guard let policy = policies[scheduler.policy] else {
      throw RuntimeError(.invalid, "process.scheduler.policy: \"\(scheduler.policy)\" is not a policy")
    }
    var flags: UInt64 = 0
    for name in scheduler.flags {
      guard let flag = Self.flags[name] else { throw RuntimeError(.invalid, "process.scheduler.flags: \"\(name)\" is not a flag") }
      flags |= flag
    }
    var out: [UInt8] = []
    func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value) { out.append(contentsOf: $0) } }
    put(UInt32(48))
    put(policy)
    put(flags)
    put(scheduler.nice)
    put(scheduler.priority)
    put(scheduler.runtime)
    put(scheduler.deadline)
    put(scheduler.period)
    return out
  }
}
