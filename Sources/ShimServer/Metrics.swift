import LinuxRuntime
import ShimWire

/// Numbers of a container in the two shapes that clients know: containerd/cgroups' Metrics for each generation of cgroups.
enum Metrics {
  static func encode(_ stats: CgroupStats) -> WireAny {
    stats.unified
      ? WireAny(typeURL: "io.containerd.cgroups.v2.Metrics", value: unified(stats))
      : WireAny(typeURL: "io.containerd.cgroups.v1.Metrics", value: legacy(stats))
  }

  /// memory.stat by field number, from 1.
  private static let legacyMemory = [
    "cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault", "pgmajfault", "inactive_anon",
    "active_anon", "inactive_file", "active_file", "unevictable", "hierarchical_memory_limit", "hierarchical_memsw_limit", "total_cache",
    "total_rss", "total_rss_huge", "total_mapped_file", "total_dirty", "total_writeback", "total_pgpgin", "total_pgpgout", "total_pgfault",
    "total_pgmajfault", "total_inactive_anon", "total_active_anon", "total_inactive_file", "total_active_file", "total_unevictable",
  ]
  private static let unifiedMemory = [
    "anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback", "anon_thp", "inactive_anon",
    "active_anon", "inactive_file", "active_file", "unevictable", "slab_reclaimable", "slab_unreclaimable", "pgfault", "pgmajfault",
    "workingset_refault", "workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan", "pgsteal", "pgactivate", "pgdeactivate",
    "pglazyfree", "pglazyfreed", "thp_fault_alloc", "thp_collapse_alloc",
  ]

  private static func write(_ memory: CgroupStats.Memory, _ names: [String], to writer: inout ProtoWriter) {
    let values = Dictionary(memory.stat.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    for (index, name) in names.enumerated() { writer.number(UInt32(index + 1), values[name] ?? 0) }
  }

  private static func legacy(_ stats: CgroupStats) -> [UInt8] {
    var out = ProtoWriter()
    for pages in stats.hugePages {
      out.nested(1) {
        $0.number(1, pages.usage)
        $0.number(2, pages.max)
        $0.number(3, pages.failCount)
        $0.string(4, pages.size)
      }
    }
    if let pids = stats.pids {
      out.nested(2) {
        $0.number(1, pids.current)
        $0.number(2, pids.limit)
      }
    }
    if let cpu = stats.cpu {
      out.nested(3) {
        $0.nested(1) {
          $0.number(1, cpu.usageTotal)
          $0.number(2, cpu.usageKernel)
          $0.number(3, cpu.usageUser)
          $0.packed(4, cpu.usagePerCpu)
        }
        $0.nested(2) {
          $0.number(1, cpu.periods)
          $0.number(2, cpu.throttledPeriods)
          $0.number(3, cpu.throttledTime)
        }
      }
    }
    if let memory = stats.memory {
      out.nested(4) {
        write(memory, legacyMemory, to: &$0)
        $0.nested(33) {
          $0.number(1, memory.limit)
          $0.number(2, memory.usage)
          $0.number(3, memory.maxUsage)
          $0.number(4, memory.failCount)
        }
        $0.nested(34) {
          $0.number(1, memory.swapLimit)
          $0.number(2, memory.swapUsage)
        }
      }
      out.nested(9) { $0.number(3, memory.oomKills) }
    }
    if !stats.ioServiceBytes.isEmpty || !stats.ioServiced.isEmpty {
      out.nested(5) {
        for (field, entries) in [(1, stats.ioServiceBytes), (2, stats.ioServiced)] as [(UInt32, [CgroupStats.BlockEntry])] {
          for entry in entries {
            $0.nested(field) {
              $0.string(1, entry.operation)
              $0.number(3, entry.major)
              $0.number(4, entry.minor)
              $0.number(5, entry.value)
            }
          }
        }
      }
    }
    return out.bytes
  }

  private static func unified(_ stats: CgroupStats) -> [UInt8] {
    var out = ProtoWriter()
    if let pids = stats.pids {
      out.nested(1) {
        $0.number(1, pids.current)
        $0.number(2, pids.limit)
      }
    }
    if let cpu = stats.cpu {
      out.nested(2) {
        $0.number(1, cpu.usageTotal / 1000)
        $0.number(2, cpu.usageUser / 1000)
        $0.number(3, cpu.usageKernel / 1000)
        $0.number(4, cpu.periods)
        $0.number(5, cpu.throttledPeriods)
        $0.number(6, cpu.throttledTime / 1000)
      }
    }
    if let memory = stats.memory {
      out.nested(4) {
        write(memory, unifiedMemory, to: &$0)
        $0.number(32, memory.usage)
        $0.number(33, memory.limit)
        $0.number(34, memory.swapUsage)
        $0.number(35, memory.swapLimit)
      }
    }
    let devices = Devices(stats)
    if !devices.entries.isEmpty {
      out.nested(6) {
        for entry in devices.entries {
          $0.nested(1) {
            $0.number(1, entry.major)
            $0.number(2, entry.minor)
            for (index, value) in entry.values.enumerated() { $0.number(UInt32(index + 3), value) }
          }
        }
      }
    }
    for pages in stats.hugePages {
      out.nested(7) {
        $0.number(1, pages.usage)
        $0.number(2, pages.max)
        $0.string(3, pages.size)
      }
    }
    if let memory = stats.memory { out.nested(8) { $0.number(5, memory.oomKills) } }
    return out.bytes
  }

  /// One entry a device: bytes read, bytes written, reads, writes.
  private struct Devices {
    var entries: [(major: UInt64, minor: UInt64, values: [UInt64])] = []

    init(_ stats: CgroupStats) {
      for (base, list) in [(0, stats.ioServiceBytes), (2, stats.ioServiced)] {
        for item in list {
          let operation = item.operation.lowercased()
          guard operation == "read" || operation == "write" else { continue }
          let index = entries.firstIndex { $0.major == item.major && $0.minor == item.minor } ?? entries.count
          if index == entries.count { entries.append((item.major, item.minor, [0, 0, 0, 0])) }
          entries[index].values[base + (operation == "read" ? 0 : 1)] += item.value
        }
      }
    }
  }
}
