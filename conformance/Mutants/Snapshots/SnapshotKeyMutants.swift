import ConformanceKit
import ConformanceSuites
import Protocols

extension SnapshotMutants {
  /// Faults in what a key, a label and a time are.
  static let exactness: [Mutant] = [
    mutant("SN100", "spaces around a key do not count where it is looked up", kills: ["snapshots.keys.exact"], symptom: "stat of  key") {
      $0.onStat = { base, key in try await base.stat(String(key.drop { $0 == " " })) }
    },
    mutant("SN101", "a slash at the end of a key does not count", kills: ["snapshots.keys.exact"], symptom: "already exists") {
      $0.onMaking { key, parent, labels, call in try await call(key.count > 1 && key.hasSuffix("/") ? String(key.dropLast()) : key, parent, labels) }
    },
    mutant("SN102", "a taken key is made anew if another parent is asked for", kills: ["snapshots.prepare.taken-key"], symptom: "but it succeeded") {
      $0.onPrepare = { base, key, parent, labels in
        let asked = parent ?? ""
        if let taken = try await base.everything().first(where: { $0.name == key }), taken.kind != .committed, taken.parent ?? "" != asked {
          try await base.remove(key)
        }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
    mutant("SN103", "a view that is refused leaves its labels", kills: ["snapshots.prepare.taken-key"], symptom: "after refusals") {
      $0.onView = { base, key, parent, labels in
        do { return try await base.view(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          _ = try await base.update(SnapshotInfo(kind: .view, name: key, labels: labels), fields: ["labels"])
          throw error
        }
      }
    },
    mutant("SN104", "stat leaves out labels without a value, a walk does not", kills: ["snapshots.labels.empty-value"], symptom: "in a walk") {
      $0.onStat = { base, key in
        var info = try await base.stat(key)
        info.labels = info.labels.filter { !$0.value.isEmpty }
        return info
      }
    },
    mutant("SN105", "a label without a value ends the labels", kills: ["snapshots.labels.empty-value"], symptom: "with a value") {
      $0.changeInfos { _, info in
        var info = info
        if info.labels.values.contains("") { info.labels = [:] }
        return info
      }
    },
    mutant("SN106", "a commit keeps the time at which the key was prepared", kills: ["snapshots.commit.created"], symptom: "prepared at") {
      let prepared = Kept<[String: Timestamp]>([:])
      $0.onCommit = { base, name, key, labels in
        let time = try await base.stat(key).createdAt
        try await base.commit(name, key: key, labels: labels)
        prepared.with { $0[name] = time }
      }
      $0.changeInfos { _, info in
        var info = info
        if info.kind == .committed, let time = prepared.now[info.name] { info.createdAt = time }
        return info
      }
    },
    mutant("SN107", "a mount has a target outside of the tree", in: .mounts, kills: ["snapshots.mounts.targets"], symptom: "leads elsewhere") {
      $0.changeMounts { _, _, mounts in mounts + mounts.map { Mount(type: $0.type, source: $0.source, target: "../outside", options: $0.options) } }
    },
  ]
}
