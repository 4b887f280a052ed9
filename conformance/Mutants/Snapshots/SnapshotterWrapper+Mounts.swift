import CLinux
import Protocols

extension SnapshotterWrapper {
  /// Changes the mounts of every call that gives some, each time alike.
  mutating func changeMounts(_ change: @escaping @Sendable (_ base: any Snapshotter, _ key: String, _ mounts: [Mount]) async throws -> [Mount]) {
    onPrepare = { base, key, parent, labels in try await change(base, key, try await base.prepare(key, parent: parent, labels: labels)) }
    onView = { base, key, parent, labels in try await change(base, key, try await base.view(key, parent: parent, labels: labels)) }
    onMounts = { base, key in try await change(base, key, try await base.mounts(key)) }
  }

  /// Changes what stat and walk tell. Filters see the change too.
  mutating func changeInfos(_ change: @escaping @Sendable (_ base: any Snapshotter, SnapshotInfo) async throws -> SnapshotInfo) {
    onStat = { base, key in try await change(base, try await base.stat(key)) }
    onWalk = { base, filters, visit in
      try await base.walk(.all) { info in
        let changed = try await change(base, info)
        if filters.matches(changed) { try await visit(changed) }
      }
    }
  }

  /// Changes how prepare and view are called.
  mutating func onMaking(
    _ make:
      @escaping @Sendable (_ key: String, _ parent: String?, Labels, _ call: @Sendable (String, String?, Labels) async throws -> [Mount]) async throws ->
      [Mount]
  ) {
    onPrepare = { base, key, parent, labels in try await make(key, parent, labels) { try await base.prepare($0, parent: $1, labels: $2) } }
    onView = { base, key, parent, labels in try await make(key, parent, labels) { try await base.view($0, parent: $1, labels: $2) } }
  }
}

extension Snapshotter {
  /// Every info, in no order.
  func everything() async throws -> [SnapshotInfo] {
    let seen = Gathered<SnapshotInfo>()
    try await walk(.all) { seen.append($0) }
    return seen.items
  }
}

extension [Mount] {
  /// The directory that an active snapshot's own files lie in; nil for a view.
  var upper: String? {
    for mount in self {
      for option in mount.options where option.hasPrefix("upperdir=") { return String(option.dropFirst(9)) }
      if mount.type == "bind", !mount.isReadOnly { return mount.source }
    }
    return nil
  }
}

enum FileKind { case file, directory, device, other }

extension stat {
  var kind: FileKind {
    switch st_mode & 0o170000 {
    case 0o100000: .file
    case 0o040000: .directory
    case 0o020000: .device
    default: .other
    }
  }
}
