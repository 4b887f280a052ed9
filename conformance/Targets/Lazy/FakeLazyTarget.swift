import ConformanceKit
import ConformanceModels
import ConformanceSuites
import ConformanceSystemSuites

extension Target {
  /// `inproc:fake-lazy`: the executable specification of a lazy snapshotter, which is also held to what a remote one is.
  static func fakeLazy(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.closing, .remote, .source, .lazy, .credentials, .visibleLog, .visibleCache])
    target[SnapshotSubject.self] = { _ in SnapshotSubject(snapshotter: LazyModel.subject().snapshotter) }
    target[RemoteSnapshotSubject.self] = { _ in LazyModel.remote() }
    target[LazySubject.self] = { _ in LazyModel.subject() }
    return target
  }
}
