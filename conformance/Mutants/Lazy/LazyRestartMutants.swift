import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Protocols
import SystemKit

/// Faults of lazy snapshotters that show when their server is killed and started again.
enum LazyRestartMutants {
  static let all: [Mutant] = [
    mutant("LZ30", "reads fail while there is no server", kills: ["restart.lazy.failover", "restart.lazy.killed"], symptom: "cannot be read") { subject in
      // One read, be it under way or the next, is told of the end.
      let isToTell = Kept(false)
      subject.process = Watched(base: subject.process, killed: { isToTell.set(true) })
      subject.trees = GuardedTrees(base: subject.trees) { path in
        let tells = isToTell.now
        isToTell.set(false)
        if tells { throw SystemError(errno: ENOTCONN, operation: "read", object: path) }
      }
    },
    mutant(
      "LZ31", "each start mounts once more", kills: ["restart.lazy.mounts"], symptom: "mounted", threads: ["containerd/stargz-snapshotter#1520"]
    ) { subject in
      let starts = Kept(0)
      subject.process = Watched(base: subject.process, starts: { starts.with { $0 += 1 } })
      let mounted = subject.mounted
      subject.mounted = {
        let now = try mounted()
        return starts.now > 1 ? now + now : now
      }
    },
    mutant(
      "LZ32", "a mount that a killed server had stays for ever", kills: ["restart.lazy.killed", "restart.lazy.mounts"], symptom: "mounted",
      threads: ["containerd/stargz-snapshotter#2126"]
    ) { subject in
      let last = Kept<[String]>([])
      let mounted = subject.mounted
      subject.process = Watched(base: subject.process, killed: { last.set((try? mounted()) ?? []) })
      subject.mounted = { try Array(Set(mounted()).union(last.now)) }
    },
    mutant("LZ33", "what was fetched is forgotten at a start", kills: ["restart.lazy.kept"], symptom: "bytes were fetched to read") { subject in
      let more = Kept<Int64>(0)
      let registry = subject.registry
      let reading = Kept(false)
      subject.trees = GuardedTrees(base: subject.trees) { _ in reading.set(true) }
      subject.process = Watched(
        base: subject.process,
        killed: {
          reading.set(false)
          more.set(registry.traffic().bytes)
        })
      subject.registry.traffic = {
        var traffic = registry.traffic()
        if reading.now { traffic.bytes += more.now }
        return traffic
      }
    },
    mutant(
      "LZ34", "a server does not start without the registry", kills: ["restart.lazy.source-away"], symptom: "does not start",
      threads: ["containerd/stargz-snapshotter#134"]
    ) { subject in
      let isAway = Kept(false)
      let trouble = subject.registry.trouble
      subject.registry.trouble = {
        isAway.set($0 == .away)
        trouble($0)
      }
      subject.process = Watched(
        base: subject.process,
        starts: { if isAway.now { throw StartRefused(end: .exited(1), said: "dial tcp: connection refused") } })
    },
  ]

  private static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String, threads: [String] = [], _ change: @escaping @Sendable (inout RestartLazySubject) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .crash, on: "inproc:fuse", kills: kills, symptom: symptom, scope: kills, threads: threads) {
      $0.wrap(RestartLazySubject.self, change)
    }
  }
}

/// A process whose ends and starts are seen, and may be kept from happening.
private struct Watched: BackendProcess {
  let base: any BackendProcess
  var killed: @Sendable () -> Void = {}
  var starts: @Sendable () throws -> Void = {}
  var root: String { base.root }
  var hasFaultPlaces: Bool { base.hasFaultPlaces }

  func start(_ start: BackendStart) async throws {
    try starts()
    try await base.start(start)
  }
  func kill() async throws {
    killed()
    try await base.kill()
  }
  func terminate(within seconds: Double) async throws -> BackendEnd? { try await base.terminate(within: seconds) }
  func ended(within seconds: Double) async throws -> BackendEnd? { try await base.ended(within: seconds) }
  func passed() async throws -> [String] { try await base.passed() }
  func said() async -> String { await base.said() }
}

/// Trees whose reads may be refused.
private struct GuardedTrees: LazyTreeAccess {
  let base: any LazyTreeAccess
  let check: @Sendable (_ path: String) throws -> Void

  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
    let check = check
    try await base.enter(mounts) { try body(Guarded(base: $0, check: check)) }
  }

  private struct Guarded: LazyTree {
    let base: any LazyTree
    let check: @Sendable (String) throws -> Void
    var directory: String? { base.directory }
    func read(_ path: String, at offset: Int, count: Int) throws -> [UInt8] {
      try check(path)
      let bytes = try base.read(path, at: offset, count: count)
      try check(path)
      return bytes
    }
  }
}
