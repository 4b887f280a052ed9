import ConformanceSuites
import Protocols

/// Content stores that are killed in the middle of a change, and what the next process finds.
public enum ContentCrashSuite {
  public static let cases: [ContractCase<FreshSubjects<RestartContentSubject>>] = [
    ContractCase(
      "crash.content.open", "the opening of an ingest that is killed leaves the ref free, or the ingest at its start", "ContentStore.writer; CON-01, CON-05",
      why: "a ref that is neither there nor free makes every later pull of the blob fail"
    ) { fresh in
      try await fresh.killed(
        over: ContentCrashScene(
          common: standing, change: { name, run in .open(run.nextWriter, ref: "new \(name)", size: 3, blob: nil) },
          afterwards: { name, run in try await run.upload("abb", ref: "new \(name)", labels: [:]) }))
    },
    ContractCase(
      "crash.content.write", "what was written and answered is there after a kill, at the offset that was answered", "ContentWriter.write; CON-05, CON-07",
      why: "a pull of gigabytes that starts over whenever the daemon is restarted never ends on a bad network", threads: ["containerd/containerd#2642"]
    ) { fresh in
      try await fresh.killed(
        over: ContentCrashScene(
          common: standing, ground: { name, run in [.open(run.nextWriter, ref: "r \(name)", size: nil, blob: nil), .write(run.nextWriter, "ab", at: 0)] }
        ) { _, run in .write(run.nextWriter - 1, "aab", at: 2) })
    },
    ContractCase(
      "crash.content.commit", "a commit that is killed has made the whole blob with its labels, or nothing; the upload can be finished",
      "ContentWriter.commit; CON-02, CON-08",
      why: "a blob that is listed and is not whole is unpacked into the root of every container; one that cannot be made again blocks the image",
      threads: ["containerd/containerd#5854", "containerd/containerd#8973", "containerd/containerd#10457"]
    ) { fresh in
      try await fresh.killed(
        over: ContentCrashScene(
          common: standing,
          ground: { name, run in [.open(run.nextWriter, ref: "r \(name)", size: nil, blob: nil), .write(run.nextWriter, "blob \(name)", at: 0)] },
          change: { name, run in .commit(run.nextWriter - 1, size: nil, blob: "blob \(name)", ["l": "1"]) },
          afterwards: { name, run in try await run.upload("blob \(name)", ref: "r \(name)", labels: ["l": "1"]) }))
    },
    ContractCase(
      "crash.content.abort", "an abort that is killed leaves the ingest whole or gone, never in part; the ref can be used",
      "ContentStore.abort; CON-05, CON-09",
      why: "a resumed upload that begins with half of an aborted one ends with the wrong digest"
    ) { fresh in
      try await fresh.killed(
        over: ContentCrashScene(
          common: standing,
          ground: { name, run in [.open(run.nextWriter, ref: "r \(name)", size: 5, blob: nil), .write(run.nextWriter, "abb", at: 0), .close(run.nextWriter)] },
          change: { name, _ in .abort("r \(name)") },
          afterwards: { name, run in try await run.upload("other \(name)", ref: "r \(name)", labels: [:]) }))
    },
    ContractCase(
      "crash.content.delete", "a delete that is killed leaves the blob whole with its labels, or gone with them", "ContentStore.delete; CON-01",
      why: "labels that outlive their blob are the next one's: garbage collection follows references that nobody made"
    ) { fresh in
      try await fresh.killed(
        over: ContentCrashScene(
          common: standing, ground: { name, run in uploading("blob \(name)", ref: "r \(name)", run) },
          change: { name, _ in .delete("blob \(name)") },
          afterwards: { name, run in try await run.upload("blob \(name)", ref: "r \(name)", labels: [:]) }))
    },
    ContractCase(
      "crash.content.update", "an update of labels that is killed leaves all as they were, or as they were to be", "ContentStore.update; CON-01",
      why: "the labels of a manifest say which layers it needs: without them the layers are collected"
    ) { fresh in
      try await fresh.killed(
        over: ContentCrashScene(common: standing, ground: { name, run in uploading("blob \(name)", ref: "r \(name)", run) }) { name, _ in
          .update("blob \(name)", ["l": "2", "n": "3"], mask: ["labels"])
        })
    },
    ContractCase(
      "crash.content.random", "whatever is done, and whenever the store is killed, what was answered is there afterwards and the rest has happened or has not",
      "ContentStore, all laws; CON-01, CON-02, CON-05, CON-07, CON-09",
      why: "the kill that hurts comes after a sequence of calls that nobody thought of", threads: ["containerd/containerd#2642", "containerd/containerd#3394"]
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

  /// A blob and an ingest that nobody touches.
  private static let standing: @Sendable (ContentCrashRun) -> [ContentOperation] = { run in
    uploading("standing", ref: "s", run) + [.open(run.nextWriter + 1, ref: "waiting", size: 9, blob: nil), .write(run.nextWriter + 1, "bb", at: 0)]
  }

  private static func uploading(_ blob: String, ref: String, _ run: ContentCrashRun) -> [ContentOperation] {
    let writer = run.nextWriter
    return [.open(writer, ref: ref, size: nil, blob: nil), .write(writer, blob, at: 0), .commit(writer, size: nil, blob: blob, ["l": "1", "m": "1"])]
  }

  private static func random(_ attempt: Attempt, _ subject: RestartContentSubject) async throws {
    var run = ContentCrashRun(subject, attempt)
    let places = subject.process.hasFaultPlaces
    func next() -> BackendStart { places ? BackendStart(crash: .any(attempt.draw(24) + 1)) : .plain }
    func again(_ run: inout ContentCrashRun, from operation: ContentOperation?, at place: String) async throws {
      try await subject.process.kill()
      for _ in 0..<3 where try await run.recover(from: operation, at: place, next()) { return }
      _ = try await run.recover(from: operation, at: place)
    }
    if try await !run.start(next()) { _ = try await run.start() }
    var generator = ContentGenerator()
    try await attempt.sequence(atMost: 30) {
      generator.mine = run.writers.filter { run.model.held($0) != nil }
      let operation = generator.draw(attempt, run.model, next: run.nextWriter)
      let killer = places ? nil : attempt.chance(20) ? killing(subject.process, after: attempt.draw(4000)) : nil
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
    try await run.removeEverything()
  }

  private static func killing(_ process: any BackendProcess, after microseconds: Int) -> Task<Void, any Error> {
    Task {
      try await Task.sleep(for: .microseconds(microseconds))
      try await process.kill()
    }
  }
}
