import CLinux
import ConformanceSuites
import Protocols
import SystemKit

extension SnapshotRestartSuite {
  static let damages: [ContractCase<RestartSnapshotSubject>] = [
    ContractCase(
      "crash.snapshots.leftovers",
      "what earlier crashes left half-made or half-removed is gone after a start and a cleanup; one that cannot be removed keeps no other",
      "Snapshotter.cleanup; SNAP-13, SNAP-17", needs: [.layout],
      why: "what nobody removes fills the disk, and a start that fails over a single file that cannot be removed takes the whole machine down",
      threads: ["containerd/containerd#5564", "containerd/containerd#11476", "containerd/containerd#10977"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      let layout = try stage.layout()
      try await stage.furnish(snapshotter)
      let before = try await stage.all(snapshotter)
      try await stage.process.kill()
      let left = layout.staging.enumerated().flatMap { index, prefix in (0..<3).map { "\(layout.snapshots)/\(prefix)90\(index)\($0)" } }
      // In the middle, so that some come before it and some after, whatever the order.
      let stuck = left[1]
      let sticks = try await onDisk { () -> Bool in
        for directory in left { try Damage.directory("\(directory)/fs/deep/er") }
        return try Damage.immutable("\(stuck)/fs/deep/er/stray", true)
      }
      do {
        snapshotter = try await stage.start("with leftovers of crashes\(sticks ? ", one of which cannot be removed" : "")")
        // A collector of garbage looks at the disk when something was removed.
        _ = try await snapshotter.prepare("new", parent: "base", labels: [:])
        try await snapshotter.remove("new")
        try await cleanup(snapshotter, mayFail: sticks)
        try await stage.expectAll(before, snapshotter, "with leftovers of crashes")
        try await stage.expectFurnished(snapshotter, "with leftovers of crashes")
        let still = try await onDisk { left.filter { Files.exists($0) && !(sticks && $0.hasSuffix(stuck.split(separator: "/").last.map(String.init) ?? "")) } }
        try expectEqual(still, [], "leftovers after a start and a cleanup")
      } catch {
        if sticks { try await onDisk { try release(layout.snapshots) } }
        throw error
      }
      if sticks { try await onDisk { try release(layout.snapshots) } }
      try await cleanup(snapshotter, mayFail: false)
    },
    ContractCase(
      "crash.snapshots.stray-directory",
      "a directory that belongs to no snapshot is never served, keeps no snapshot from being made, and is removed by cleanup",
      "Snapshotter.prepare, Snapshotter.cleanup; SNAP-10, SNAP-17", needs: [.layout, .files],
      why: "a rolled-back creation leaves one under the next number: then no snapshot can be made any more, or it begins with another's files",
      threads: ["containerd/containerd#13263", "containerd/accelerated-container-image#102"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      let layout = try stage.layout()
      try await stage.furnish(snapshotter)
      let before = try await stage.all(snapshotter)
      try await stage.process.kill()
      let stray = try await onDisk { () -> [String] in
        let numbers = try Files.names(in: layout.snapshots).compactMap { Int($0) }
        guard let last = numbers.max() else { throw CaseSkipped(.capability, "directories of snapshots are not named by numbers") }
        let stray = (last + 1...last + 3).map { "\(layout.snapshots)/\($0)" }
        for directory in stray { try Damage.directory(layout.tree.isEmpty ? directory : "\(directory)/\(layout.tree)") }
        return stray
      }
      snapshotter = try await stage.start("with directories that belong to no snapshot")
      try await stage.expectAll(before, snapshotter, "with directories that belong to no snapshot")
      for number in 0..<5 {
        let mounts = try await snapshotter.prepare("new \(number)", parent: number.isMultiple(of: 2) ? "base" : nil, labels: [:])
        try await subject.trees?.enter(mounts) {
          try expectEqual(try $0.names(""), number.isMultiple(of: 2) ? ["file"] : [], "names in the new snapshot \(number)")
        }
      }
      for number in 0..<5 { try await snapshotter.remove("new \(number)") }
      try await cleanup(snapshotter, mayFail: false)
      try expectEqual(try await onDisk { stray.filter { Files.exists($0) } }, [], "directories that belong to no snapshot, after cleanup")
      try await stage.expectFurnished(snapshotter, "after cleanup")
    },
    ContractCase(
      "crash.snapshots.missing-directory", "a snapshot whose files are gone can be asked for and removed, and harms no other",
      "Snapshotter.stat, Snapshotter.remove; SNAP-04, SNAP-13",
      needs: [.layout],
      why: "one damaged layer must not keep the others from being used, nor garbage collection from going on",
      threads: ["containerd/containerd#3369", "containerd/containerd#7354", "containerd/containerd#10977", "containerd/zfs#22"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      try await stage.furnish(snapshotter)
      try await damaged(stage, &snapshotter)
      for key in ["hurt layer", "hurt container"] { try expectEqual(try await snapshotter.stat(key).name, key, "stat of \(key), whose directory is gone") }
      try await stage.expectFurnished(snapshotter, "beside snapshots whose directories are gone")
      _ = try await snapshotter.prepare("new", parent: "base", labels: [:])
      for key in ["hurt layer", "hurt container"] { try await snapshotter.remove(key) }
      for key in ["hurt layer", "hurt container"] { try await expectError(.notFound, from: "stat of \(key)") { _ = try await snapshotter.stat(key) } }
      // The names are free.
      _ = try await snapshotter.prepare("hurt container", parent: "base", labels: [:])
      try await snapshotter.commit("hurt layer", key: "hurt container", labels: [:])
      try await cleanup(snapshotter, mayFail: false)
    },
    ContractCase(
      "crash.snapshots.missing-parent", "what needs a layer whose files are gone is refused, and the error says what is missing",
      "Snapshotter.prepare; SNAP-10", level: .should,
      needs: [.layout], why: "a container that starts on half an image fails in ways that nobody understands",
      threads: ["containerd/containerd#7354", "containerd/containerd#934"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      let gone = try await damaged(stage, &snapshotter)
      let message = try await messageOfError(from: "prepare on a layer whose directory is gone") {
        _ = try await snapshotter.prepare("child", parent: "hurt layer", labels: [:])
      }
      try expect(message.contains("hurt layer") || message.contains(gone), "the error names neither the layer nor its directory \(gone): \(message)")
      try await expectError(.notFound, from: "stat of the child that was refused") { _ = try await snapshotter.stat("child") }
    },
    ContractCase(
      "restart.snapshots.corrupt-database", "a damaged database is refused with a message, and not replaced by an empty one", "Snapshotter, law 1; SNAP-14",
      needs: [.layout],
      why: "an empty list makes garbage of every layer on the disk: what could have been repaired is removed",
      threads: ["containerd/nydus-snapshotter#151", "containerd/containerd#13416"]
    ) { subject in
      let (stage, snapshotter) = try await SnapshotStage.open(subject)
      let layout = try stage.layout()
      try await stage.furnish(snapshotter)
      let before = try await stage.all(snapshotter)
      let entries = try await subject.leftovers?()
      _ = try await stage.ends()
      let damage = try await onDisk { try Damage.overwrite(layout.database) }
      try await refused(stage, before, "with a damaged database")
      try await stage.process.kill()
      try expect(try await onDisk { try Files.read(layout.database) } == damage, "the damaged database was overwritten: \(layout.database)")
      if let entries, let after = try await subject.leftovers?() { try expectEqual(after, entries, "directories of snapshots, beside the damaged database") }
    },
    ContractCase(
      "restart.snapshots.lost-database", "a database that is gone is no reason to forget snapshots whose directories are there", "Snapshotter, law 1; SNAP-14",
      level: .should,
      needs: [.layout],
      why: "a disk that is mounted late, or a moved root: the empty database that is made instead is the order to remove everything",
      threads: ["containerd/containerd#3051", "containerd/containerd#5521"]
    ) { subject in
      let (stage, snapshotter) = try await SnapshotStage.open(subject)
      let layout = try stage.layout()
      try await stage.furnish(snapshotter)
      let before = try await stage.all(snapshotter)
      _ = try await stage.ends()
      try await onDisk { try Damage.lose(layout.database) }
      try await refused(stage, before, "without its database")
    },
    ContractCase(
      "restart.snapshots.newer-database", "a database that a later version wrote is refused with a message", "Snapshotter, law 1; DB-04",
      needs: [.layout, .versionedDatabase],
      why: "a downgrade that goes on with what it does not understand damages what the later version needs"
    ) { subject in
      let (stage, snapshotter) = try await SnapshotStage.open(subject)
      let layout = try stage.layout()
      guard let age = layout.age else { throw CaseSkipped(.capability, "the database has no version") }
      try await stage.furnish(snapshotter)
      _ = try await stage.ends()
      try await onDisk { try age(layout.database) }
      do { try await stage.process.start() } catch let refusal as StartRefused {
        try expect(refusal.end != nil, "with a database of a later version: \(refusal)")
        try expect(!refusal.said.isEmpty, "with a database of a later version the backend ends without a word")
        return
      }
      let again = try await subject.open()
      try await expectRefusal(of: "a prepare with a database of a later version") { _ = try await again.prepare("new", parent: nil, labels: [:]) }
    },
  ]

  /// Either it does not come up and says why, or it refuses every call; or it has everything after all.
  private static func refused(_ stage: SnapshotStage, _ before: [SnapshotInfo], _ what: String) async throws {
    do { try await stage.process.start() } catch let refusal as StartRefused {
      try expect(refusal.end != nil, "\(what) the backend neither ends nor serves: \(refusal.said)")
      try expect(!refusal.said.isEmpty, "\(what) the backend ends without a word")
      return
    }
    let snapshotter = try await stage.subject.open()
    let found: [SnapshotInfo]
    do { found = try await stage.all(snapshotter) } catch is ContainerdError { return }
    if found == before { return }
    throw Mismatch(
      description: "\(what) the backend serves, and lists \(found.count) of the \(before.count) snapshots that were there",
      expected: "\(what): it is refused, or everything is there", actual: "\(found.count) of \(before.count) snapshots are listed")
  }

  /// A layer and a container whose directories are gone.
  @discardableResult
  private static func damaged(_ stage: SnapshotStage, _ snapshotter: inout any Snapshotter) async throws -> String {
    let layout = try stage.layout()
    let container = try stage.directory(of: try await snapshotter.prepare("hurt container", parent: nil, labels: [:]), below: layout.snapshots)
    let layer = try stage.directory(of: try await snapshotter.prepare("hurt", parent: nil, labels: [:]), below: layout.snapshots)
    try await snapshotter.commit("hurt layer", key: "hurt", labels: [:])
    try await stage.process.kill()
    try await onDisk { for directory in [container, layer] { try Files.removeTree(directory) } }
    snapshotter = try await stage.start("with two directories of snapshots gone")
    return layer
  }

  private static func cleanup(_ snapshotter: any Snapshotter, mayFail: Bool) async throws {
    do { try await snapshotter.cleanup() } catch let error as ContainerdError {
      if error.code != .notImplemented && !mayFail { throw error }
    }
  }

  /// Whatever was made immutable, wherever it is now.
  private static func release(_ directory: String) throws {
    for name in try Files.names(in: directory) {
      let path = "\(directory)/\(name)"
      let status = try Files.status(path)
      if status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) { try release(path) }
      if status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) { _ = try Damage.immutable(path, false) }
    }
  }

  static let disks: [ContractCase<RestartSnapshotSubject>] = [
    ContractCase(
      "crash.snapshots.disk-full", "on a full disk a call fails and changes nothing; with space again everything goes on",
      "Snapshotter.prepare; SNAP-09, SNAP-17",
      why: "a full disk is an everyday event: whoever made space again must not find a snapshotter that is broken for good",
      threads: ["containerd/containerd#13520", "containerd/containerd#14070", "containerd/containerd#14164"]
    ) { subject in
      try await fullDisk(subject) { _ in }
    },
    ContractCase(
      "crash.snapshots.disk-full-class", "the error of a full disk is of the class resource exhausted or unavailable", "Snapshotter.prepare; DB-05",
      level: .should,
      why: "a client that cannot tell a full disk from a broken image removes the image", threads: ["containerd/containerd#13520"]
    ) { subject in
      try await fullDisk(subject) { error in
        try expect(
          [.resourceExhausted, .unavailable].contains(error.code),
          "a prepare on a full disk: expected resource exhausted or unavailable, got \(error.code.rawValue): \(error)")
      }
    },
    ContractCase(
      "restart.snapshots.read-only-root", "a root that cannot be written is refused at the start with a message, or only read",
      "Snapshotter, law 1; REF-V03, REF-S10",
      why: "a disk with errors is mounted read-only by the kernel: a daemon that hangs or forgets then is worse than one that says so"
    ) { subject in
      let (stage, snapshotter) = try await SnapshotStage.open(subject)
      try await stage.furnish(snapshotter)
      let before = try await stage.all(snapshotter)
      _ = try await stage.ends()
      let root = stage.process.root
      try await onDisk { try Damage.readOnly(root) }
      do {
        try await refused(stage, before, "with a root that cannot be written")
        if try await stage.process.ended(within: 0) == nil {
          let reading = try await subject.open()
          try await expectRefusal(of: "a prepare on a root that cannot be written") { _ = try await reading.prepare("new", parent: nil, labels: [:]) }
        }
        try await stage.process.kill()
      } catch {
        try await stage.process.kill()
        try await onDisk { try Damage.writableAgain(root) }
        throw error
      }
      try await onDisk { try Damage.writableAgain(root) }
      let again = try await stage.start("with a root that can be written again")
      try await stage.expectAll(before, again, "with a root that can be written again")
    },
  ]

  private static func fullDisk(_ subject: RestartSnapshotSubject, _ judge: @Sendable (ContainerdError) throws -> Void) async throws {
    let root = subject.process.root
    try await onDisk { try Damage.smallDisk(at: root, bytes: 24 << 20, files: 6000) }
    do {
      try await fill(subject, root, judge)
      try await subject.process.kill()
    } catch {
      try await subject.process.kill()
      try await onDisk { try Damage.writableAgain(root) }
      throw error
    }
    try await onDisk { try Damage.writableAgain(root) }
  }

  private static func fill(_ subject: RestartSnapshotSubject, _ root: String, _ judge: @Sendable (ContainerdError) throws -> Void) async throws {
    let (stage, first) = try await SnapshotStage.open(subject)
    var snapshotter = first
    try await stage.furnish(snapshotter)
    try await onDisk { try Damage.fill(root) }
    var made: [String] = []
    var refusal: ContainerdError?
    for number in 0..<1500 {
      do {
        _ = try await snapshotter.prepare("full \(number)", parent: "base", labels: ["filling": String(repeating: "x", count: 2000)])
        made.append("full \(number)")
      } catch let error as ContainerdError {
        refusal = error
        break
      }
    }
    guard let refusal else { throw CaseSkipped(.environment, "1500 snapshots and a full disk: nothing was refused") }
    try judge(refusal)
    let listed = try await inTime("walk on a full disk") { [snapshotter] in try await stage.all(snapshotter).map(\.name) }
    try expectEqual(listed, (made + ["base", "looking", "running"]).sorted(), "snapshots on a full disk")
    try await onDisk { try Damage.empty(root) }
    // With space again: at once, and after a restart.
    for what in ["with space again", "with space again, after a restart"] {
      _ = try await snapshotter.prepare("full \(made.count)", parent: "base", labels: [:])
      try await snapshotter.remove("full \(made.count)")
      try await stage.expectFurnished(snapshotter, what)
      try await stage.process.kill()
      snapshotter = try await stage.start(what)
    }
    try expectEqual(try await stage.all(snapshotter).map(\.name), (made + ["base", "looking", "running"]).sorted(), "snapshots, once there is space again")
    for key in made { try await snapshotter.remove(key) }
    try await cleanup(snapshotter, mayFail: false)
    let deadline = ContinuousClock.now + .seconds(subject.settling)
    while let left = try await subject.leftovers?(), left.count != 3 {
      if ContinuousClock.now > deadline {
        throw Mismatch(
          description: "directories of snapshots, once what was made on the full disk is removed: expected those of 3 snapshots, got \(left.prefix(8))",
          expected: "directories of 3 snapshots", actual: "\(left.count)")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }
}
