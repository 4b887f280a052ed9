import BlockingIO
import CLinux
import ConformanceSuites
import Dispatch
import Protocols
import SystemKit

/// Snapshotters that are ended and started again, and what must be as before.
public enum SnapshotRestartSuite {
  public static let cases: [ContractCase<RestartSnapshotSubject>] = restarts + damages + disks

  static let restarts: [ContractCase<RestartSnapshotSubject>] = [
    ContractCase(
      "restart.snapshots.walk", "after a restart every snapshot is listed as before: name, kind, parent, labels and times",
      "Snapshotter.walk; SNAP-12, SNAP-14",
      why: "whoever upgrades the daemon must find every image and container again", threads: ["containerd/containerd#13416"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      try await stage.furnish(snapshotter)
      // Wide and deep.
      for number in 0..<40 {
        let parent = number.isMultiple(of: 4) ? "base" : "layer \(number - 1)"
        _ = try await snapshotter.prepare("making \(number)", parent: parent, labels: [:])
        try await snapshotter.commit("layer \(number)", key: "making \(number)", labels: ["containerd.io/snapshot.ref": "sha256:\(number)", "n": "\(number)"])
      }
      let base = snapshotter
      _ = try await concurrently(60) { number in try await base.prepare("container \(number)", parent: "layer \(number % 40)", labels: ["n": "\(number)"]) }
      _ = try await snapshotter.update(SnapshotInfo(kind: .committed, name: "layer 7", labels: ["n": "other"]), fields: ["labels.n"])
      let before = try await stage.all(snapshotter)
      try expectEqual(before.count, 103, "snapshots before the restart")
      for (what, end) in [("after it was told to end", false), ("after it was killed", true)] {
        if end { try await stage.process.kill() } else { _ = try await stage.ends() }
        snapshotter = try await stage.start(what)
        try await stage.expectAll(before, snapshotter, what)
        for info in before.prefix(10) { try expectEqual(try await snapshotter.stat(info.name), info, "\(what): stat of \(info.name)") }
        try await stage.expectFurnished(snapshotter, what)
      }
    },
    ContractCase(
      "restart.snapshots.mounts", "after a restart the mounts of every active snapshot and view are those that were given", "Snapshotter.mounts; SNAP-08",
      why: "a container that is restarted would come up on other files than those it wrote", threads: ["containerd/stargz-snapshotter#151"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      try await stage.furnish(snapshotter)
      var given: [String: [Mount]] = [:]
      for key in ["running", "looking"] { given[key] = try await snapshotter.mounts(key) }
      given["bare"] = try await snapshotter.prepare("bare", parent: nil, labels: [:])
      _ = try await stage.ends()
      snapshotter = try await stage.start("after it was told to end")
      for (key, mounts) in given.sorted(by: { $0.key < $1.key }) {
        try expectEqual(try await snapshotter.mounts(key), mounts, "mounts of \(key) after the restart")
      }
    },
    ContractCase(
      "restart.snapshots.mounted", "a container's mounts live on while the backend is down and after it is back", "Snapshotter.mounts; SNAP-08",
      needs: [.files],
      why: "containers run on while the daemon is upgraded: their root must not go with it",
      threads: ["containerd/stargz-snapshotter#151", "containerd/stargz-snapshotter#703", "containerd/stargz-snapshotter#318"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      try await stage.furnish(snapshotter)
      let mounts = try await snapshotter.mounts("running")
      guard let trees = subject.trees else { throw CaseSkipped(.capability, "the subject has no files") }
      let (mounted, tellMounted) = AsyncStream.makeStream(of: Void.self)
      let down = DispatchSemaphore(value: 0)
      let back = DispatchSemaphore(value: 0)
      let (wrote, tellWrote) = AsyncStream.makeStream(of: Void.self)
      let container = Task {
        defer {
          tellMounted.finish()
          tellWrote.finish()
        }
        try await trees.enter(mounts) { tree in
          try tree.write("before", bytes("before"))
          tellMounted.yield()
          down.wait()
          try tree.write("meanwhile", bytes("meanwhile"))
          try expectEqual(try tree.read("file").map { String(decoding: $0, as: UTF8.self) }, "of the base", "the base's file while the backend is down")
          tellWrote.yield()
          back.wait()
          try tree.write("after", bytes("after"))
          try expectEqual(try tree.names(""), ["after", "before", "file", "meanwhile", "own"], "names in the container's root after the restart")
        }
      }
      for await _ in mounted { break }
      try await stage.process.kill()
      down.signal()
      for await _ in wrote { break }
      snapshotter = try await stage.start("after it was killed")
      let now = try await snapshotter.mounts("running")
      back.signal()
      do { try await container.value } catch let mismatch as Mismatch { throw mismatch } catch {
        throw Mismatch(description: "the container's root, mounted before the backend was killed, cannot be used: \(error)")
      }
      try expectEqual(now, mounts, "mounts of running after the restart")
      try await trees.enter(now) { try expectEqual(try $0.names(""), ["after", "before", "file", "meanwhile", "own"], "names, mounted anew") }
    },
    ContractCase(
      "restart.snapshots.shutdown", "a backend that is told to end ends, and takes nothing with it", "Snapshotter.close; SNAP-04",
      why: "a shutdown that hangs is killed after a minute and a half by the init system, and one that cleans up removes images",
      threads: ["containerd/stargz-snapshotter#2126", "containerd/stargz-snapshotter#901", "containerd/stargz-snapshotter#1520"]
    ) { subject in
      let (stage, first) = try await SnapshotStage.open(subject)
      var snapshotter = first
      try await stage.furnish(snapshotter)
      let before = try await stage.all(snapshotter)
      let entries = try await subject.leftovers?()
      let mountsBefore = try await onDisk { try Self.mounts(below: subject.process.root) }
      let end = try await stage.ends()
      if case .killed(let signal) = end, signal != SIGTERM {
        throw Mismatch(description: "told to end, the backend \(end): \(await stage.process.said())", expected: "it exits", actual: "it \(end)")
      }
      let mountsLeft = try await onDisk { try Self.mounts(below: subject.process.root) }
      try expectEqual(mountsLeft, mountsBefore.isEmpty ? [] : mountsBefore, "mounts below its root, once it has ended")
      if let entries, let after = try await subject.leftovers?() { try expectEqual(after, entries, "directories of snapshots, once it has ended") }
      snapshotter = try await stage.start("after it was told to end")
      try await stage.expectAll(before, snapshotter, "after it was told to end")
      try await stage.expectFurnished(snapshotter, "after it was told to end")
    },
  ]

  private static func mounts(below root: String) throws -> [String] {
    String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self).split(separator: "\n").compactMap {
      let words = $0.split(separator: " ")
      return words.count > 4 && words[4].hasPrefix(root) ? String(words[4]) : nil
    }.sorted()
  }
}

extension SnapshotStage {
  /// Told to end, it ends in time.
  func ends() async throws -> BackendEnd {
    guard let end = try await process.terminate(within: 30) else {
      throw Mismatch(
        description: "told to end (SIGTERM), the backend still runs after 30 s: \(await process.said())", expected: "it ends within 30 s", actual: "it runs on")
    }
    return end
  }
}
