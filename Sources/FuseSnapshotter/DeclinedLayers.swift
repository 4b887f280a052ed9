import FoundationEssentials
import Protocols
import Synchronization
import SystemKit

/// A layer that was not lazy when a client asked for it.
public struct DeclinedLayer: Codable, Sendable, Hashable {
  /// Its ChainID.
  public var reference: String
  public var obstacle: LazyObstacle
  /// For people.
  public var reason: String
  /// Seconds since 1970.
  public var time: Int64

  public init(reference: String, obstacle: LazyObstacle, reason: String, time: Int64) {
    self.reference = reference
    self.obstacle = obstacle
    self.reason = reason
    self.time = time
  }
}

/// Why layers were not lazy of late, the newest last: `ROOT/declined.json`. Safe from any thread. Calls block.
final class DeclinedLayers: Sendable {
  static let file = "declined.json"
  /// The oldest are forgotten.
  static let most = 200

  private let path: String
  private struct State {
    var layers: [DeclinedLayer]
    var counts: [LazyObstacle: Int] = [:]
  }
  private let state: Mutex<State>

  /// What an earlier process has written is kept; what cannot be read is nothing.
  init(root: String) {
    path = "\(root)/\(Self.file)"
    state = Mutex(State(layers: (try? Self.read(root: root)) ?? []))
  }

  /// Nothing where there is no file.
  static func read(root: String) throws -> [DeclinedLayer] {
    let path = "\(root)/\(file)"
    if !Files.exists(path) { return [] }
    do { return try JSONDecoder().decode([DeclinedLayer].self, from: Data(try Files.read(path))) } catch {
      throw ContainerdError(.dataLoss, "\(path): \(error)")
    }
  }

  /// Since this process began.
  var counts: [LazyObstacle: Int] { state.withLock { $0.counts } }

  func add(_ layer: DeclinedLayer) throws {
    try state.withLock { state in
      state.counts[layer.obstacle, default: 0] += 1
      state.layers.removeAll { $0.reference == layer.reference }
      state.layers.append(layer)
      state.layers.removeFirst(max(0, state.layers.count - Self.most))
      try write(state.layers)
    }
  }

  /// The layer has become lazy.
  func remove(_ reference: String) throws {
    try state.withLock { state in
      let count = state.layers.count
      state.layers.removeAll { $0.reference == reference }
      if state.layers.count != count { try write(state.layers) }
    }
  }

  /// Under the lock: the last state is what stays on disk.
  private func write(_ layers: [DeclinedLayer]) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try Files.writeAtomically(Array(try encoder.encode(layers)), to: path)
  }
}
