import CLinux
import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

extension SnapshotMutants {
  /// Faults in what is mounted, around real overlays.
  static let files: [Mutant] = [
    overlay("M038", "lower layers come in the wrong order", kills: ["snapshots.mounts.order"], symptom: "all layers have") {
      $0.changeMounts { _, _, mounts in lowers(mounts) { $0.reversed() } }
    },
    overlay(
      "M040", "more layers than a hundred are dropped from the options", in: .layerLimits,
      kills: ["snapshots.limits.every-depth", "snapshots.tree.long-chain"],
      threads: ["containerd/containerd#2153"]
    ) { $0.changeMounts { _, _, mounts in lowers(mounts) { Array($0.prefix(100)) } } },
    overlay("SN60", "the nearest parent is left out of a chain", kills: ["snapshots.mounts.order", "snapshots.tree.deleted-directory"]) {
      $0.changeMounts { _, _, mounts in lowers(mounts) { $0.count > 1 ? Array($0.dropFirst()) : $0 } }
    },
    overlay("M032F", "a view is mounted writable", in: .mounts, kills: ["snapshots.tree.view-is-read-only"], symptom: "written into a view") {
      $0.onView = { base, key, parent, labels in
        try await base.view(key, parent: parent, labels: labels).map { mount in
          var mount = mount
          mount.options = mount.options.map { $0 == "ro" ? "rw" : $0 }
          return mount
        }
      }
    },
    overlay(
      "M034", "what is done in a child goes into its parent", kills: ["snapshots.tree.parent-never-changes", "snapshots.view.shows-one-state"],
      symptom: "in the"
    ) {
      $0.onPrepare = { base, key, parent, labels in
        let mounts = try await base.prepare(key, parent: parent, labels: labels)
        guard let lower = lowers(of: mounts).first else { return mounts }
        return [Mount(type: "bind", source: lower, options: ["rbind", "rw"])]
      }
    },
    overlay(
      "SN90", "a removal goes through the mount, and erases what the snapshot stands on", kills: ["snapshots.remove.mounted"], symptom: "after the removal",
      threads: ["containerd/containerd#414"]
    ) {
      $0.onRemove = { base, key in
        // A snapshot that is committed has no mounts.
        let lower = (try? await base.mounts(key)).map { lowers(of: $0) } ?? []
        try await base.remove(key)
        for directory in lower { try clear(directory) }
      }
    },
    overlay("SN91", "what is mounted cannot be removed, for a reason of no class", kills: ["snapshots.remove.mounted"], symptom: "failed precondition") {
      $0.onRemove = { base, key in
        if key == "a" { throw ContainerdError(.unknown, "device or resource busy") }
        try await base.remove(key)
      }
    },
    overlay(
      "M037", "snapshots on one parent share a directory", in: .concurrency,
      kills: ["snapshots.race.own-trees", "snapshots.race.many-keys", "snapshots.mounts.apart"]
    ) {
      let first = Kept<[String: [Mount]]>([:])
      $0.onPrepare = { base, key, parent, labels in
        let mounts = try await base.prepare(key, parent: parent, labels: labels)
        guard let parent, !parent.isEmpty else { return mounts }
        return first.with { first in
          if let old = first[parent] { return old }
          first[parent] = mounts
          return mounts
        }
      }
    },
    onCommit("M052", "a commit forgets deletions", kills: ["snapshots.tree.parent-never-changes", "snapshots.tree.hard-links-and-renames"], symptom: "names") {
      upper in
      try each(upper) { path, status in if status.kind == .device { unlink(path) } }
    },
    onCommit("M053", "a commit forgets that a directory hides what was below", kills: ["snapshots.tree.deleted-directory"], symptom: "File exists") { upper in
      try each(upper) { path, _ in
        removexattr(path, "trusted.overlay.opaque")
        removexattr(path, "user.overlay.opaque")
      }
    },
    onCommit("M050", "a commit forgets set-user-id bits", in: .permissions, kills: ["snapshots.tree.starts-with-parent"], symptom: "mode and owners") { upper in
      try each(upper) { path, status in if status.st_mode & 0o4000 != 0 { chmod(path, status.st_mode & 0o777) } }
    },
    onCommit(
      "M046", "the root of a layer is 0755 and root's", in: .permissions, kills: ["snapshots.tree.root-owner", "snapshots.view.root"], symptom: "of the root"
    ) {
      upper in
      chown(upper, 0, 0)
      chmod(upper, 0o755)
    },
    onCommit("SN61", "a file that takes a directory's place is lost", kills: ["snapshots.tree.file-and-directory"]) { upper in
      try each(upper) { path, status in if status.kind == .file, path.hasSuffix("/dir") { unlink(path) } }
    },
    onCommit(
      "SN62", "a commit misses the file that was written last", in: .mounts, kills: ["snapshots.mounts.last-write", "snapshots.mounts.read-only-twin"]
    ) { upper in
      let newest = Kept<(path: String, time: Int)?>(nil)
      try each(upper) { path, status in
        let time = status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
        if status.kind == .file { newest.with { if time >= $0?.time ?? 0 { $0 = (path, time) } } }
      }
      if let newest = newest.now { unlink(newest.path) }
    },
    onCommit("SN63", "names longer than 250 bytes are lost in a commit", in: .layerLimits, kills: ["snapshots.limits.names"]) { upper in
      try each(upper) { path, _ in if (path.split(separator: "/").last?.utf8.count ?? 0) > 250 { unlink(path) } }
    },
    onCommit("SN64", "a commit takes two thousand names of a layer at most", in: .layerLimits, kills: ["snapshots.limits.directory"], symptom: "names listed") {
      upper in
      let count = Kept(0)
      try each(upper) { path, status in
        let number = count.with { count in
          count += 1
          return count
        }
        if number > 1000, status.kind != .directory { unlink(path) }
      }
    },
    overlay("SN65", "a refused commit empties the active snapshot", kills: ["snapshots.commit.failure-keeps-data"], symptom: "after the refusal") {
      $0.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          if let upper = try await base.mounts(key).upper { try clear(upper) }
          throw error
        }
      }
    },
    overlay("SN66", "a key made again gets its former directory", kills: ["snapshots.tree.removed-key-is-fresh"], symptom: "names") {
      let ghosts = Kept<Set<String>>([])
      $0.onRemove = { base, key in
        if try await base.stat(key).kind != .active { return try await base.remove(key) }
        try await base.commit("ghost of \(key)", key: key, labels: [:])
        ghosts.with { _ = $0.insert(key) }
      }
      $0.onPrepare = { base, key, parent, labels in
        try await base.prepare(key, parent: ghosts.now.contains(key) ? "ghost of \(key)" : parent, labels: labels)
      }
    },
    Mutant(
      "SN67", "what is written is gone when the mounts are undone", in: .snapshotMetadata, on: "inproc:overlay", kills: ["snapshots.tree.kept-between-mounts"],
      symptom: "names at mount", scope: ["snapshots.tree.kept-between-mounts"]
    ) { $0.wrap(SnapshotSubject.self) { subject in subject.trees = subject.trees.map { Forgetful(base: $0) } } },
    Mutant(
      "SN68", "a snapshot without a parent holds a skeleton", in: .snapshotMetadata, on: "inproc:overlay", kills: ["snapshots.tree.base-is-empty"],
      symptom: "names in",
      scope: ["snapshots.tree.base-is-empty"]
    ) {
      $0.wrap(SnapshotSubject.self) { subject in
        let trees = subject.trees
        subject.snapshotter = SnapshotterWrapper(subject.snapshotter) {
          $0.onPrepare = { base, key, parent, labels in
            let mounts = try await base.prepare(key, parent: parent, labels: labels)
            if parent == nil { try await trees?.enter(mounts) { try $0.makeDirectory("lost+found") } }
            return mounts
          }
        }
      }
    },
  ]

  private struct Forgetful: TreeAccess {
    let base: any TreeAccess
    func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
      try await base.enter(mounts, body)
      if let upper = mounts.upper { try clear(upper) }
    }
  }

  static func overlay(
    _ id: String, _ sentence: String, in group: CaseGroup = .snapshotMetadata, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void
  ) -> Mutant { mutant(id, sentence, in: group, on: "inproc:overlay", kills: kills, symptom: symptom, threads: threads, change) }

  /// A fault that a commit does to the layer's own files.
  private static func onCommit(
    _ id: String, _ sentence: String, in group: CaseGroup = .whiteouts, kills: [String], symptom: String = "",
    _ damage: @escaping @Sendable (String) throws -> Void
  ) -> Mutant {
    overlay(id, sentence, in: group, kills: kills, symptom: symptom) {
      $0.onCommit = { base, name, key, labels in
        let upper = try await base.mounts(key).upper
        try await base.commit(name, key: key, labels: labels)
        if let upper { try damage(upper) }
      }
    }
  }

  /// Everything below a directory, contents before their directory.
  static func each(_ directory: String, _ visit: (_ path: String, _ status: stat) throws -> Void) throws {
    for name in try Files.names(in: directory) {
      let path = "\(directory)/\(name)"
      var status = stat()
      if lstat(path, &status) != 0 { throw SystemError.last("lstat", path) }
      if status.kind == .directory { try each(path, visit) }
      try visit(path, status)
    }
  }

  static func clear(_ directory: String) throws { for name in try Files.names(in: directory) { try Files.removeTree("\(directory)/\(name)") } }

  static func lowers(of mounts: [Mount]) -> [String] {
    mounts.flatMap(\.options).filter { $0.hasPrefix("lowerdir=") }.flatMap { $0.dropFirst(9).split(separator: ":").map(String.init) }
  }

  static func lowers(_ mounts: [Mount], _ change: ([String]) -> [String]) -> [Mount] {
    mounts.map { mount in
      var mount = mount
      mount.options = mount.options.map { option in
        option.hasPrefix("lowerdir=") ? "lowerdir=" + change(option.dropFirst(9).split(separator: ":").map(String.init)).joined(separator: ":") : option
      }
      return mount
    }
  }
}
