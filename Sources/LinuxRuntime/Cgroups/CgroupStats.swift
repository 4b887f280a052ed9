/// A reading of a container's cgroups. Absent controllers read as nil. Names and units as in the kernel's files.
public struct CgroupStats: Sendable {
  public struct Cpu: Sendable {
    /// Nanoseconds.
    public var usageTotal: UInt64 = 0
    public var usageUser: UInt64 = 0
    public var usageKernel: UInt64 = 0
    public var usagePerCpu: [UInt64] = []
    public var periods: UInt64 = 0
    public var throttledPeriods: UInt64 = 0
    /// Nanoseconds.
    public var throttledTime: UInt64 = 0
  }
  public struct Memory: Sendable {
    /// Bytes.
    public var usage: UInt64 = 0
    public var maxUsage: UInt64 = 0
    public var limit: UInt64 = 0
    public var failCount: UInt64 = 0
    public var swapUsage: UInt64 = 0
    public var swapLimit: UInt64 = 0
    /// Lines of memory.stat.
    public var stat: [(name: String, value: UInt64)] = []
    /// How often the OOM killer struck (memory.events / memory.oom_control).
    public var oomKills: UInt64 = 0
  }
  public struct Pids: Sendable {
    public var current: UInt64 = 0
    /// 0 means no limit.
    public var limit: UInt64 = 0
  }
  public struct BlockEntry: Sendable {
    public var major: UInt64
    public var minor: UInt64
    public var operation: String
    public var value: UInt64
  }
  public struct HugePages: Sendable {
    public var size: String
    public var usage: UInt64
    public var max: UInt64
    public var failCount: UInt64
  }
  public var cpu: Cpu?
  public var memory: Memory?
  public var pids: Pids?
  public var ioServiceBytes: [BlockEntry] = []
  public var ioServiced: [BlockEntry] = []
  public var hugePages: [HugePages] = []
  /// True when the numbers come from the unified hierarchy.
  public var unified = false
}
