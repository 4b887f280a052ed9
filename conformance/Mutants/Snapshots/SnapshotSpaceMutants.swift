import CLinux
import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

extension SnapshotMutants {
  /// Faults in what is kept, freed and disturbed, around real overlays.
  static let space: [Mutant] = [
    overlay("SN110", "what is removed is moved away and kept", kills: ["snapshots.remove.frees-space"], symptom: "removed snapshot active") {
      $0.rememberUppers { uppers, base, key in
        if let upper = uppers[key] { try keep(upper) }
        try await base.remove(key)
      }
    },
    overlay("SN111", "the files of a removed layer are kept", kills: ["snapshots.remove.frees-space"], symptom: "removed snapshot layer") {
      $0.rememberUppers { uppers, base, key in
        if try await base.stat(key).kind == .committed, let upper = uppers[key] { try keep(upper) }
        try await base.remove(key)
      }
    },
    overlay("SN112", "a removal takes files of other snapshots along", kills: ["snapshots.remove.frees-space"], symptom: "after others were removed") {
      $0.rememberUppers { uppers, base, key in
        try await base.remove(key)
        for (other, upper) in uppers where other != key && other == "kept" { try clear(upper) }
      }
    },
    overlay(
      "SN113", "cleanup empties active snapshots",
      kills: ["snapshots.cleanup.spares-data", "snapshots.mounts.asked-while-mounted", "snapshots.race.cleanup-data"]
    ) {
      $0.onCleanup = { base in
        for info in try await base.everything() where info.kind == .active {
          // Gone, or another cleanup is at it: a fault on purpose has no other wish.
          do { if let upper = try await base.mounts(info.name).upper { try clear(upper) } } catch {}
        }
        try await base.cleanup()
      }
    },
    overlay("SN114", "cleanup empties layers that nobody uses at the moment", kills: ["snapshots.cleanup.spares-data"], symptom: "in a layer after a cleanup") {
      let uppers = $0.rememberUppers { _, base, key in try await base.remove(key) }
      $0.onCleanup = { base in
        let all = try await base.everything()
        for info in all where info.kind == .committed && !all.contains(where: { $0.parent == info.name }) {
          if let upper = uppers.now[info.name] { try clear(upper) }
        }
        try await base.cleanup()
      }
    },
    overlay("SN115", "all snapshots share one work directory", in: .mounts, kills: ["snapshots.mounts.apart"], symptom: "share a directory") {
      let first = Kept<String?>(nil)
      $0.changeMounts { _, _, mounts in
        mounts.map { mount in
          var mount = mount
          mount.options = mount.options.map { option in
            guard option.hasPrefix("workdir=") else { return option }
            return first.with { first in
              if first == nil { first = option }
              return first ?? option
            }
          }
          return mount
        }
      }
    },
    overlay(
      "SN116", "each question for mounts clears the work directory", in: .mounts, kills: ["snapshots.mounts.asked-while-mounted"], symptom: "/changed"
    ) {
      $0.onMounts = { base, key in
        let mounts = try await base.mounts(key)
        for option in mounts.flatMap(\.options) where option.hasPrefix("workdir=") { try clear(String(option.dropFirst(8))) }
        return mounts
      }
    },
    overlay("SN117", "a mount has a target that no directory is made for", in: .mounts, kills: ["snapshots.mounts.targets"], symptom: "No such file") {
      $0.changeMounts { _, _, mounts in mounts + [Mount(type: "tmpfs", source: "tmpfs", target: "not/there", options: ["ro"])] }
    },
    overlay("SN118", "a usage goes on when nobody waits for it", in: .usage, kills: ["snapshots.usage.given-up"], symptom: "given up: no answer") {
      $0.onUsage = { base, key in
        let usage = try await base.usage(key)
        // In a task of its own: it is deaf to the cancellation, as the fault wants it.
        if Task.isCancelled { try await Task { try await Task.sleep(for: .seconds(8)) }.value }
        return usage
      }
    },
    overlay("SN119", "a usage that is given up leaves a lock", in: .usage, kills: ["snapshots.usage.given-up"], symptom: "locked") {
      let locked = Kept(false)
      $0.onUsage = { base, key in
        let usage = try await base.usage(key)
        if Task.isCancelled { locked.set(true) }
        return usage
      }
      $0.onPrepare = { base, key, parent, labels in
        if locked.now { throw ContainerdError.unavailable("locked") }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
  ]

  /// Gives every file directly in a directory a name beside the snapshots.
  private static func keep(_ directory: String) throws {
    for name in try Files.names(in: directory) {
      let other = "\(directory)/../../../../kept \(name) \(UInt32.random(in: 0...UInt32.max))"
      try check("link", other) { link("\(directory)/\(name)", other) }
    }
  }
}

extension SnapshotterWrapper {
  /// Keeps in mind where each snapshot's own files are, through its commit, and hands that to what removes.
  @discardableResult
  fileprivate mutating func rememberUppers(
    _ remove: @escaping @Sendable (_ uppers: [String: String], _ base: any Snapshotter, _ key: String) async throws -> Void
  ) -> Kept<[String: String]> {
    let uppers = Kept<[String: String]>([:])
    onPrepare = { base, key, parent, labels in
      let mounts = try await base.prepare(key, parent: parent, labels: labels)
      uppers.with { $0[key] = mounts.upper }
      return mounts
    }
    onCommit = { base, name, key, labels in
      try await base.commit(name, key: key, labels: labels)
      uppers.with { $0[name] = $0.removeValue(forKey: key) }
    }
    onRemove = { base, key in
      try await remove(uppers.now, base, key)
      uppers.with { $0[key] = nil }
    }
    return uppers
  }
}
