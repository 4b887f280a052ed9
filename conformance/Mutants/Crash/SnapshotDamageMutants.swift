import CLinux
import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

extension CrashMutants {
  /// Faults of snapshotters that find their directory damaged, full, or not theirs to write.
  static let damageFaults: [Mutant] = [
    process("CR20", "what crashes left is never removed", kills: ["crash.snapshots.leftovers"], symptom: "leftovers after a start") { subject in
      guard let layout = subject.layout else { return .init() }
      let left = Kept<[String]>([])
      let open = subject.open
      subject.open = { SnapshotterWrapper(try await open()) { $0.onCleanup = { _ in } } }
      return .init(
        beforeAgain: { _ in
          left.set(try Files.names(in: layout.snapshots).filter { name in layout.staging.contains { name.hasPrefix($0) } })
        }, afterAgain: { _ in for name in left.now { try Files.makeDirectories("\(layout.snapshots)/\(name)") } })
    },
    process(
      "CR21", "one leftover that cannot be removed keeps the backend from starting", kills: ["crash.snapshots.leftovers"], symptom: "does not start",
      threads: ["containerd/containerd#11476"]
    ) { subject in
      guard let layout = subject.layout else { return .init() }
      return .init(beforeAgain: { _ in
        if try Files.names(in: layout.snapshots).contains(where: { name in layout.staging.contains { name.hasPrefix($0) } }) {
          throw StartRefused(end: .exited(1), said: "unlinkat: operation not permitted")
        }
      })
    },
    strays("CR22", "a directory that belongs to nobody is given to the next snapshot", symptom: "names in the new snapshot") { _, mounts, stray in
      guard let upper = mounts.upper else { return mounts }
      try Files.writeAtomically(Array("nobody's".utf8), to: upper + "/stray")
      return mounts
    },
    strays(
      "CR23", "a directory that belongs to nobody keeps the next snapshot from being made", symptom: "file exists", threads: ["containerd/containerd#13263"]
    ) {
      base, _, stray in throw ContainerdError(.unknown, "failed to rename: \(stray): file exists")
    },
    Mutant(
      "CR24", "a snapshot whose directory is gone cannot be removed", in: .crash, on: "inproc:overlay", kills: ["crash.snapshots.missing-directory"],
      symptom: "no such file", scope: ["crash.snapshots.missing-directory"], threads: ["containerd/zfs#22"]
    ) { target in
      places(&target) { wrapper, places in
        wrapper.onRemove = { base, key in
          if let place = places.now[key], !Files.exists(place) { throw ContainerdError(.unknown, "remove \(key): \(place): no such file or directory") }
          try await base.remove(key)
        }
      }
    },
    Mutant(
      "CR25", "a layer whose directory is gone is taken for an empty one", in: .crash, on: "inproc:overlay", kills: ["crash.snapshots.missing-parent"],
      symptom: "succeeded", scope: ["crash.snapshots.missing-parent"]
    ) { target in
      places(&target) { wrapper, places in
        wrapper.onPrepare = { base, key, parent, labels in
          do {
            let mounts = try await base.prepare(key, parent: parent, labels: labels)
            places.with { $0[key] = mounts.upper }
            return mounts
          } catch {
            guard let parent, let place = places.now[parent], !Files.exists(place) else { throw error }
            return try await base.prepare(key, parent: nil, labels: labels)
          }
        }
      }
    },
    begins(
      "CR26", "a damaged database is replaced by an empty one", kills: ["restart.snapshots.corrupt-database"], symptom: "0 of the",
      threads: ["containerd/nydus-snapshotter#151"]),
    begins(
      "CR27", "a database that is gone is made anew, and what it named is removed", kills: ["restart.snapshots.lost-database"], symptom: "0 of the",
      threads: ["containerd/containerd#3051"]),
    begins("CR28", "a database of a later version is replaced by one of ours", kills: ["restart.snapshots.newer-database"], symptom: "succeeded"),
    process("CR29", "a root that cannot be written makes the start hang", kills: ["restart.snapshots.read-only-root"], symptom: "neither ends nor serves") {
      _ in
      .init(onRefused: { _, _, _ in throw StartRefused(end: nil, said: "waiting for the lock") })
    },
    process("CR2A", "a damaged database is refused without a word", kills: ["restart.snapshots.corrupt-database"], symptom: "without a word") { _ in
      .init(onRefused: { _, _, refused in throw StartRefused(end: refused.end, said: "") })
    },
    snapshots("CR2B", "what was refused on a full disk is listed", kills: ["crash.snapshots.disk-full"], symptom: "snapshots on a full disk") {
      wrapper, ghosts, _ in
      wrapper.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch {
          ghosts.infos.with { $0[key] = SnapshotInfo(kind: .active, name: key, parent: parent, labels: labels) }
          throw error
        }
      }
      wrapper.tell(more: { Array(ghosts.infos.now.values) }) { $0 }
    },
    snapshots("CR2C", "a full disk is an unknown error", kills: ["crash.snapshots.disk-full-class"], symptom: "got unknown") { wrapper, _, _ in
      wrapper.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .resourceExhausted {
          throw ContainerdError(.unknown, error.message)
        }
      }
    },
    snapshots("CR2D", "once the disk was full nothing can be made any more", kills: ["crash.snapshots.disk-full"], symptom: "read-only") { wrapper, ghosts, _ in
      wrapper.onPrepare = { base, key, parent, labels in
        if ghosts.count.now > 0 { throw ContainerdError(.unknown, "the database is read-only since an error") }
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch {
          ghosts.count.set(1)
          throw error
        }
      }
    },
  ]

  /// A start that is refused is made to succeed, on nothing.
  private static func begins(_ id: String, _ sentence: String, kills: [String], symptom: String, threads: [String] = []) -> Mutant {
    process(id, sentence, kills: kills, symptom: symptom, threads: threads) { subject in
      guard subject.layout != nil else { return .init() }
      return .init(onRefused: { process, start, refused in
        if refused.end == .killed(by: SIGKILL) { throw refused }
        for name in try Files.names(in: process.root) { try Files.removeTree("\(process.root)/\(name)") }
        try await process.start(start)
      })
    }
  }

  /// What happens to the first snapshot that is made while a directory lies there that belongs to nobody.
  private static func strays(
    _ id: String, _ sentence: String, symptom: String, threads: [String] = [],
    _ change: @escaping @Sendable (any Snapshotter, [Mount], String) throws -> [Mount]
  ) -> Mutant {
    process(id, sentence, kills: ["crash.snapshots.stray-directory"], symptom: symptom, threads: threads) { subject in
      guard let layout = subject.layout else { return .init() }
      let stray = Kept<String?>(nil)
      let open = subject.open
      subject.open = {
        SnapshotterWrapper(try await open()) {
          $0.onPrepare = { base, key, parent, labels in
            let mounts = try await base.prepare(key, parent: parent, labels: labels)
            guard let found = stray.now else { return mounts }
            stray.set(nil)
            return try change(base, mounts, found)
          }
        }
      }
      return .init(beforeAgain: { _ in
        stray.set(try Files.names(in: layout.snapshots).map { "\(layout.snapshots)/\($0)" }.first { Files.exists("\($0)/fs/stray") })
      })
    }
  }

  /// A snapshotter that knows where each snapshot's files are.
  private static func places(_ target: inout Target, _ change: @escaping @Sendable (inout SnapshotterWrapper, Kept<[String: String]>) -> Void) {
    target.wrap(RestartSnapshotSubject.self) { subject in
      let places = Kept<[String: String]>([:])
      let open = subject.open
      subject.open = {
        let base = try await open()
        return SnapshotterWrapper(base) {
          $0.onPrepare = { base, key, parent, labels in
            let mounts = try await base.prepare(key, parent: parent, labels: labels)
            places.with { $0[key] = mounts.upper ?? mounts.last?.source }
            return mounts
          }
          $0.onCommit = { base, name, key, labels in
            try await base.commit(name, key: key, labels: labels)
            places.with { $0[name] = $0.removeValue(forKey: key) }
          }
          change(&$0, places)
        }
      }
    }
  }
}
