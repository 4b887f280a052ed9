import BlockingIO
import CLinux
import ConformanceSuites
import ConformanceSystemSuites
import Hashing
import InMemoryFakes
import Protocols
import Synchronization
import SystemKit

/// The executable specification of a lazy snapshotter: what `LazySuite` asks for, in memory, without FUSE. What is read of its trees is fetched when it is
/// read, checked, and kept.
///
/// Its faults are those that lazy snapshotters have had: with one of them it is a mutant.
public final class LazyModel: Snapshotter {
  public enum Fault: String, Sendable, CaseIterable {
    case servesUnchecked, takesShortForEnd, takesRefusalForEnd, triesOnce, staysBroken, waitsForEver, asksForWhatIsHere, keepsToken
    case fetchesLayers, fetchesAgain, fetchesForEach, locksCalls, leavesMounts, keepsBytes, endsTogether, logsToken, deadlocks, fillsFirst
  }

  static let span = 1 << 20
  /// Seconds.
  static let stall = 2.0

  private struct State {
    /// Of every snapshot that stands on lazy layers: how many, from below.
    var depth: [[Mount]: Int] = [:]
    var mounts: [String: [Mount]] = [:]
    /// Layers that are mounted, by name.
    var mounted: Set<String> = []
    var spans: [Int: [Int: [UInt8]]] = [:]
    var token = 1
    var log: [String] = []
    var broken: Set<[Int]> = []
    var isEnded = false
    var isFilling = false
  }
  private let base = InMemorySnapshotter()
  private let state = Mutex(State())
  /// Whoever fetches.
  private let fetching = Mutex(())
  private let waiting = Mutex(0)
  private let source: LazyModelSource
  private let digests: [[Digest]]
  private let trees: [LazyModelTree]
  let faults: Set<Fault>
  /// Whether it fetches what nobody has read as soon as something stands on the layers.
  private let fills: Bool
  public let layers = ["sha256:chain-1", "sha256:chain-2"]

  private init(faults: Set<Fault>, fills: Bool = false) {
    self.faults = faults
    self.fills = fills
    let blobs = LazyImage.standard.layers
    source = LazyModelSource(blobs: blobs)
    digests = Self.standardDigests
    trees = (1...blobs.count).map { LazyModelTree(blobs.prefix($0)) }
  }

  private static let standardDigests = LazyImage.standard.layers.map { blob in
    stride(from: 0, to: blob.count, by: span).map { Digest.of(Array(blob[$0..<min($0 + span, blob.count)])) }
  }

  public static func subject(_ faults: Fault...) -> LazySubject {
    var subject = subject(LazyModel(faults: Set(faults)))
    subject.filling = { Self.subject(LazyModel(faults: Set(faults), fills: true)) }
    return subject
  }

  private static func subject(_ model: LazyModel) -> LazySubject {
    LazySubject(
      snapshotter: model, layers: model.layers, registry: model.source.registry, trees: Access(model: model), stall: stall,
      mounted: { model.state.withLock { $0.mounted.sorted() } },
      held: { model.state.withLock { Int64($0.spans.values.flatMap(\.values).reduce(0) { $0 + $1.count }) } },
      log: { model.state.withLock { $0.log.joined(separator: "\n") } }, secrets: ["token-1", "token-2"])
  }

  /// The same one, as a remote snapshotter and as an ordinary one.
  public static func remote() -> RemoteSnapshotSubject {
    let model = LazyModel(faults: [])
    let source = model.source
    return RemoteSnapshotSubject(
      snapshotter: model, layers: model.layers, absent: "sha256:unknown",
      source: RemoteSource(reach: { source.reach($0) }, requests: { source.requests }))
  }

  // MARK: Snapshotter

  public func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try hold()
    let parent = parent == "" ? nil : parent
    let mounts = try await base.prepare(key, parent: parent, labels: labels)
    guard let layer = labels["containerd.io/snapshot.ref"], let place = layers.firstIndex(of: layer), parent == (place == 0 ? nil : layers[place - 1]),
      source.ask()
    else { return try await stand(key, mounts, on: parent) }
    do { try await base.commit(layer, key: key, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
      try await base.remove(key)
    }
    throw ContainerdError.alreadyExists("snapshot \(layer)")
  }

