import ConformanceKit
import ConformanceSuites

extension Target {
  /// The same, with every call written down as a script would make it: what a good backend answers is what a script expects.
  /// - Parameter snapshotter: how it is called in the requests.
  public func recorded(snapshotter: String) -> Target {
    var target = self
    if let offer = self[SnapshotSubject.self] {
      target[SnapshotSubject.self] = { workspace in
        var subject = try await offer(workspace)
        let answers = Answers()
        subject.snapshotter = RecordingSnapshotter(base: subject.snapshotter, record: workspace.record, tool: [], name: snapshotter, answers: answers)
        if let trees = subject.trees { subject.trees = RecordingTrees(base: trees, record: workspace.record, answers: answers) }
        return subject
      }
    }
    if let offer = self[ContentSubject.self] {
      target[ContentSubject.self] = { workspace in
        var subject = try await offer(workspace)
        subject.store = RecordingContentStore(base: subject.store, record: workspace.record, tool: [], answers: Answers())
        return subject
      }
    }
    return target
  }
}
