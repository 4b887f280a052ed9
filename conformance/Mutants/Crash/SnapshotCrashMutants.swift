import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

extension CrashMutants {
  /// Faults of snapshotters that were killed over a call, or ended.
  static let snapshotFaults: [Mutant] = [
    snapshots("CR01", "a change of labels is not on disk when it is answered", kills: ["restart.snapshots.walk", "crash.snapshots.random"], symptom: "labels") {
      wrapper, ghosts, process in
      wrapper.onUpdate = { base, info, fields in
        let old = try await base.stat(info.name)
        let new = try await base.update(info, fields: fields)
        ghosts.infos.with { if $0[info.name] == nil { $0[info.name] = old } }
        ghosts.count.set(process.starts.now)
        return new
      }
      wrapper.tell { info in
        guard process.starts.now > ghosts.count.now, let old = ghosts.infos.now[info.name], old.kind == info.kind else { return info }
        var info = info
        info.labels = old.labels
        return info
      }
    },
    snapshots("CR02", "a commit that is killed leaves both the active snapshot and the layer", kills: ["crash.snapshots.commit"], symptom: "after a kill") {
      wrapper, ghosts, _ in
      wrapper.onCommit = { base, name, key, labels in
        let old = try await base.stat(key)
        do { try await base.commit(name, key: key, labels: labels) } catch {
          ghosts.interrupted.with { $0[name] = old }
          throw error
        }
      }
      wrapper.onWalk = { base, filters, visit in
        let seen = Gathered<SnapshotInfo>()
        try await base.walk(filters) {
          seen.append($0)
          try await visit($0)
        }
        for (name, old) in ghosts.interrupted.now where seen.items.contains(where: { $0.name == name }) { try await visit(old) }
      }
    },
    snapshots("CR03", "a commit that is killed leaves neither the active snapshot nor the layer", kills: ["crash.snapshots.commit"], symptom: "after a kill") {
      wrapper, ghosts, _ in
      wrapper.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch {
          ghosts.keys.with { $0.formUnion([name, key]) }
          throw error
        }
      }
      wrapper.tell { ghosts.keys.now.contains($0.name) ? nil : $0 }
    },
    snapshots(
      "CR04", "a remove that is killed leaves the snapshot listed without its files", kills: ["crash.snapshots.remove", "crash.snapshots.remove-layer"],
      threads: ["containerd/containerd#5646"]
    ) {
      wrapper, ghosts, _ in
      wrapper.onRemove = { base, key in
        let old = try await base.stat(key)
        do { try await base.remove(key) } catch {
          if (error as? ContainerdError)?.code != .failedPrecondition { ghosts.interrupted.with { $0[key] = old } }
          throw error
        }
      }
      wrapper.onWalk = { base, filters, visit in
        let seen = Gathered<SnapshotInfo>()
        try await base.walk(filters) {
          seen.append($0)
          try await visit($0)
        }
        for (key, old) in ghosts.interrupted.now where !seen.items.contains(where: { $0.name == key }) { try await visit(old) }
      }
    },
    snapshots(
      "CR05", "a key whose making was killed is neither there nor free",
      kills: ["crash.snapshots.prepare", "crash.snapshots.first-layer", "crash.snapshots.view"],
      symptom: "already exists", threads: ["containerd/containerd#5110"]
    ) { wrapper, ghosts, _ in
      let locked: @Sendable (any Snapshotter, String, () async throws -> [Mount]) async throws -> [Mount] = { base, key, make in
        if ghosts.keys.now.contains(key) { throw ContainerdError.alreadyExists("snapshot \(key)") }
        do { return try await make() } catch {
          ghosts.keys.with { _ = $0.insert(key) }
          throw error
        }
      }
      wrapper.onPrepare = { base, key, parent, labels in try await locked(base, key) { try await base.prepare(key, parent: parent, labels: labels) } }
      wrapper.onView = { base, key, parent, labels in try await locked(base, key) { try await base.view(key, parent: parent, labels: labels) } }
    },
    snapshots("CR06", "an update that is killed has changed half of the labels", kills: ["crash.snapshots.update"], symptom: "labels") { wrapper, ghosts, _ in
      wrapper.onUpdate = { base, info, fields in
        let old = try await base.stat(info.name)
        do { return try await base.update(info, fields: fields) } catch {
          var half = old
          half.labels.merge(info.labels) { $1 }
          ghosts.interrupted.with { $0[info.name] = half }
          throw error
        }
      }
      wrapper.tell { info in
        var info = info
        if let half = ghosts.interrupted.now[info.name] { info.labels = half.labels }
        return info
      }
    },
    process(
      "CR07", "a snapshot whose making was killed keeps its directory for ever", kills: ["crash.snapshots.prepare", "crash.snapshots.first-layer"],
      symptom: "once every snapshot was removed"
    ) {
      subject in
      guard let layout = subject.layout else { return .init() }
      let open = subject.open
      subject.open = { SnapshotterWrapper(try await open()) { $0.onCleanup = { _ in } } }
      return .init(afterAgain: { _ in try Files.makeDirectories(layout.snapshots + "/77777/fs") })
    },
    process("CR08", "files of an active snapshot are lost with the process", kills: ["crash.snapshots.commit"], symptom: "look into") { subject in
      guard let layout = subject.layout else { return .init() }
      return .init(beforeAgain: { _ in
        for name in try Files.names(in: layout.snapshots) { try Files.removeTree("\(layout.snapshots)/\(name)/fs/e/a") }
      })
    },
    snapshots("CR09", "a restart makes every snapshot as new as itself", kills: ["restart.snapshots.walk"], symptom: "not as before") { wrapper, _, process in
      wrapper.tell { info in
        var info = info
        if process.starts.now > 1 { info.createdAt = Timestamp(seconds: 1_800_000_000 + Int64(process.starts.now)) }
        return info
      }
    },
    snapshots("CR10", "after a restart mounts have other options", kills: ["restart.snapshots.mounts"], symptom: "mounts of") { wrapper, _, process in
      wrapper.onMounts = { base, key in
        try await base.mounts(key).map { mount in
          var mount = mount
          if process.starts.now > 1 { mount.options.append("noatime") }
          return mount
        }
      }
    },
    process(
      "CR11", "a restart gives running containers new, empty directories", kills: ["restart.snapshots.mounted"], symptom: "cannot be used",
      threads: ["containerd/stargz-snapshotter#151"]
    ) { subject in
      guard let layout = subject.layout else { return .init() }
      return .init(beforeAgain: { _ in
        for name in try Files.names(in: layout.snapshots) where Files.exists("\(layout.snapshots)/\(name)/work") {
          try Files.removeTree("\(layout.snapshots)/\(name)/fs")
          try Files.makeDirectories("\(layout.snapshots)/\(name)/fs")
        }
      })
    },
    process(
      "CR12", "a shutdown removes the views", kills: ["restart.snapshots.shutdown"], symptom: "directories of snapshots",
      threads: ["containerd/stargz-snapshotter#2126"]
    ) { subject in
      let open = subject.open
      return .init(onTerminate: { process in
        let snapshotter = try await open()
        let seen = Gathered<SnapshotInfo>()
        try await snapshotter.walk(.all) { seen.append($0) }
        for info in seen.items where info.kind == .view { try await snapshotter.remove(info.name) }
        return try await process.terminate(within: 30)
      })
    },
    process("CR13", "a backend is deaf to the order to end", kills: ["restart.snapshots.shutdown", "crash.snapshots.terminated"], symptom: "still runs") { _ in
      .init(onTerminate: { _ in nil })
    },
    process(
      "CR14", "a start that was killed cannot be made again", kills: ["crash.snapshots.recovery"], symptom: "does not start",
      threads: ["containerd/containerd#11476"]
    ) { _ in
      let broken = Kept(false)
      return .init(
        beforeAgain: { _ in if broken.now { throw StartRefused(end: .exited(1), said: "the lock of a former start is there") } },
        onRefused: { _, _, refused in
          broken.set(true)
          throw refused
        })
    },
    snapshots("CR15", "the snapshot that was removed before a kill comes back", kills: ["crash.snapshots.random"], symptom: "after a kill") {
      wrapper, ghosts, process in
      wrapper.onRemove = { base, key in
        let old = try await base.stat(key)
        try await base.remove(key)
        ghosts.infos.set([key: old])
        ghosts.count.set(process.starts.now)
      }
      wrapper.tell(more: { process.starts.now > ghosts.count.now ? Array(ghosts.infos.now.values) : [] }) { $0 }
    },
    snapshots("CR16", "the key that was prepared before a kill is forgotten", kills: ["crash.snapshots.random"], symptom: "after a kill") {
      wrapper, ghosts, process in
      wrapper.onPrepare = { base, key, parent, labels in
        let mounts = try await base.prepare(key, parent: parent, labels: labels)
        ghosts.keys.set([key])
        ghosts.count.set(process.starts.now)
        return mounts
      }
      wrapper.tell { process.starts.now > ghosts.count.now && ghosts.keys.now.contains($0.name) ? nil : $0 }
    },
  ]
}
