import ConformanceKit
import ConformanceSuites
import Protocols

extension SnapshotMutants {
  static let races: [Mutant] = [
    mutant(
      "M064", "whether a parent is there is asked before the child is made", in: .concurrency, kills: ["snapshots.race.child-of-removed"],
      threads: ["containerd/containerd#1671", "containerd/containerd#10843"]
    ) {
      $0.onPrepare = { base, key, parent, labels in
        guard let parent, !parent.isEmpty else { return try await base.prepare(key, parent: nil, labels: labels) }
        _ = try await base.stat(parent)
        try await Task.sleep(for: .milliseconds(5))
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .notFound {
          return try await base.prepare(key, parent: nil, labels: labels)
        }
      }
    },
    mutant(
      "SN40", "only one snapshot can be made at a time, others are told to come back", in: .concurrency,
      kills: ["snapshots.race.many-keys", "snapshots.race.chains"], symptom: "busy"
    ) {
      let busy = Kept(0)
      $0.onPrepare = { base, key, parent, labels in
        let others = busy.with { busy in
          busy += 1
          return busy
        }
        defer { busy.with { $0 -= 1 } }
        if others > 1 { throw ContainerdError.unavailable("busy") }
        try await Task.sleep(for: .milliseconds(2))
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
    mutant(
      "M065", "nothing can be asked while a snapshot is made", in: .concurrency, kills: ["snapshots.race.reads"], symptom: "locked",
      threads: ["awslabs/soci-snapshotter#2037"]
    ) {
      let making = Kept(0)
      $0.onPrepare = { base, key, parent, labels in
        making.with { $0 += 1 }
        defer { making.with { $0 -= 1 } }
        try await Task.sleep(for: .milliseconds(5))
        return try await base.prepare(key, parent: parent, labels: labels)
      }
      $0.onStat = { base, key in
        if making.now > 0 { throw ContainerdError.unavailable("locked") }
        return try await base.stat(key)
      }
    },
    mutant("SN41", "an update reads, thinks, and writes everything", in: .concurrency, kills: ["snapshots.race.updates"], symptom: "labels") {
      $0.onUpdate = { base, info, fields in
        var whole = try await base.stat(info.name)
        try fields.validate(object: info.name)
        whole.labels = fields.updatedLabels(of: whole.labels, from: info.labels)
        try await Task.sleep(for: .milliseconds(3))
        return try await base.update(whole, fields: ["labels"])
      }
    },
    mutant("SN42", "commit and removal of one key both succeed", in: .concurrency, kills: ["snapshots.race.commit-remove"], symptom: "commit against remove") {
      $0.onCommit = { base, name, key, labels in
        try await Task.sleep(for: .milliseconds(2))
        do { try await base.commit(name, key: key, labels: labels) } catch let error as ContainerdError where error.code == .notFound {}
      }
    },
    mutant(
      "SN43", "an interrupted prepare leaves its key reserved", in: .concurrency, kills: ["snapshots.race.cancelled"], symptom: "interrupted call",
      threads: ["containerd/stargz-snapshotter#1326"]
    ) {
      let reserved = Kept<Set<String>>([])
      $0.onPrepare = { base, key, parent, labels in
        if reserved.with({ !$0.insert(key).inserted }) { throw ContainerdError.alreadyExists("snapshot \(key)") }
        try await Task.sleep(for: .milliseconds(2))
        let mounts = try await base.prepare(key, parent: parent, labels: labels)
        reserved.with { _ = $0.remove(key) }
        return mounts
      }
    },
  ]

  static let limits: [Mutant] = [
    mutant("SN50", "a chain ends at thirty", in: .layerLimits, kills: ["snapshots.limits.empty-layers"], symptom: "layers from the last") {
      $0.changeInfos { base, info in
        var info = info
        var depth = 0
        var parent = info.parent
        while let present = parent {
          depth += 1
          parent = try await base.stat(present).parent
        }
        if depth == 9 { info.parent = nil }
        return info
      }
    },
    mutant("SN51", "only thirty-two labels are kept", in: .layerLimits, kills: ["snapshots.limits.labels"], symptom: "labels") {
      $0.onMaking { key, parent, labels, call in
        try await call(key, parent, Dictionary(uniqueKeysWithValues: labels.sorted { $0.key < $1.key }.prefix(32).map { ($0.key, $0.value) }))
      }
    },
    mutant("SN52", "a parent counts up to a hundred children", in: .layerLimits, kills: ["snapshots.limits.siblings"], symptom: "resource") {
      $0.onView = { base, key, parent, labels in
        if try await base.everything().count(where: { $0.parent == parent }) >= 100 { throw ContainerdError(.resourceExhausted, "children of \(parent ?? "")") }
        return try await base.view(key, parent: parent, labels: labels)
      }
    },
  ]

  /// Wrappers without a fault: a case that notices one of them asks for more than the contract.
  static let controls: [Mutant] = ["inproc:fake", "inproc:overlay"].flatMap { base in
    [
      control("slow", "every call takes some milliseconds longer", on: base) { wrapper in
        let wait: @Sendable () async throws -> Void = { try await Task.sleep(for: .milliseconds(2)) }
        wrapper.onStat = { base, key in
          try await wait()
          return try await base.stat(key)
        }
        wrapper.onMounts = { base, key in
          try await wait()
          return try await base.mounts(key)
        }
        wrapper.onUsage = { base, key in
          try await wait()
          return try await base.usage(key)
        }
        wrapper.onMaking { key, parent, labels, call in
          try await wait()
          let mounts = try await call(key, parent, labels)
          try? await wait()  // what is made is made, whether or not the caller is still there
          return mounts
        }
        wrapper.onCommit = { base, name, key, labels in
          try await wait()
          try await base.commit(name, key: key, labels: labels)
        }
        wrapper.onRemove = { base, key in
          try await wait()
          try await base.remove(key)
        }
      },
      control("shuffled-walk", "a walk goes in another order each time", on: base) { wrapper in
        wrapper.onWalk = { base, filters, visit in for info in try await base.everything().shuffled() where filters.matches(info) { try await visit(info) } }
      },
      control("option-order", "a mount's options come in another order", on: base) { wrapper in
        wrapper.changeMounts { _, _, mounts in
          mounts.map { mount in
            var mount = mount
            mount.options.reverse()
            return mount
          }
        }
      },
      control("rich-errors", "errors say more than they must", on: base) { wrapper in
        wrapper.onStat = { base, key in
          do { return try await base.stat(key) } catch let error as ContainerdError {
            throw ContainerdError(error.code, "request 4711 at node-1: stat \(key): \(error.message) (see the handbook, page 12)")
          }
        }
        wrapper.onRemove = { base, key in
          do { try await base.remove(key) } catch let error as ContainerdError {
            throw ContainerdError(error.code, "request 4711 at node-1: remove \(key): \(error.message) (see the handbook, page 12)")
          }
        }
      },
    ]
  }

  private static func control(_ id: String, _ sentence: String, on base: String, _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void) -> Mutant {
    mutant("\(id)-snapshotter-\(base.dropFirst(7))", sentence, on: base, kills: [], change)
  }
}
