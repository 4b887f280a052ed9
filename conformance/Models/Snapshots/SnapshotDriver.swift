import ConformanceSuites
import Protocols
import Synchronization

/// Does operations with a real snapshotter.
package struct SnapshotDriver: Sendable {
  package let subject: SnapshotSubject
  package init(_ subject: SnapshotSubject) { self.subject = subject }
  private var snapshotter: any Snapshotter { subject.snapshotter }

  /// What came, and beside it what the model cannot foretell.
  package struct Result: Sendable {
    package var came: Came<SnapshotAnswer>
    package var mounts: [Mount] = []
    package var infos: [SnapshotInfo] = []
  }

  package func perform(_ operation: SnapshotOperation) async throws -> Result {
    let mounts = Box<[Mount]>([])
    let infos = Box<[SnapshotInfo]>([])
    let came = try await Came<SnapshotAnswer> {
      switch operation {
      case .prepare(let key, let parent, let labels): return Self.told(try await snapshotter.prepare(key, parent: parent, labels: labels), mounts)
      case .view(let key, let parent, let labels): return Self.told(try await snapshotter.view(key, parent: parent, labels: labels), mounts)
      case .mounts(let key): return Self.told(try await snapshotter.mounts(key), mounts)
      case .commit(let name, let key, let labels): try await snapshotter.commit(name, key: key, labels: labels)
      case .remove(let key): try await snapshotter.remove(key)
      case .stat(let key):
        let info = try await snapshotter.stat(key)
        infos.value = [info]
        return .info(SnapshotFacts(info))
      case .update(let key, let labels, let mask):
        let info = try await snapshotter.update(SnapshotInfo(kind: .active, name: key, labels: labels), fields: FieldMask(mask))
        infos.value = [info]
        return .info(SnapshotFacts(info))
      case .walk(let filters):
        let seen = Visited<SnapshotInfo>()
        try await snapshotter.walk(FilterSet(parsing: filters)) { seen.append($0) }
        infos.value = seen.items
        let names = seen.items.map(\.name)
        if Set(names).count != names.count {
          throw Finding(kind: "walk twice", what: operation.description, expected: "each snapshot once", actual: "\(names.sorted())")
        }
        return .infos(Set(seen.items.map(SnapshotFacts.init)))
      case .usage(let key):
        let usage = try await snapshotter.usage(key)
        if usage.size < 0 || usage.inodes < 0 {
          throw Finding(kind: "usage", what: operation.description, expected: "no negative usage", actual: "\(usage)")
        }
      case .cleanup:
        // A snapshotter need not have anything to clean (SNAP-17).
        do { try await snapshotter.cleanup() } catch let error as ContainerdError where error.code == .notImplemented {}
      case .change(let key, let changes):
        try await subject.enter(try await snapshotter.mounts(key)) { tree in for change in changes { try change.perform(tree) } }
      case .look(let key):
        let seen = Visited<FileTree>()
        try await subject.enter(try await snapshotter.mounts(key)) { seen.append(try FileTree.read($0)) }
        return .files(seen.items.first ?? FileTree())
      }
      return .done
    }
    return Result(came: came, mounts: mounts.value, infos: infos.value)
  }

  private static func told(_ mounts: [Mount], _ box: Box<[Mount]>) -> SnapshotAnswer {
    box.value = mounts
    return .mounts(writable: Self.isWritable(mounts))
  }

  /// Whether one can write into what the mounts make.
  package static func isWritable(_ mounts: [Mount]) -> Bool {
    guard let root = mounts.last else { return false }
    if root.isReadOnly { return false }
    return root.type != "overlay" || root.options.contains { $0.hasPrefix("upperdir=") }
  }
}

/// A value that a closure leaves behind.
final class Box<Value: Sendable>: Sendable {
  private let held: Mutex<Value>
  init(_ value: Value) { held = Mutex(value) }
  var value: Value {
    get { held.withLock { $0 } }
    set { held.withLock { $0 = newValue } }
  }
}
