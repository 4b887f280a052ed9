import ConformanceKit
import ConformanceSuites
import Protocols

extension SnapshotMutants {
  static let asking: [Mutant] = [
    mutant("M016", "the parent told is the grandparent", kills: ["snapshots.stat.chain"], symptom: "parent of layer") {
      $0.changeInfos { base, info in
        var info = info
        if let parent = info.parent { info.parent = try await base.stat(parent).parent }
        return info
      }
    },
    mutant("M017", "a view is told to be active", kills: ["snapshots.view.view", "snapshots.update.masks"], symptom: "kind") {
      $0.changeInfos { _, info in
        var info = info
        if info.kind == .view { info.kind = .active }
        return info
      }
    },
    mutant("M019", "an update does not change the time of the update", kills: ["snapshots.stat.times"], symptom: "updated at") {
      $0.onUpdate = { base, info, fields in
        let before = try await base.stat(info.name)
        var after = try await base.update(info, fields: fields)
        after.updatedAt = before.updatedAt
        return after
      }
    },
    mutant("M020", "an update of one label replaces all", kills: ["snapshots.update.masks"], symptom: "labels of") {
      $0.onUpdate = { base, info, fields in
        let only = fields.paths.allSatisfy { $0.hasPrefix("labels") }
        return try await base.update(info, fields: only ? ["labels"] : fields)
      }
    },
    mutant("M022", "an update changes the parent", kills: ["snapshots.update.masks"], symptom: "after the mask") {
      $0.onUpdate = { base, info, fields in
        var after = try await base.update(info, fields: fields)
        after.parent = info.parent
        return after
      }
    },
    mutant("M023", "an unknown path of a mask is passed over", kills: ["snapshots.update.immutable"], symptom: "succeeded") {
      $0.onUpdate = { base, info, fields in try await base.update(info, fields: FieldMask(fields.paths.filter { $0.hasPrefix("labels") })) }
    },
    mutant("M035", "a committed snapshot has mounts", kills: ["snapshots.mounts.committed"], symptom: "succeeded") {
      $0.onMounts = { base, key in
        do { return try await base.mounts(key) } catch let error as ContainerdError where error.code == .failedPrecondition {
          return [Mount(type: "fake", source: "1", options: ["ro"])]
        }
      }
    },
    mutant("SN20", "mounts differ from one asking to the next", in: .mounts, kills: ["snapshots.mounts.stable"], symptom: "mounts of") {
      let asked = Kept(0)
      $0.onMounts = { base, key in
        var mounts = try await base.mounts(key)
        let count = asked.with { asked in
          asked += 1
          return asked
        }
        mounts[0].options.append("asked=\(count)")
        return mounts
      }
    },
    mutant("SN21", "the sixtieth asking for mounts makes another", in: .mounts, kills: ["snapshots.mounts.asked-often"], symptom: "asked again") {
      let asked = Kept<[String: Int]>([:])
      $0.onMounts = { base, key in
        let mounts = try await base.mounts(key)
        let count = asked.with { asked in
          asked[key, default: 0] += 1
          return asked[key, default: 0]
        }
        return count > 60 ? mounts + mounts : mounts
      }
    },
    mutant(
      "SN22", "an option of the snapshotter's own is left among a mount's", in: .mounts, kills: ["snapshots.mounts.well-formed"], symptom: "no kernel knows"
    ) {
      $0.changeMounts { _, _, mounts in
        mounts.map { mount in
          var mount = mount
          mount.options.append("x-containerd.marker=1")
          return mount
        }
      }
    },
    mutant(
      "M032", "the mounts of a view can be written", in: .mounts, kills: ["snapshots.view.view", "snapshots.mounts.well-formed"], symptom: "can be written"
    ) {
      $0.changeMounts { _, _, mounts in
        mounts.map { mount in
          var mount = mount
          mount.options = mount.options.map { $0 == "ro" ? "rw" : $0 }
          return mount
        }
      }
    },
    mutant("SN23", "a removed view still has its mounts", in: .mounts, kills: ["snapshots.view.of-active"], symptom: "removed view") {
      let kept = Kept<[String: [Mount]]>([:])
      $0.onView = { base, key, parent, labels in
        let mounts = try await base.view(key, parent: parent, labels: labels)
        kept.with { $0[key] = mounts }
        return mounts
      }
      $0.onMounts = { base, key in
        do { return try await base.mounts(key) } catch let error as ContainerdError where error.code == .notFound {
          if let old = kept.now[key] { return old }
          throw error
        }
      }
    },
    mutant("SN24", "a child touches its parent's time", kills: ["snapshots.stat.children-change-nothing"], symptom: "info of the parent") {
      $0.onPrepare = { base, key, parent, labels in
        let mounts = try await base.prepare(key, parent: parent, labels: labels)
        if let parent, !parent.isEmpty { _ = try await base.update(try await base.stat(parent), fields: ["labels"]) }
        return mounts
      }
    },
    mutant("SN25", "usage is less than nothing", in: .usage, kills: ["snapshots.usage.kinds"], symptom: "usage of") {
      $0.onUsage = { base, key in
        let usage = try await base.usage(key)
        return SnapshotUsage(inodes: usage.inodes, size: usage.size - 4096)
      }
    },
    mutant("SN26", "each asking for usage adds to it", in: .usage, kills: ["snapshots.usage.stable"], symptom: "asked again") {
      let asked = Kept<Int64>(0)
      $0.onUsage = { base, key in
        let usage = try await base.usage(key)
        let count = asked.with { asked in
          asked += 1
          return asked
        }
        return SnapshotUsage(inodes: usage.inodes, size: usage.size + count)
      }
    },
    mutant("SN27", "a committed snapshot counts its own metadata too", in: .usage, kills: ["snapshots.usage.through-commit"], symptom: "when committed") {
      $0.onUsage = { base, key in
        let usage = try await base.usage(key)
        return try await base.stat(key).kind == .committed ? SnapshotUsage(inodes: usage.inodes + 3, size: usage.size) : usage
      }
    },
  ]

