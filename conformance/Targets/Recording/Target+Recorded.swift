import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites

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
    if let offer = self[WireSnapshotterSubject.self] { target[WireSnapshotterSubject.self] = { try await offer($0).recorded(in: $0) } }
    if let offer = self[WireContentSubject.self] {
      target[WireContentSubject.self] = { workspace in
        var subject = try await offer(workspace)
        subject.content.store = RecordingContentStore(base: subject.content.store, record: workspace.record, tool: [], answers: Answers())
        return subject.recorded(in: workspace)
      }
    }
    return target
  }
}

extension WireSnapshotterSubject {
  /// With every call written down, in front of whatever else stands between.
  func recorded(in workspace: Workspace) -> Self {
    var subject = self
    subject.interceptors.insert(RecordedCalls(record: workspace.record, namespace: namespace, lease: lease ?? ""), at: 0)
    return subject
  }
}

extension WireContentSubject {
  /// With every listing written down, in front of whatever else stands between.
  func recorded(in workspace: Workspace) -> Self {
    var subject = self
    subject.interceptors.insert(RecordedCalls(record: workspace.record, namespace: namespace), at: 0)
    return subject
  }
}