  public func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await stand(key, try await base.view(key, parent: parent, labels: labels), on: parent)
  }

  /// Mounts what the snapshot stands on.
  private func stand(_ key: String, _ mounts: [Mount], on parent: String?) async throws -> [Mount] {
    guard let parent, let place = layers.firstIndex(of: parent) else { return mounts }
    state.withLock { state in
      state.depth[mounts] = place + 1
      state.mounts[key] = mounts
      state.mounted.insert(parent)
    }
    if fills { fill(place + 1) }
    return mounts
  }

  /// Fetches the lowest layers from beginning to end, a span at a time, while nobody waits for anything.
  private func fill(_ depth: Int) {
    let isMine = state.withLock { state in
      defer { state.isFilling = true }
      return !state.isFilling
    }
    if !isMine { return }
    let failure = DedicatedThread.detach { [self] in
      for layer in 0..<depth {
        for number in 0..<(source.blobs[layer].count + Self.span - 1) / Self.span {
          while waiting.withLock({ $0 > 0 }) { usleep(2000) }
          fetching.withLock { _ in if here(layer, number) == nil { _ = fetch(layer, number, "the rest") } }
        }
      }
      state.withLock { $0.isFilling = false }
    }
    if failure != 0 { state.withLock { $0.isFilling = false } }
  }

  public func remove(_ key: String) async throws {
    try hold()
    try await base.remove(key)
    state.withLock { state in
      if let mounts = state.mounts.removeValue(forKey: key) {
        state.depth[mounts] = nil
        if faults.contains(.endsTogether) { state.isEnded = true }
      }
      guard let place = layers.firstIndex(of: key) else { return }
      if !faults.contains(.leavesMounts) { state.mounted.remove(key) } else { state.mounted.insert("\(key), as it was") }
      if !faults.contains(.keepsBytes) { state.spans[place] = nil }
    }
  }

  public func stat(_ key: String) async throws -> SnapshotInfo {
    try hold()
    return try await base.stat(key)
  }
  public func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await base.update(info, fields: fields) }
  public func usage(_ key: String) async throws -> SnapshotUsage { try await base.usage(key) }
  public func mounts(_ key: String) async throws -> [Mount] { try await base.mounts(key) }
  public func commit(_ name: String, key: String, labels: Labels) async throws { try await base.commit(name, key: key, labels: labels) }
  public func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await base.walk(filters, visit) }
  public func cleanup() async throws { try await base.cleanup() }
  public func close() async throws { try await base.close() }

  /// The fault of one lock for everything: calls wait while a read does.
  private func hold() throws {
    if !faults.contains(.locksCalls) { return }
    while waiting.withLock({ $0 > 0 }) { usleep(5000) }
  }

  // MARK: reading

  private struct Access: LazyTreeAccess {
    let model: LazyModel
    func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
      guard let depth = model.state.withLock({ $0.depth[mounts] }) else { throw ContainerdError.notFound("the mounts \(mounts)") }
      let tree = Tree(model: model, files: model.trees[depth - 1])
      model.state.withLock { $0.broken = [] }
      try await DedicatedThread.run { try body(tree) }
    }
  }

  private struct Tree: LazyTree {
    let model: LazyModel
    let files: LazyModelTree
    var directory: String? { nil }

    func read(_ path: String, at offset: Int, count: Int) throws -> [UInt8] {
      guard let file = files.files[path] else { throw SystemError(errno: ENOENT, operation: "open", object: path) }
      let part = min(offset, file.range.count)..<min(offset + count, file.range.count)
      if part.isEmpty { return [] }
      let start = file.range.lowerBound
      return try model.bytes(file.layer, start + part.lowerBound..<start + part.upperBound, path)
    }
  }

  /// Bytes of a layer, span by span.
  private func bytes(_ layer: Int, _ range: Range<Int>, _ path: String) throws(SystemError) -> [UInt8] {
    if state.withLock({ $0.isEnded }) { throw SystemError(errno: ENOTCONN, operation: "read", object: path) }
    var result: [UInt8] = []
    for number in range.lowerBound / Self.span...(range.upperBound - 1) / Self.span {
      let start = number * Self.span
      let span = try span(layer, number, path)
      let wanted = max(range.lowerBound, start) - start..<min(range.upperBound - start, Self.span)
      if wanted.lowerBound < span.count { result += span[wanted.clamped(to: 0..<span.count)] }
      if span.count < wanted.upperBound { break }
    }
    return result
  }

  private func here(_ layer: Int, _ number: Int) -> [UInt8]? {
    faults.contains(.fetchesAgain) ? nil : state.withLock { $0.spans[layer]?[number] }
  }

  private func span(_ layer: Int, _ number: Int, _ path: String) throws(SystemError) -> [UInt8] {
    if faults.contains(.asksForWhatIsHere), !source.ask() { throw SystemError(errno: EIO, operation: "read", object: path) }
    if let bytes = here(layer, number) { return bytes }
    if faults.contains(.staysBroken), state.withLock({ $0.broken.contains([layer, number]) }) {
      throw SystemError(errno: EIO, operation: "read", object: path)
    }
    while faults.contains(.fillsFirst), state.withLock({ $0.isFilling }) { usleep(5000) }
    waiting.withLock { $0 += 1 }
    defer { waiting.withLock { $0 -= 1 } }
    let result: Result<[UInt8], SystemError>
    if faults.contains(.fetchesForEach) || faults.contains(.fetchesAgain) {
      result = fetch(layer, number, path)
    } else {
      result = fetching.withLock { _ in
        // Another may have fetched it meanwhile.
        if let bytes = here(layer, number) { return .success(bytes) }
        return fetch(layer, number, path)
      }
    }
    if case .failure = result { state.withLock { _ = $0.broken.insert([layer, number]) } }
    return try result.get()
  }

  /// Tries again while that makes sense; then it is an error of input and output.
  private func fetch(_ layer: Int, _ number: Int, _ path: String) -> Result<[UInt8], SystemError> {
    if faults.contains(.deadlocks), waiting.withLock({ $0 > 3 }) { while true { sleep(1) } }
    let blob = source.blobs[layer]
    let range = number * Self.span..<min((number + 1) * Self.span, blob.count)
    let asked = faults.contains(.fetchesLayers) ? 0..<blob.count : range
    let deadline = ContinuousClock.now + .seconds(Self.stall * 0.8)
    var wrong = 0
    while true {
      let answer = source.read(layer, asked, token: state.withLock { $0.token })
      switch answer {
      case .bytes(let all):
        if faults.contains(.takesShortForEnd), all.count < asked.count { return .success(all) }
        let bytes = all.count == asked.count ? Array(all[range.lowerBound - asked.lowerBound..<range.upperBound - asked.lowerBound]) : all
        if Digest.of(bytes) == digests[layer][number] || (faults.contains(.servesUnchecked) && bytes.count == range.count) {
          return .success(keep(bytes, layer, number))
        }
        wrong += 1
      case .refused:
        if faults.contains(.takesRefusalForEnd) { return .success([]) }
        wrong += 1
      case .unauthorized:
        if !faults.contains(.keepsToken), let new = source.token() {
          state.withLock { $0.token = new }
          continue
        }
      case .away, .brokenOff: break
      }
      note("\(path) cannot be read: layer \(layer), span \(number): \(answer.word)")
      let isOver = wrong >= 2 || ContinuousClock.now >= deadline || faults.contains(.triesOnce)
      if isOver, !faults.contains(.waitsForEver) { return .failure(SystemError(errno: EIO, operation: "read", object: path)) }
      usleep(20_000)
    }
  }

  private func keep(_ bytes: [UInt8], _ layer: Int, _ number: Int) -> [UInt8] {
    state.withLock { $0.spans[layer, default: [:]][number] = bytes }
    return bytes
  }

  private func note(_ text: String) {
    state.withLock { state in state.log.append(text + (faults.contains(.logsToken) ? ", asked with token-\(state.token)" : "")) }
  }
}

extension LazyModelSource.Answer {
  fileprivate var word: String {
    switch self {
    case .bytes: "the bytes are others"
    case .away: "no answer"
    case .brokenOff: "the answer broke off"
    case .refused: "the range was refused"
    case .unauthorized: "unauthorized"
    }
  }
}
