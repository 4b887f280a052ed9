import Protocols
import Synchronization

/// The snapshotter of the contract, without files. Every snapshot has a number, which stays through commit:
///
///     Mount(type: "fake", source: "3", options: ["rw", "parents=2:1"])
///
/// is the snapshot 3 on top of 2 on top of 1. Trace and fault names: `snapshots.stat`, `.update`, `.usage`, `.mounts`, `.prepare`,
/// `.view`, `.commit`, `.remove`, `.walk`, `.cleanup`, `.close`.
public final class InMemorySnapshotter: Snapshotter {
  struct Entry {
    var id: Int
    var info: SnapshotInfo
    var parents: [Int]
    var usage = SnapshotUsage(inodes: 1)
  }
  private struct State {
    var entries: [String: Entry] = [:]
    var lastID = 0
    var lastTime = Timestamp.never
    var closed = false
  }

  private let instrument: Instrument
  private let state = Mutex(State())
  private let now: @Sendable () -> Timestamp

  public init(
    trace: CallTrace = CallTrace(), faults: FaultPlan = FaultPlan(), component: String = "snapshots", now: @escaping @Sendable () -> Timestamp = Timestamp.now
  ) {
    self.instrument = Instrument(component: component, trace: trace, faults: faults)
    self.now = now
  }

  // MARK: for tests, not traced

  /// A snapshot's number and those of its parents, nearest first; nil if there is no such key.
  public func lineage(_ key: String) -> [Int]? { state.withLock { $0.entries[key].map { [$0.id] + $0.parents } } }

  /// Every number with its parent's, 0 for none.
  public var tree: [Int: Int] {
    state.withLock { state in Dictionary(uniqueKeysWithValues: state.entries.values.map { ($0.id, $0.parents.first ?? 0) }) }
  }

  public var keys: Set<String> { state.withLock { Set($0.entries.keys) } }

  /// As if something had been written into the tree.
  public func setUsage(_ usage: SnapshotUsage, of key: String) { state.withLock { $0.entries[key]?.usage = usage } }

  // MARK: Snapshotter

  public func stat(_ key: String) async throws -> SnapshotInfo {
    try await instrument.enter("stat", key)
    return try withState { try Self.entry($0, key).info }
  }

  public func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    let after = try await instrument.enter("update", info.name, fields.paths.joined(separator: " "))
    try fields.validate(object: "snapshot \(info.name)")
    let updated = try withState { state in
      var entry = try Self.entry(state, info.name)
      entry.info.labels = fields.updatedLabels(of: entry.info.labels, from: info.labels)
      try entry.info.labels.validateLabels()
      entry.info.updatedAt = time(&state)
      state.entries[info.name] = entry
      return entry.info
    }
    try after.finish()
    return updated
  }

  public func usage(_ key: String) async throws -> SnapshotUsage {
    try await instrument.enter("usage", key)
    return try withState { try Self.entry($0, key).usage }
  }

  public func mounts(_ key: String) async throws -> [Mount] {
    try await instrument.enter("mounts", key)
    return try withState { state in
      let entry = try Self.entry(state, key)
      if entry.info.kind == .committed { throw ContainerdError.failedPrecondition("snapshot \(key) is committed: it has no mounts") }
      return Self.mounts(entry)
    }
  }

  public func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let after = try await instrument.enter("prepare", key, parent ?? "")
    let mounts = try make(.active, key, parent, labels)
    try after.finish()
    return mounts
  }

  public func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let after = try await instrument.enter("view", key, parent ?? "")
    let mounts = try make(.view, key, parent, labels)
    try after.finish()
    return mounts
  }

  public func commit(_ name: String, key: String, labels: Labels) async throws {
    let after = try await instrument.enter("commit", name, key)
    if name.isEmpty { throw ContainerdError.invalidArgument("snapshot name must not be empty") }
    try labels.validateLabels()
    try withState { state in
      var entry = try Self.entry(state, key)
      if entry.info.kind != .active { throw ContainerdError.failedPrecondition("snapshot \(key) is not active") }
      if state.entries[name] != nil { throw ContainerdError.alreadyExists("snapshot \(name)") }
      let time = time(&state)
      entry.info = SnapshotInfo(kind: .committed, name: name, parent: entry.info.parent, labels: labels, createdAt: time, updatedAt: time)
      state.entries[key] = nil
      state.entries[name] = entry
    }
    try after.finish()
  }

  public func remove(_ key: String) async throws {
    let after = try await instrument.enter("remove", key)
    try withState { state in
      _ = try Self.entry(state, key)
      if state.entries.values.contains(where: { $0.info.parent == key }) {
        throw ContainerdError.failedPrecondition("cannot remove snapshot \(key): it has children")
      }
      state.entries[key] = nil
    }
    try after.finish()
  }

  public func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    try await instrument.enter("walk")
    let infos = try withState { $0.entries.values.map(\.info) }
    for info in infos where filters.matches(info) { try await visit(info) }
  }

  public func cleanup() async throws {
    try await instrument.enter("cleanup")
    try withState { _ in }
  }

  public func close() async throws {
    try await instrument.enter("close")
    state.withLock { $0.closed = true }
  }

  // MARK: helpers

  private func make(_ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels) throws -> [Mount] {
    if key.isEmpty { throw ContainerdError.invalidArgument("snapshot key must not be empty") }
    try labels.validateLabels()
    let parent = parent == "" ? nil : parent
    return try withState { state in
      if state.entries[key] != nil { throw ContainerdError.alreadyExists("snapshot \(key)") }
      var parents: [Int] = []
      if let parent {
        guard let entry = state.entries[parent] else { throw ContainerdError.notFound("parent snapshot \(parent)") }
        if entry.info.kind != .committed { throw ContainerdError.invalidArgument("parent \(parent) is not a committed snapshot") }
        parents = [entry.id] + entry.parents
      }
      let time = time(&state)
      state.lastID += 1
      let info = SnapshotInfo(kind: kind, name: key, parent: parent, labels: labels, createdAt: time, updatedAt: time)
      let entry = Entry(id: state.lastID, info: info, parents: parents)
      state.entries[key] = entry
      return Self.mounts(entry)
    }
  }

  private static func mounts(_ entry: Entry) -> [Mount] {
    var options = [entry.info.kind == .view ? "ro" : "rw"]
    if !entry.parents.isEmpty { options.append("parents=" + entry.parents.map(String.init).joined(separator: ":")) }
    return [Mount(type: "fake", source: "\(entry.id)", options: options)]
  }

  private func withState<Value>(_ body: (inout sending State) throws -> sending Value) throws -> Value {
    try state.withLock { state in
      if state.closed { throw ContainerdError.failedPrecondition("snapshotter is closed") }
      return try body(&state)
    }
  }

  private static func entry(_ state: State, _ key: String) throws -> Entry {
    guard let entry = state.entries[key] else { throw ContainerdError.notFound("snapshot \(key)") }
    return entry
  }

  /// Later than every time given before, however coarse the clock.
  private func time(_ state: inout State) -> Timestamp {
    let now = now()
    let last = state.lastTime
    state.lastTime =
      now > last ? now : last.nanoseconds < 999_999_999 ? Timestamp(seconds: last.seconds, nanoseconds: last.nanoseconds + 1) : last.advanced(bySeconds: 1)
    return state.lastTime
  }
}
