import ConformanceSuites
import Dispatch
import Protocols
import Synchronization
import SystemKit

/// Lazy snapshotters whose server is ended, with and without an order, while somebody reads.
public enum LazyRestartSuite {
  public static let cases: [ContractCase<RestartLazySubject>] = [
    ContractCase(
      "restart.lazy.failover", "nobody who reads notices that the server was killed and another was started", "LAZ-09; REF-S10; SR-11",
      needs: [.lazy, .failover], why: "Every container of a node would end with an upgrade of its snapshotter, or with the first crash of it.",
      threads: ["containerd/stargz-snapshotter#703", "containerd/stargz-snapshotter#901", "containerd/stargz-snapshotter#2359"]
    ) { subject in
      let mounts = try await subject.begin()
      let reader = Reader()
      let trees = subject.trees
      let reading: Task<Void, any Error> = Task {
        defer { reader.isOver.withLock { $0 = true } }
        try await trees.enter(mounts) { tree in
          var round = 0
          while reader.goesOn.withLock({ $0 }) {
            // Bytes that are here, and some that nobody has fetched yet.
            try tree.expectWhole(LazyImage.small[round % LazyImage.small.count], "while the server is killed and started")
            try tree.expectPart(LazyImage.large, at: (round * 300_007) % (11 << 20), count: 5000, "while the server is killed and started")
            round += 1
            reader.rounds.withLock { $0 = round }
          }
        }
      }
      do {
        try await progress("before the server was killed", of: reader, reading, subject.stall)
        for number in 1...3 {
          try await subject.process.kill()
          // Somebody waits by now.
          try await Task.sleep(for: .milliseconds(100))
          try await subject.process.startAfter("after it was killed the \(number). time, while a file was read")
          try await progress("after the server was killed the \(number). time", of: reader, reading, subject.stall)
        }
      } catch {
        reader.goesOn.withLock { $0 = false }
        throw error
      }
      reader.goesOn.withLock { $0 = false }
      try await inTime("the reader's end", seconds: Int(subject.stall) + 10) { try await reading.value }
      try await subject.end("after three kills")
    },
    ContractCase(
      "restart.lazy.killed", "a read that meets the end of the server ends as the backend declares, and afterwards all is as before",
      "LAZ-09; SNAP-04, SNAP-08; SR-11, SR-18", needs: [.lazy],
      why: "A read that waits for nobody cannot be killed, and a snapshot that cannot be removed keeps its image on the node for ever.",
      threads: ["containerd/stargz-snapshotter#703", "containerd/nydus-snapshotter#106"]
    ) { subject in
      let mounts = try await subject.begin()
      try await subject.inside(mounts, "reading before the server is killed") { try $0.expectPart(LazyImage.large, at: 0, count: 4096) }
      let trees = subject.trees
      let failsOver = subject.failsOver
      let (begun, tellBegun) = AsyncStream.makeStream(of: Void.self)
      let killed = Flag()
      let reading = Task {
        try await trees.enter(mounts) { tree in
          tellBegun.finish()
          killed.wait()
          if failsOver {
            try tree.expectPart(LazyImage.large, at: 8 << 20, count: 4096, "over the end of the server")
            return
          }
          do { _ = try tree.read(LazyImage.large, at: 8 << 20, count: 4096) } catch is SystemError { return }
          throw Mismatch(description: "a file of a lazy layer could be read when its server was dead", expected: "ENOTCONN", actual: "bytes")
        }
        tellBegun.finish()
      }
      for await _ in begun {}
      try await subject.process.kill()
      killed.raise()
      if !failsOver { try await inTime("a read after the server was killed", seconds: 10) { try await reading.value } }
      try await subject.process.startAfter("after it was killed while a lazy layer was mounted")
      if failsOver { try await inTime("a read over the end of the server", seconds: Int(subject.stall) + 10) { try await reading.value } }
      let again = try await subject.open().mounts("container")
      try await subject.inside(again, "reading after the restart") { tree in
        try tree.expectPart(LazyImage.large, at: 0, count: 4096, "after the restart")
        try tree.expectPart(LazyImage.large, at: 5 << 20, count: 4096, "after the restart")
      }
      try await subject.end("after a kill")
    },
    ContractCase(
      "restart.lazy.mounts", "after an end in order and after a kill each chain is mounted once, and can be unmounted", "LAZ-10; SNAP-13, SNAP-08; SR-12",
      needs: [.lazy], why: "Each restart would leave a mount more: what is below cannot be removed, and a node that is upgraded often runs out of mounts.",
      threads: ["containerd/stargz-snapshotter#1520", "containerd/stargz-snapshotter#2126", "awslabs/soci-snapshotter#1648", "dragonflyoss/nydus#631"]
    ) { subject in
      let mounts = try await subject.begin()
      try await subject.inside(mounts, "reading before restarts") { try $0.expectWhole("replaced") }
      let before = try subject.mounted().sorted()
      for end in ["told to end", "killed", "told to end again"] {
        if end == "killed" { try await subject.process.kill() } else { _ = try await subject.process.terminate(within: 10) }
        try await subject.process.startAfter("after it was \(end)")
        let again = try await subject.open().mounts("container")
        try await subject.inside(again, "reading after it was \(end)") { try $0.expectWhole("small/7", "after it was \(end)") }
        let now = try subject.mounted().sorted()
        try expect(Set(now).count == now.count, "after it was \(end) something is mounted twice: \(now.joined(separator: ", "))")
        try expect(now.count <= before.count, "after it was \(end) more is mounted than before: \(now.joined(separator: ", "))")
      }
      try await subject.end("after restarts")
    },
    ContractCase(
      "restart.lazy.kept", "what was fetched before a restart is not fetched again", "LAZ-05, LAZ-09; REF-S10", needs: [.lazy],
      why: "A node that reboots, or is upgraded, would fetch all its images at once."
    ) { subject in
      let mounts = try await subject.begin()
      let registry = subject.registry
      try await subject.inside(mounts, "reading before the restart") { try $0.expectPart(LazyImage.large, at: 0, count: 8 << 20) }
      try await subject.process.kill()
      try await subject.process.startAfter("after it was killed")
      let again = try await subject.open().mounts("container")
      let before = registry.traffic().bytes
      try await subject.inside(again, "reading after the restart") { tree in
        try tree.expectPart(LazyImage.large, at: 0, count: 8 << 20, "after the restart")
        let fetched = registry.traffic().bytes - before
        try expect(fetched <= 1 << 20, "after the restart \(fetched) bytes were fetched to read 8 MiB that had been read before, at most 1 MiB expected")
      }
      try await subject.end("after a kill")
    },
    ContractCase(
      "restart.lazy.source-away", "a server starts, and has every snapshot, while the registry is away", "LAZ-06, LAZ-09; SNAP-14; SR-07, SR-12",
      needs: [.lazy],
      why: "A registry that is down together with a node, as when power fails, would keep every container of it from starting, the registry's own too.",
      threads: ["containerd/stargz-snapshotter#134"]
    ) { subject in
      let mounts = try await subject.begin()
      try await subject.inside(mounts, "reading before the restart") { try $0.expectPart(LazyImage.large, at: 0, count: 4096) }
      subject.registry.trouble(.away)
      try await subject.process.kill()
      try await subject.process.startAfter("after it was killed, while the registry is away")
      let snapshotter = try await subject.open()
      let names = Visited<String>()
      try await inTime("walk and mounts while the registry is away", seconds: 15) {
        try await snapshotter.walk(.all) { names.append($0.name) }
        _ = try await snapshotter.mounts("container")
      }
      try expectEqual(Set(names.items), Set(subject.layers + ["container"]), "snapshots listed while the registry is away")
      let again = try await snapshotter.mounts("container")
      try await subject.inside(again, "reading what is here while the registry is away") {
        try $0.expectPart(LazyImage.large, at: 0, count: 4096, "while the registry is away")
      }
      subject.registry.trouble(nil)
      try await subject.inside(again, "reading when the registry is back") { try $0.expectWhole("replaced", "when the registry is back") }
      try await subject.end("after the registry was away")
    },
  ]

  /// One that reads until it is told to stop.
  private final class Reader: Sendable {
    let goesOn = Mutex(true)
    let rounds = Mutex(0)
    let isOver = Mutex(false)
  }

  /// Waits until the reader has read some more.
  private static func progress(_ what: String, of reader: Reader, _ reading: Task<Void, any Error>, _ stall: Double) async throws {
    let before = reader.rounds.withLock { $0 }
    try await eventually("reads go on \(what)", within: Int(stall) + 15) {
      reader.isOver.withLock { $0 } || reader.rounds.withLock { $0 } > before + 3 ? true : nil
    }
    // What it saw says more than that it stopped.
    if reader.isOver.withLock({ $0 }) { try await reading.value }
  }
}