  static let walking: [Mutant] = [
    mutant("M028", "of several filters all must match", kills: ["snapshots.walk.filters"], symptom: "snapshots that match") {
      $0.onWalk = { base, filters, visit in
        let together = filters.texts.count > 1 ? [filters.texts.joined(separator: ",")] : filters.texts
        try await base.walk(FilterSet(parsing: together), visit)
      }
    },
    mutant("M029", "a filter for a label that differs passes over what lacks the label", kills: ["snapshots.walk.filters"], symptom: "labels.l!=x") {
      $0.onWalk = { base, filters, visit in
        try await base.walk(filters) { info in
          var bare = info
          bare.labels["l"] = "x"
          // What the filter takes only because the label is missing.
          if info.labels["l"] == nil, !filters.matches(bare), filters.matches(info) { return }
          try await visit(info)
        }
      }
    },
    mutant("SN30", "a walk tells no labels", kills: ["snapshots.walk.infos"], symptom: "stat of") {
      $0.onWalk = { base, filters, visit in
        try await base.walk(filters) { info in
          var info = info
          info.labels = [:]
          try await visit(info)
        }
      }
    },
    mutant("SN31", "a walk ends after a hundred", kills: ["snapshots.walk.many", "snapshots.limits.siblings"], symptom: "") {
      $0.onWalk = { base, filters, visit in
        let seen = Kept(0)
        try await base.walk(filters) { info in
          let count = seen.with { seen in
            seen += 1
            return seen
          }
          if count <= 100 { try await visit(info) }
        }
      }
    },
    mutant("SN32", "an error of the visitor is swallowed", kills: ["snapshots.walk.visitor-error"], symptom: "visitor throws") {
      $0.onWalk = { base, filters, visit in try await base.walk(filters) { info in do { try await visit(info) } catch {} } }
    },
    mutant(
      "M031", "a walk keeps others out, its visitor too", kills: ["snapshots.walk.visitor-may-change"], symptom: "no answer",
      threads: ["containerd/containerd#1706", "containerd/containerd#1730"]
    ) {
      let walking = Kept(false)
      $0.onWalk = { base, filters, visit in
        walking.set(true)
        defer { walking.set(false) }
        try await base.walk(filters, visit)
      }
      $0.onUsage = { base, key in
        while walking.now { try await Task.sleep(for: .milliseconds(20)) }
        return try await base.usage(key)
      }
    },
    mutant("SN33", "a walk goes by pages, and knows its place by number", in: .concurrency, kills: ["snapshots.race.walk"], symptom: "what stays") {
      $0.onWalk = { base, filters, visit in
        var place = 0
        while true {
          let page = try await base.everything().filter { filters.matches($0) }.sorted { $0.name < $1.name }.dropFirst(place).prefix(5)
          if page.isEmpty { return }
          for info in page { try await visit(info) }
          place += page.count
          try await Task.sleep(for: .milliseconds(1))
        }
      }
    },
  ]
}
