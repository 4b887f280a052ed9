import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of snapshotters that only a sequence of calls shows.
enum SnapshotSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD01", "every seventh commit loses the parent", symptom: "no parent") { wrapper in
      let memory = Memory<(commits: Int, orphans: Set<String>)>((0, []))
      let orphaned: @Sendable (SnapshotInfo) -> SnapshotInfo = { info in
        var info = info
        if memory.value.orphans.contains(info.name) { info.parent = nil }
        return info
      }
      wrapper.onCommit = { base, name, key, labels in
        try await base.commit(name, key: key, labels: labels)
        memory.with { memory in
          memory.commits += 1
          if memory.commits.isMultiple(of: 7) { memory.orphans.insert(name) } else { memory.orphans.remove(name) }
        }
      }
      wrapper.onStat = { base, key in orphaned(try await base.stat(key)) }
      wrapper.onWalk = { base, filters, visit in try await base.walk(filters) { try await visit(orphaned($0)) } }
    },
    mutant("MD02", "labels of a removed key come back when the key is used again", symptom: "labels") { wrapper in
      let removed = Memory<[String: Labels]>([:])
      wrapper.onRemove = { base, key in
        let labels = try await base.stat(key).labels
        try await base.remove(key)
        removed.with { $0[key] = labels }
      }
      wrapper.onPrepare = { base, key, parent, labels in
        let old = removed.with { $0.removeValue(forKey: key) } ?? [:]
        return try await base.prepare(key, parent: parent, labels: labels.merging(old) { new, _ in new })
      }
    },
    mutant("MD03", "a parent whose child was committed is held by the child for ever", symptom: "remove") { wrapper in
      let held = Memory<Set<String>>([])
      wrapper.onCommit = { base, name, key, labels in
        let parent = try await base.stat(key).parent
        try await base.commit(name, key: key, labels: labels)
        if let parent { held.with { _ = $0.insert(parent) } }
      }
      wrapper.onRemove = { base, key in
        if held.value.contains(key) { throw ContainerdError.failedPrecondition("snapshot \(key) has children") }
        try await base.remove(key)
      }
    },
    mutant("MD04", "a refused commit has replaced the labels already", symptom: "labels") { wrapper in
      wrapper.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch {
          if let info = try? await base.stat(key), info.kind == .active, !labels.isEmpty {  // only where the fault can strike
            _ = try await base.update(SnapshotInfo(kind: .active, name: key, labels: labels), fields: ["labels"])
          }
          throw error
        }
      }
    },
    mutant("MD05", "a view of a parent that has two views is writable", symptom: "writable mounts") { wrapper in
      let views = Memory<[String: Int]>([:])
      wrapper.onView = { base, key, parent, labels in
        var mounts = try await base.view(key, parent: parent, labels: labels)
        let count = views.with { views in
          views[parent ?? "", default: 0] += 1
          return views[parent ?? "", default: 0]
        }
        if count > 2 { for index in mounts.indices { mounts[index].options.removeAll { $0 == "ro" } } }
        return mounts
      }
    },
    mutant("MD06", "the mounts of a key are others after an update of its parent", symptom: "the same as before") { wrapper in
      let touched = Memory<Set<String>>([])
      wrapper.onUpdate = { base, info, fields in
        touched.with { _ = $0.insert(info.name) }
        return try await base.update(info, fields: fields)
      }
      wrapper.onMounts = { base, key in
        var mounts = try await base.mounts(key)
        if let parent = try await base.stat(key).parent, touched.value.contains(parent), !mounts.isEmpty { mounts[0].options.append("index=off") }
        return mounts
      }
    },
    mutant("MD07", "a key that was committed once cannot be prepared again", symptom: "already exists") { wrapper in
      let gone = Memory<Set<String>>([])
      wrapper.onCommit = { base, name, key, labels in
        try await base.commit(name, key: key, labels: labels)
        gone.with { _ = $0.insert(key) }
      }
      wrapper.onPrepare = { base, key, parent, labels in
        if gone.value.contains(key) { throw ContainerdError.alreadyExists("snapshot \(key)") }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
  ]

  static func mutant(_ id: String, _ sentence: String, symptom: String, _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void) -> Mutant {
    Mutant(id, sentence, in: .snapshotMetadata, kills: ["snapshots.model.random"], symptom: symptom, scope: ["snapshots.model"]) {
      $0.wrap(SnapshotSubject.self) { $0.snapshotter = SnapshotterWrapper($0.snapshotter, change) }
    }
  }
}

/// Faults of snapshotters that only clients at the same time show.
enum SnapshotRaceMutants {
  static let all: [Mutant] = [
    mutant("MD11", "a commit and a removal of one key at the same time both succeed") { wrapper in
      let committing = Memory<Set<String>>([])
      wrapper.onCommit = { base, name, key, labels in
        committing.with { _ = $0.insert(key) }
        await pause()
        committing.with { _ = $0.remove(key) }
        try await base.commit(name, key: key, labels: labels)
      }
      wrapper.onRemove = { base, key in
        if committing.value.contains(key) { return }
        try await base.remove(key)
      }
    },
    mutant("MD12", "two that prepare one key at the same time both get it") { wrapper in
      let making = Memory<Set<String>>([])
      wrapper.onPrepare = { base, key, parent, labels in
        let second = making.with { !$0.insert(key).inserted }
        defer { making.with { _ = $0.remove(key) } }
        await pause()
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError {
          if error.code == .alreadyExists && second { return try await base.mounts(key) }
          throw error
        }
      }
    },
    mutant("MD13", "an update reads, waits and writes: one of two at the same time is lost") { wrapper in
      wrapper.onUpdate = { base, info, fields in
        var info = info
        info.labels = fields.updatedLabels(of: try await base.stat(info.name).labels, from: info.labels)
        await pause()
        return try await base.update(info, fields: ["labels"])
      }
    },
    mutant("MD14", "a child can be made on a parent that is being removed") { wrapper in
      let removing = Memory<Set<String>>([])
      wrapper.onRemove = { base, key in
        removing.with { _ = $0.insert(key) }
        await pause()
        defer { removing.with { _ = $0.remove(key) } }
        try await base.remove(key)
      }
      wrapper.onPrepare = { base, key, parent, labels in
        if let parent, removing.value.contains(parent) {
          await pause()
          await pause()
          return try await base.prepare(key, parent: (try? await base.stat(parent)) == nil ? nil : parent, labels: labels)  // gone: made without it
        }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
  ]

  /// Long enough that another client comes between.
  static func pause() async { for _ in 0..<20 { await Task.yield() } }

  static func mutant(_ id: String, _ sentence: String, _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void) -> Mutant {
    Mutant(
      id, sentence, in: .concurrency, kills: ["snapshots.model.linearizable"], symptom: "answers that some order", scope: ["snapshots.model"]
    ) {
      $0.wrap(SnapshotSubject.self) { $0.snapshotter = SnapshotterWrapper($0.snapshotter, change) }
    }
  }
}
