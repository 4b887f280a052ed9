import Protocols
import Synchronization

struct TaskKey: Hashable, Sendable {
  var namespace: String
  var id: String
}

/// Which containers have a task. A key is taken before anything is made on disk, so that two creations of one container cannot
/// share a bundle.
final class TaskRegistry: Sendable {
  private enum Entry {
    case reserved
    case task(ShimTask)
  }

  private let entries = Mutex<[TaskKey: Entry]>([:])

  /// Throws `alreadyExists` if the container has a task or is getting one.
  func reserve(_ key: TaskKey) throws(ContainerdError) {
    let free = entries.withLock { entries in
      if entries[key] != nil { return false }
      entries[key] = .reserved
      return true
    }
    if !free { throw .alreadyExists("task \(key.id)") }
  }

  func fill(_ key: TaskKey, with task: ShimTask) {
    entries.withLock { $0[key] = .task(task) }
  }

  func release(_ key: TaskKey) {
    entries.withLock { $0[key] = nil }
  }

  func task(_ key: TaskKey) -> ShimTask? {
    entries.withLock { if case .task(let task) = $0[key] { task } else { nil } }
  }

  /// Sorted by id, so that a listing is stable.
  func tasks(in namespace: String) -> [ShimTask] {
    entries.withLock { entries in
      entries.compactMap { key, entry in
        if key.namespace == namespace, case .task(let task) = entry { task } else { nil }
      }
    }.sorted { $0.id < $1.id }
  }

  func all() -> [ShimTask] {
    entries.withLock { $0.values.compactMap { if case .task(let task) = $0 { task } else { nil } } }
  }

  func contains(_ key: TaskKey) -> Bool {
    entries.withLock { $0[key] != nil }
  }
}
