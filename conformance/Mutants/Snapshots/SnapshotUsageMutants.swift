import CLinux
import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

extension SnapshotMutants {
  /// Faults in what a snapshot is said to take, around real overlays.
  static let measures: [Mutant] = [
    usage(
      "SN70", "usage includes the parents'", kills: ["snapshots.usage.own-bytes", "snapshots.usage.view"], symptom: "usage of",
      threads: ["containerd/containerd#2457"]
    ) {
      base, key in
      var sum = SnapshotUsage()
      var next: String? = key
      while let present = next {
        let usage = try await base.usage(present)
        sum = SnapshotUsage(inodes: sum.inodes + usage.inodes, size: sum.size + usage.size)
        next = try await base.stat(present).parent
      }
      return sum
    },
    usage("M043", "usage counts lengths, not what is allocated", kills: ["snapshots.usage.holes"], symptom: "usage of a hole") { base, key in
      try await measure(base, key) { $0.st_size }
    },
    usage(
      "M044", "a file counts once for each of its names", kills: ["snapshots.usage.links-once"], symptom: "six names", threads: ["containerd/containerd#2457"]
    ) {
      base, key in try await measure(base, key) { $0.st_blocks * 512 }
    },
    usage("SN71", "directories are not counted", kills: ["snapshots.usage.inodes"], symptom: "inodes of") { base, key in
      let usage = try await base.usage(key)
      guard let upper = try await base.mounts(key).upper else { return usage }
      var directories: Int64 = 0
      try each(upper) { _, status in if status.kind == .directory { directories += 1 } }
      return SnapshotUsage(inodes: usage.inodes - directories, size: usage.size)
    },
    overlay("SN72", "usage never falls", in: .usage, kills: ["snapshots.usage.falls"], symptom: "with it deleted") {
      let most = Kept<[String: SnapshotUsage]>([:])
      $0.onUsage = { base, key in
        let usage = try await base.usage(key)
        return most.with { most in
          let old = most[key] ?? usage
          let new = SnapshotUsage(inodes: max(old.inodes, usage.inodes), size: max(old.size, usage.size))
          most[key] = new
          return new
        }
      }
    },
    usage("SN73", "a deletion is charged with what it deletes", kills: ["snapshots.usage.deletions"], symptom: "after deleting") { base, key in
      let usage = try await base.usage(key)
      guard let upper = try await base.mounts(key).upper, let parent = try await base.stat(key).parent else { return usage }
      var deleted = false
      try each(upper) { _, status in if status.kind == .device { deleted = true } }
      return deleted ? SnapshotUsage(inodes: usage.inodes, size: usage.size + (try await base.usage(parent).size)) : usage
    },
    usage(
      "SN74", "usage fails when a file vanishes under it", in: .concurrency, kills: ["snapshots.race.usage"], symptom: "No such file",
      threads: ["containerd/containerd#720"]
    ) { base, key in
      let usage = try await base.usage(key)
      guard let upper = try await base.mounts(key).upper else { return usage }
      for _ in 0..<3 {
        do {
          let names = try Files.names(in: upper)
          try await Task.sleep(for: .milliseconds(4))
          for name in names { for file in try Files.names(in: "\(upper)/\(name)") { _ = try Files.status("\(upper)/\(name)/\(file)") } }
        } catch let error as SystemError { throw ContainerdError(.unknown, "\(error)") }
      }
      return usage
    },
  ]

  private static func usage(
    _ id: String, _ sentence: String, in group: CaseGroup = .usage, kills: [String], symptom: String, threads: [String] = [],
    _ tell: @escaping @Sendable (any Snapshotter, String) async throws -> SnapshotUsage
  ) -> Mutant {
    overlay(id, sentence, in: group, kills: kills, symptom: symptom, threads: threads) {
      $0.onUsage = { base, key in
        if try await base.stat(key).kind == .committed, id != "SN70" { return try await base.usage(key) }
        return try await tell(base, key)
      }
    }
  }

  /// Walks a snapshot's own files and counts every name.
  private static func measure(_ base: any Snapshotter, _ key: String, _ size: (stat) -> Int) async throws -> SnapshotUsage {
    guard let upper = try await base.mounts(key).upper else { return try await base.usage(key) }
    var usage = SnapshotUsage(inodes: 1, size: 4096)
    try each(upper) { _, status in usage = SnapshotUsage(inodes: usage.inodes + 1, size: usage.size + Int64(size(status))) }
    return usage
  }
}
