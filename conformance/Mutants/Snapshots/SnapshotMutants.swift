import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of snapshotters.
enum SnapshotMutants {
  static let all: [Mutant] = making + committing + removing + asking + walking + races + limits + files + measures + exactness + space + controls

  static func mutant(
    _ id: String, _ sentence: String, in group: CaseGroup = .snapshotMetadata, on base: String = "inproc:fake", kills: [String], symptom: String = "",
    threads: [String] = [], _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void
  ) -> Mutant {
    Mutant(
      id, sentence, in: group, on: base, kills: kills, symptom: symptom, scope: base == "inproc:overlay" && !kills.isEmpty ? kills : ["snapshots.*"],
      threads: threads
    ) {
      $0.wrap(SnapshotSubject.self) { $0.snapshotter = SnapshotterWrapper($0.snapshotter, change) }
    }
  }

  private static let making: [Mutant] = [
    mutant(
      "M001", "prepare on a taken key gives the mounts of the first", kills: ["snapshots.prepare.existing-key", "snapshots.race.one-key"], symptom: "succeeded",
      threads: ["moby/moby#44450"]
    ) {
      $0.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          return (try? await base.mounts(key)) ?? []  // a fault on purpose: whatever is there
        }
      }
    },
    mutant("M002", "view of a taken key gives the mounts of the first", kills: ["snapshots.prepare.existing-key"], symptom: "view of the taken key") {
      $0.onView = { base, key, parent, labels in
        do { return try await base.view(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          return try await base.mounts(key)
        }
      }
    },
    mutant(
      "M003", "a missing parent is taken for none", kills: ["snapshots.prepare.missing-parent", "snapshots.race.parent-in-the-making"], symptom: "",
      threads: ["containerd/containerd#5521"]
    ) {
      $0.onMaking { key, parent, labels, call in
        do { return try await call(key, parent, labels) } catch let error as ContainerdError where error.code == .notFound {
          return try await call(key, nil, labels)
        }
      }
      $0.onCommit = { base, name, key, labels in
        try await Task.sleep(for: .milliseconds(3))
        try await base.commit(name, key: key, labels: labels)
      }
    },
    mutant("M008", "an active snapshot is accepted as a parent", kills: ["snapshots.prepare.uncommitted-parent"], symptom: "succeeded") {
      $0.onMaking { key, parent, labels, call in
        do { return try await call(key, parent, labels) } catch let error as ContainerdError where error.code == .invalidArgument {
          return try await call(key, nil, labels)
        }
      }
    },
    mutant("SN01", "labels given to prepare are dropped", kills: ["snapshots.prepare.active"], symptom: "labels") {
      $0.onPrepare = { base, key, parent, _ in try await base.prepare(key, parent: parent, labels: [:]) }
    },
    mutant("SN02", "an empty key is a key", kills: ["snapshots.prepare.empty-key"], symptom: "succeeded") {
      $0.onMaking { key, parent, labels, call in try await call(key.isEmpty ? "unnamed" : key, parent, labels) }
    },
    mutant("SN03", "an empty parent is looked for", kills: ["snapshots.prepare.empty-parent"], symptom: "not found") {
      $0.onMaking { key, parent, labels, call in
        if parent == "" { throw ContainerdError.notFound("parent snapshot ") }
        return try await call(key, parent, labels)
      }
    },
    mutant("M025", "labels of any length are stored", kills: ["snapshots.prepare.label-limit"], symptom: "4097 bytes") {
      $0.onMaking { key, parent, labels, call in try await call(key, parent, labels.mapValues { String($0.prefix(4095)) }) }
    },
    mutant(
      "SN04", "labels for remote snapshotters are refused", kills: ["snapshots.prepare.snapshot-labels"], symptom: "unknown label",
      threads: ["containerd/stargz-snapshotter#144"]
    ) {
      $0.onMaking { key, parent, labels, call in
        if labels.keys.contains(where: { $0.hasPrefix("containerd.io/snapshot/") }) { throw ContainerdError.invalidArgument("unknown label") }
        return try await call(key, parent, labels)
      }
    },
    mutant("M076", "keys are compared without case", kills: ["snapshots.keys.case"], symptom: "already exists") {
      $0.onMaking { key, parent, labels, call in try await call(key.lowercased(), parent, labels) }
    },
    mutant("SN05", "a key ends at its first line", kills: ["snapshots.keys.odd"]) {
      $0.onMaking { key, parent, labels, call in try await call(String(key.prefix { $0 != "\n" }), parent, labels) }
    },
  ]

  private static let committing: [Mutant] = [
    mutant("M004", "commit replaces what has the name", kills: ["snapshots.commit.existing-name", "snapshots.race.one-name"], symptom: "") {
      $0.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists && name != key {
          try await base.remove(name)
          try await base.commit(name, key: key, labels: labels)
        }
      }
    },
    mutant(
      "M005", "a refused commit takes the active snapshot along", kills: ["snapshots.commit.existing-name", "snapshots.race.one-name"],
      threads: ["containerd/containerd#13263"]
    ) {
      $0.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          try await base.remove(key)
          throw error
        }
      }
    },
    mutant("M007", "a view can be committed", kills: ["snapshots.commit.not-active"], symptom: "succeeded") {
      $0.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch let error as ContainerdError where error.code == .failedPrecondition {}
      }
    },
    mutant("SN06", "commit of a missing key succeeds", kills: ["snapshots.commit.missing-key", "snapshots.race.one-commit", "snapshots.race.commit-remove"]) {
      $0.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch let error as ContainerdError where error.code == .notFound {}
      }
    },
    mutant("M026", "the active snapshot's labels become the committed one's", kills: ["snapshots.commit.labels"], symptom: "labels") {
      $0.onCommit = { base, name, key, labels in
        let old = try await base.stat(key).labels
        try await base.commit(name, key: key, labels: old.merging(labels) { $1 })
      }
    },
    mutant("SN07", "commit leaves the key behind", kills: ["snapshots.commit.renames"], symptom: "it succeeded") {
      $0.onCommit = { base, name, key, labels in
        try await base.commit(name, key: key, labels: labels)
        _ = try await base.prepare(key, parent: nil, labels: [:])
      }
    },
    mutant("SN08", "an empty name is a name", kills: ["snapshots.commit.empty-name"], symptom: "succeeded") {
      $0.onCommit = { base, name, key, labels in try await base.commit(name.isEmpty ? "unnamed" : name, key: key, labels: labels) }
    },
  ]

  private static let removing: [Mutant] = [
    mutant(
      "M010", "a parent with children can be removed", kills: ["snapshots.remove.children", "snapshots.remove.chain", "snapshots.limits.siblings"],
      symptom: "succeeded", threads: ["containerd/zfs#22"]
    ) {
      $0.onRemove = { base, key in
        do { try await base.remove(key) } catch let error as ContainerdError where error.code == .failedPrecondition {}
      }
    },
    mutant("M011", "an active child does not hold its parent", kills: ["snapshots.remove.children"], symptom: "parent of active") {
      $0.onRemove = { base, key in
        let children = try await base.everything().filter { $0.parent == key }
        if !children.isEmpty, children.allSatisfy({ $0.kind == .active }) { return }
        try await base.remove(key)
      }
    },
    mutant("M013", "removing what is not there succeeds", kills: ["snapshots.missing-key", "snapshots.race.one-removal"], symptom: "succe") {
      $0.onRemove = { base, key in
        do { try await base.remove(key) } catch let error as ContainerdError where error.code == .notFound {}
      }
    },
    mutant("SN09", "a view is not removed", kills: ["snapshots.remove.each-kind"], symptom: "succeeded") {
      $0.onRemove = { base, key in if try await base.stat(key).kind != .view { try await base.remove(key) } }
    },
    mutant(
      "M080", "a removed key stays blocked for a while", kills: ["snapshots.remove.and-again"], symptom: "already exists", threads: ["siderolabs/talos#3701"]
    ) {
      let removed = Kept<Set<String>>([])
      $0.onRemove = { base, key in
        try await base.remove(key)
        removed.with { _ = $0.insert(key) }
      }
      $0.onMaking { key, parent, labels, call in
        if removed.with({ $0.contains(key) }) { throw ContainerdError.alreadyExists("snapshot \(key)") }
        return try await call(key, parent, labels)
      }
    },
    mutant("SN10", "removal takes every key along that begins alike", kills: ["snapshots.keys.prefix"]) {
      $0.onRemove = { base, key in
        try await base.remove(key)
        for info in try await base.everything() where info.name.hasPrefix(key) && info.kind != .committed { try await base.remove(info.name) }
      }
    },
    mutant("SN11", "what was once known of a name is told for ever", kills: ["snapshots.remove.name-again"], symptom: "second life") {
      let known = Kept<[String: SnapshotInfo]>([:])
      $0.onStat = { base, key in
        let info = try await base.stat(key)
        if info.kind != .committed { return info }
        return known.with { known in
          if let first = known[key] { return first }
          known[key] = info
          return info
        }
      }
    },
    mutant(
      "M059", "cleanup removes active snapshots", kills: ["snapshots.cleanup.harmless", "snapshots.race.cleanup"], threads: ["containerd/containerd#5564"]
    ) {
      $0.onCleanup = { base in
        try await base.cleanup()
        for info in try await base.everything() where info.kind == .active { try await base.remove(info.name) }
      }
    },
    mutant("SN12", "a closed snapshotter goes on", kills: ["snapshots.close.ends"], symptom: "after close") { $0.onClose = { _ in } },
  ]
}
