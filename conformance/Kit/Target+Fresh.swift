import BlockingIO
import ConformanceSuites
import Synchronization
import SystemKit

extension Target {
  /// A maker of fresh subjects, each with a directory of its own below the workspace's. nil if the target does not offer the subject.
  /// - Parameter last: holds the workspace of the last subject; whoever asks ends it at last.
  public func fresh<Subject: Sendable>(_ type: Subject.Type, in workspace: Workspace, last: LastWorkspace) -> FreshSubjects<Subject>? {
    guard let offer = self[type] else { return nil }
    let counter = Counter()
    let address = address
    return FreshSubjects<Subject>(
      seed: workspace.seed, budget: workspace.budget, patience: workspace.patience, choices: workspace.choices,
      note: { workspace.record.add($0, command: $1, outcome: $2) }
    ) {
      let place = "\(workspace.directory)/\(counter.next())"
      do {
        // What the last attempt's subject holds, a store behind a socket for one, must be let go of first.
        try await last.end()
        try await DedicatedThread.run { try Files.makeDirectories(place) }
        // Of an attempt that is done again every call is of interest, of hundreds by chance none.
        let record = workspace.choices.isEmpty ? Record() : workspace.record
        let next = Workspace(
          directory: place, seed: workspace.seed, patience: workspace.patience, budget: workspace.budget, record: record, mark: workspace.mark)
        last.set(next)
        return try await offer(next)
      } catch let skipped as CaseSkipped {
        throw skipped
      } catch { throw SuiteError("the target \(address) did not give a fresh \(Subject.self): \(error)") }
    }
  }
}

/// The workspace of the attempt that was made last.
public final class LastWorkspace: Sendable {
  private let last = Mutex<Workspace?>(nil)
  var workspace: Workspace? { last.withLock { $0 } }
  public init() {}
  func set(_ workspace: Workspace) { last.withLock { $0 = workspace } }

  public func end() async throws {
    let problems = await workspace?.endings.run() ?? []
    if !problems.isEmpty { throw SuiteError("the subject of the last attempt could not be put away: \(problems.joined(separator: "; "))") }
  }
}
