import ConformanceSuites
import Protocols

/// Snapshotters that are killed in the middle of a change, and what the next process finds.
public enum SnapshotCrashSuite {
  public static let cases: [ContractCase<FreshSubjects<RestartSnapshotSubject>>] = [
    ContractCase(
      "crash.snapshots.prepare", "a prepare that is killed has happened or has not, and can be made again",
      "Snapshotter.prepare; SNAP-09, SNAP-10, SNAP-17",
      why: "a key that is neither there nor free makes every later attempt to unpack the image or start the container fail",
      threads: ["containerd/containerd#3369", "containerd/containerd#7834", "containerd/containerd#5110", "containerd/containerd#13263"]
    ) { try await $0.killed(over: .prepare) },
    ContractCase(
      "crash.snapshots.first-layer", "a prepare without a parent that is killed has happened or has not, and can be made again",
      "Snapshotter.prepare; SNAP-09, SNAP-10, SNAP-17", why: "the bottom layer of every image is made so", threads: ["containerd/containerd#3369"]
    ) { try await $0.killed(over: .first) },
    ContractCase(
      "crash.snapshots.view", "a view that is killed has happened or has not, and can be made again", "Snapshotter.view; SNAP-09, SNAP-11",
      why: "what reads images in the background is the first to be killed when the memory is short", threads: ["containerd/containerd#7834"]
    ) { try await $0.killed(over: .view) },
    ContractCase(
      "crash.snapshots.commit", "a commit that is killed leaves the active snapshot with its files, or the layer with them, never both and never neither",
      "Snapshotter.commit; SNAP-02, SNAP-12",
      why: "a layer that lost its files is given to every container of the image; one that is neither active nor there blocks the image for ever",
      threads: ["containerd/containerd#3051", "containerd/containerd#3671"]
    ) { try await $0.killed(over: .commit) },
    ContractCase(
      "crash.snapshots.remove", "a remove that is killed leaves the snapshot whole, or gone, never listed without its files",
      "Snapshotter.remove; SNAP-13, SNAP-17",
      why: "half a snapshot that is still listed is mounted by the next container",
      threads: ["containerd/containerd#5646", "containerd/containerd#4790", "containerd/containerd#7048"]
    ) { try await $0.killed(over: .remove) },
    ContractCase(
      "crash.snapshots.remove-layer", "the same holds for a layer that was committed", "Snapshotter.remove; SNAP-13, SNAP-17",
      why: "garbage collection removes layers while everything else goes on", threads: ["containerd/containerd#5647"]
    ) { try await $0.killed(over: .removeLayer) },
    ContractCase(
      "crash.snapshots.update", "an update that is killed leaves all labels as they were, or as they were to be", "Snapshotter.update; SNAP-06",
      why: "labels are what garbage collection goes by: half of them are worse than none"
    ) { try await $0.killed(over: .update) },
    ContractCase(
      "crash.snapshots.recovery", "a backend that is killed again while it comes up comes up the next time", "Snapshotter.prepare, Snapshotter.remove; SNAP-17",
      why: "a machine that is short of memory kills the daemon as soon as it is back: a start that only works undisturbed never ends",
      threads: ["containerd/containerd#11476"]
    ) { fresh in
      try await fresh.killed(over: .remove, twice: true)
      try await fresh.killed(over: .prepare, twice: true)
    },
    ContractCase(
      "crash.snapshots.terminated", "a backend that is told to end in the middle of its work ends in time, and what it answered is there afterwards",
      "Snapshotter.prepare, Snapshotter.commit; SNAP-09, SNAP-12",
      why: "an upgrade in the middle of a pull is the usual case: a shutdown that hangs is killed, and one that drops what it answered loses layers",
      threads: ["awslabs/soci-snapshotter#1648", "containerd/nydus-snapshotter#83"]
    ) { fresh in
      try await fresh.killed(over: .prepare, told: true)
      try await fresh.killed(over: .commit, told: true)
    },
    ContractCase(
      "crash.snapshots.random",
      "whatever is done, and whenever the backend is killed, what was answered is there afterwards and the rest has happened or has not",
      "Snapshotter, all laws; SNAP-02, SNAP-05, SNAP-12, SNAP-13, SNAP-17",
      why: "the kill that hurts comes after a sequence of calls that nobody thought of", threads: ["containerd/containerd#3369", "containerd/containerd#7834"]
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 40, seconds: 10, shrinks: 60, shrinkSeconds: 25)) { attempt, subject in
        do { try await random(attempt, subject) } catch {
          try await subject.process.kill()
          throw error
        }
        try await subject.process.kill()
      }
    },
  ]

  /// Changes by chance, with kills among them: at the n-th place that the process passes, or, where it has none, at a moment after the call.
  private static func random(_ attempt: Attempt, _ subject: RestartSnapshotSubject) async throws {
    var run = SnapshotCrashRun(subject, attempt)
    let places = subject.process.hasFaultPlaces
    func next() -> BackendStart { places ? BackendStart(crash: .any(attempt.draw(30) + 1)) : .plain }
    /// Ends what is left, and comes up again.
    func again(_ run: inout SnapshotCrashRun, from operation: SnapshotOperation?, at place: String) async throws {
      try await subject.process.kill()
      // One that dies while it comes up is started again, and may die again.
      for _ in 0..<3 where try await run.recover(from: operation, at: place, next()) { return }
      _ = try await run.recover(from: operation, at: place)
    }
    if try await !run.start(next()) { _ = try await run.start() }
    var generator = SnapshotGenerator(files: subject.trees != nil)
    generator.names = Array(generator.names.prefix(6))
    try await attempt.sequence(atMost: 25) {
      let operation = generator.draw(attempt, run.model)
      let killer = places ? nil : attempt.chance(25) ? killing(subject.process, after: attempt.draw(4000)) : nil
      let fate = try await run.step(operation)
      try await killer?.value
      let ended = try await subject.process.ended(within: 0) != nil
      if fate == .interrupted {
        try await again(&run, from: operation, at: "the moment of its end")
      } else if ended || attempt.chance(5) {
        if !ended { attempt.does("kill it at rest") }
        try await again(&run, from: nil, at: "rest")
      }
    }
    try await again(&run, from: nil, at: "rest")
    try await subject.process.kill()
    _ = try await run.recover(from: nil, at: "rest")
    try await run.allFiles()
    try await run.removeEverything()
  }

  private static func killing(_ process: any BackendProcess, after microseconds: Int) -> Task<Void, any Error> {
    Task {
      try await Task.sleep(for: .microseconds(microseconds))
      try await process.kill()
    }
  }
}
