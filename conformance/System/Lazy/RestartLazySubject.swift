import ConformanceSuites
import Protocols

/// A lazy snapshotter in a process of its own that has not been started yet, on an empty directory.
public struct RestartLazySubject: Sendable {
  public var process: any BackendProcess
  /// A way to the snapshotter of the process that runs now: asked for after every start.
  public var open: @Sendable () async throws -> any Snapshotter
  /// Does what must have been done once before layers can be lazy: nothing, or an ordinary pull whose snapshots are removed again.
  public var acquaint: @Sendable (any Snapshotter) async throws -> Void
  public var layers: [String]
  public var labels: @Sendable (_ layer: String) -> Labels
  public var registry: LazyRegistry
  public var trees: any LazyTreeAccess
  /// Seconds, as of `LazySubject`.
  public var stall: Double
  public var mounted: @Sendable () throws -> [String]
  /// Whether a read that meets the end of the process waits for the next one; else it fails.
  public var failsOver: Bool

  public init(
    process: any BackendProcess, layers: [String], labels: @escaping @Sendable (String) -> Labels = { _ in [:] }, registry: LazyRegistry,
    trees: any LazyTreeAccess, stall: Double, failsOver: Bool, mounted: @escaping @Sendable () throws -> [String],
    acquaint: @escaping @Sendable (any Snapshotter) async throws -> Void = { _ in }, open: @escaping @Sendable () async throws -> any Snapshotter
  ) {
    self.process = process
    self.open = open
    self.acquaint = acquaint
    self.layers = layers
    self.labels = labels
    self.registry = registry
    self.trees = trees
    self.stall = stall
    self.failsOver = failsOver
    self.mounted = mounted
  }

  /// Starts it, and makes a container on lazy layers.
  /// - Returns: the container's mounts.
  func begin() async throws -> [Mount] {
    try await process.start()
    let snapshotter = try await open()
    try await acquaint(snapshotter)
    try await LazySubject.take(layers, labels: labels, from: snapshotter)
    return try await snapshotter.prepare("container", parent: layers.last, labels: [:])
  }

  func inside(_ mounts: [Mount], _ what: String, _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
    let trees = trees
    try await inTime(what, seconds: Int(2 * stall) + 20) { try await trees.enter(mounts, body) }
  }

  /// Everything goes, and the process ends in order: nothing may be mounted then.
  func end(_ when: String) async throws {
    let snapshotter = try await open()
    try await inTime("removing the container and its layers \(when)", seconds: 20) {
      try await snapshotter.remove("container")
      for layer in layers.reversed() { try await snapshotter.remove(layer) }
    }
    let mounted = mounted
    try await eventually("nothing is mounted after everything was removed, \(when)") { try mounted().isEmpty ? true : nil }
    _ = try await process.terminate(within: 10)
  }
}

extension Capability {
  /// A read that meets the end of the server waits for the next one.
  public static let failover = Capability("failover")
}
