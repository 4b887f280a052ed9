import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

/// A backend's process around another, with what faulty backends remember of its ends.
final class ProcessWrapper: BackendProcess {
  let base: any BackendProcess
  /// How often it came up.
  let starts = Kept(0)
  private let changed: Changes

  struct Changes: Sendable {
    /// Before the process is started for the second time and each time after.
    var beforeAgain: (@Sendable (any BackendProcess) throws -> Void)?
    /// Once it serves, for the second time and each time after.
    var afterAgain: (@Sendable (any BackendProcess) async throws -> Void)?
    /// A start that was refused.
    var onRefused: (@Sendable (any BackendProcess, BackendStart, StartRefused) async throws -> Void)?
    var onTerminate: (@Sendable (any BackendProcess) async throws -> BackendEnd?)?
  }

  init(_ base: any BackendProcess, _ changes: Changes = Changes()) {
    self.base = base
    changed = changes
  }

  var root: String { base.root }
  var hasFaultPlaces: Bool { base.hasFaultPlaces }
  func start(_ start: BackendStart) async throws {
    let again = starts.now > 0
    if again { try changed.beforeAgain?(base) }
    do { try await base.start(start) } catch let refused as StartRefused {
      guard let onRefused = changed.onRefused else { throw refused }
      try await onRefused(base, start, refused)
    }
    starts.with { $0 += 1 }
    if again { try await changed.afterAgain?(base) }
  }
  func kill() async throws { try await base.kill() }
  func terminate(within seconds: Double) async throws -> BackendEnd? {
    if let onTerminate = changed.onTerminate { return try await onTerminate(base) }
    return try await base.terminate(within: seconds)
  }
  func ended(within seconds: Double) async throws -> BackendEnd? { try await base.ended(within: seconds) }
  func passed() async throws -> [String] { try await base.passed() }
  func said() async -> String { await base.said() }
}

/// What a faulty snapshotter keeps over its ends.
final class SnapshotGhosts: Sendable {
  /// Calls that did not come back: what they were about, and how it looked before.
  let interrupted = Kept<[String: SnapshotInfo]>([:])
  /// Kept for whatever a fault needs.
  let infos = Kept<[String: SnapshotInfo]>([:])
  let keys = Kept<Set<String>>([])
  /// How many ends there were when something was taken down.
  let count = Kept(0)
}

enum CrashMutants {
  static let all: [Mutant] = snapshotFaults + damageFaults + contentFaults + metadataFaults

  /// A fault of the snapshotter that its ends bring to light.
  static func snapshots(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout SnapshotterWrapper, SnapshotGhosts, ProcessWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .crash, on: "inproc:overlay", kills: kills, symptom: symptom, scope: kills, threads: threads) { target in
      target.wrap(RestartSnapshotSubject.self) { subject in
        let process = ProcessWrapper(subject.process)
        let ghosts = SnapshotGhosts()
        let open = subject.open
        subject.process = process
        subject.open = {
          let base = try await open()
          return SnapshotterWrapper(base) { change(&$0, ghosts, process) }
        }
      }
    }
  }

  /// A fault of the process itself.
  static func process(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout RestartSnapshotSubject) -> ProcessWrapper.Changes
  ) -> Mutant {
    Mutant(id, sentence, in: .crash, on: "inproc:overlay", kills: kills, symptom: symptom, scope: kills, threads: threads) { target in
      target.wrap(RestartSnapshotSubject.self) { subject in
        let changes = change(&subject)
        subject.process = ProcessWrapper(subject.process, changes)
      }
    }
  }

  /// A fault of the content store that its ends bring to light.
  static func contents(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout ContentStoreWrapper, ContentGhosts, ProcessWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .crash, on: "inproc:overlay", kills: kills, symptom: symptom, scope: kills, threads: threads) { target in
      target.wrap(RestartContentSubject.self) { subject in
        let process = ProcessWrapper(subject.process)
        let ghosts = ContentGhosts()
        let open = subject.open
        subject.process = process
        subject.open = {
          let base = try await open()
          return ContentStoreWrapper(base) { change(&$0, ghosts, process) }
        }
      }
    }
  }

  /// A fault of the content store's process itself.
  static func contentProcess(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [], _ changes: ProcessWrapper.Changes
  ) -> Mutant {
    Mutant(id, sentence, in: .crash, on: "inproc:overlay", kills: kills, symptom: symptom, scope: kills, threads: threads) { target in
      target.wrap(RestartContentSubject.self) { $0.process = ProcessWrapper($0.process, changes) }
    }
  }
}

/// What a faulty content store keeps over its ends.
final class ContentGhosts: Sendable {
  let interrupted = Kept<[String: Labels]>([:])
  let blobs = Kept<[Digest: ContentInfo]>([:])
  let refs = Kept<Set<String>>([])
  let count = Kept(0)
}

extension SnapshotterWrapper {
  /// Changes what is told of snapshots, one at a time: nil leaves it out. What `more` gives is told too.
  mutating func tell(more: @escaping @Sendable () -> [SnapshotInfo] = { [] }, _ change: @escaping @Sendable (SnapshotInfo) -> SnapshotInfo?) {
    onWalk = { base, filters, visit in
      try await base.walk(filters) { if let info = change($0) { try await visit(info) } }
      for info in more() where filters.matches(info) { try await visit(info) }
    }
    onStat = { base, key in
      do {
        if let info = change(try await base.stat(key)) { return info }
      } catch let error as ContainerdError where error.code == .notFound {
        if let ghost = more().first(where: { $0.name == key }) { return ghost } else { throw error }
      }
      throw ContainerdError.notFound("snapshot \(key)")
    }
  }
}
