import CLinux
import ConformanceSuites
import Protocols
import SystemKit

/// A snapshotter that knows the layers of `LazyImage.standard` before anybody has fetched them, and the registry that it fetches them from.
public struct LazySubject: Sendable {
  public var snapshotter: any Snapshotter
  /// Names of the image's layers, from below.
  public var layers: [String]
  /// What it needs to be told beside the name.
  public var labels: @Sendable (_ layer: String) -> Labels
  public var registry: LazyRegistry
  public var trees: any LazyTreeAccess
  /// For how many seconds a read may wait for a registry that does not answer.
  public var stall: Double
  /// The mounts that the snapshotter has made itself.
  public var mounted: @Sendable () throws -> [String]
  /// Bytes that it holds on disk. nil where that cannot be seen.
  public var held: (@Sendable () throws -> Int64)?
  /// All that it has logged. nil where that cannot be seen.
  public var log: (@Sendable () throws -> String)?
  /// What it was given to show to the registry, and must not be found in the log.
  public var secrets: [String]
  /// Another one with a registry of its own, which fetches in the background what nobody has read. nil where it is not known how, or where this one does.
  public var filling: (@Sendable () async throws -> LazySubject)?
  public var keep: (any Sendable)?

  public init(
    snapshotter: any Snapshotter, layers: [String], labels: @escaping @Sendable (String) -> Labels = { _ in [:] }, registry: LazyRegistry,
    trees: any LazyTreeAccess, stall: Double, mounted: @escaping @Sendable () throws -> [String], held: (@Sendable () throws -> Int64)? = nil,
    log: (@Sendable () throws -> String)? = nil, secrets: [String] = [], keep: (any Sendable)? = nil
  ) {
    self.snapshotter = snapshotter
    self.layers = layers
    self.labels = labels
    self.registry = registry
    self.trees = trees
    self.stall = stall
    self.mounted = mounted
    self.held = held
    self.log = log
    self.secrets = secrets
    self.keep = keep
  }

  /// Every layer as a committed snapshot; nobody has unpacked anything.
  func take() async throws { try await Self.take(layers, labels: labels, from: snapshotter) }

  static func take(_ layers: [String], labels: (String) -> Labels, from snapshotter: any Snapshotter) async throws {
    var parent: String?
    for layer in layers {
      let all = labels(layer).merging(["containerd.io/snapshot.ref": layer]) { $1 }
      try await expectError(.alreadyExists, from: "prepare for the layer \(layer), which can be lazy") {
        _ = try await snapshotter.prepare("extract \(layer)", parent: parent, labels: all)
      }
      parent = layer
    }
  }

  /// A container on all layers.
  func container(_ key: String = "container") async throws -> [Mount] { try await snapshotter.prepare(key, parent: layers.last, labels: [:]) }

  /// Takes the layers, and lets the body work in a container's tree.
  func inside(_ what: String, seconds: Int = 30, _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
    try await take()
    try await inside(try await container(), what, seconds: seconds, body)
  }

  func inside(_ mounts: [Mount], _ what: String, seconds: Int = 30, _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
    let trees = trees
    try await inTime(what, seconds: seconds) { try await trees.enter(mounts, body) }
  }

  /// Away with containers and layers, as an image is deleted.
  func removeAll(_ containers: String...) async throws {
    for key in containers { try await snapshotter.remove(key) }
    for layer in layers.reversed() { try await snapshotter.remove(layer) }
    do { try await snapshotter.cleanup() } catch let error as ContainerdError where error.code == .notImplemented {}
  }
}

/// The registry behind a lazy snapshotter, in the hands of a case.
public struct LazyRegistry: Sendable {
  public enum Trouble: Sendable, Hashable, CaseIterable {
    /// Nobody answers.
    case away
    /// Every part of a layer has bytes that are not the layer's.
    case wrongBytes
    /// Answers have fewer bytes than were asked for, and say that these are all.
    case shortened
    /// The next two answers break off in the middle.
    case brokenOff
    /// Every range is refused as one that cannot be satisfied (416).
    case refused
  }
  public struct Traffic: Sendable, Hashable {
    /// Requests for parts of layers, and the bytes that were sent in answer to them.
    public var requests: Int
    public var bytes: Int64
    public init(requests: Int, bytes: Int64) {
      self.requests = requests
      self.bytes = bytes
    }
  }
  /// From now on, in place of what it was; nil for a registry that is well.
  public var trouble: @Sendable (Trouble?) -> Void
  public var traffic: @Sendable () -> Traffic
  /// The sizes of the layers as they lie there, from below.
  public var sizes: [Int64]
  /// What was handed out for credentials so far is worth nothing from now on. nil where the registry asks for none.
  public var expire: (@Sendable () -> Void)?
  /// From now on all answers together have at most so many bytes a second; nil for as many as can be. nil where it cannot be slowed down.
  public var limit: (@Sendable (Int64?) -> Void)?

  public init(
    sizes: [Int64], trouble: @escaping @Sendable (Trouble?) -> Void, traffic: @escaping @Sendable () -> Traffic, expire: (@Sendable () -> Void)? = nil,
    limit: (@Sendable (Int64?) -> Void)? = nil
  ) {
    self.sizes = sizes
    self.trouble = trouble
    self.traffic = traffic
    self.expire = expire
    self.limit = limit
  }

  var size: Int64 { sizes.reduce(0, +) }
}

/// Where mounts that may be lazy can be performed.
public protocol LazyTreeAccess: Sendable {
  /// Performs the mounts, lets the body work in the tree that they make, and undoes them. Errors of the body are thrown on.
  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws
}

/// A tree whose bytes come when they are read. Paths are relative to its root. Blocking, from any thread.
public protocol LazyTree: Sendable {
  /// Opens, reads, closes. What the end of the file keeps from being read is left out.
  /// - Throws: `SystemError`.
  func read(_ path: String, at offset: Int, count: Int) throws -> [UInt8]
  /// Where its root is in the file system, as the thread of `enter` sees it. nil where it is in no file system.
  var directory: String? { get }
}

/// Mounts performed by the kernel.
public struct KernelTrees: LazyTreeAccess {
  private let base: any TreeAccess
  public init(_ base: any TreeAccess) { self.base = base }

  public func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any LazyTree) throws -> Void) async throws {
    try await base.enter(mounts) { tree in
      guard let root = tree.directory else { throw SuiteError("the tree of the mounts is no directory of this machine") }
      try body(KernelTree(root: root))
    }
  }
}

struct KernelTree: LazyTree {
  let root: String
  var directory: String? { root }

  func read(_ path: String, at offset: Int, count: Int) throws -> [UInt8] {
    let file = try Files.open("\(root)/\(path)", O_RDONLY | O_CLOEXEC)
    var (bytes, done) = ([UInt8](repeating: 0, count: count), 0)
    while done < count {
      let got = bytes.withUnsafeMutableBytes { pread(file.raw, $0.baseAddress?.advanced(by: done), count - done, off_t(offset + done)) }
      if got < 0, clinux_errno() == EINTR { continue }
      if got < 0 { throw SystemError.last("read", path) }
      if got == 0 { break }
      done += got
    }
    return Array(bytes[..<done])
  }
}

extension Capability {
  /// Layers are mounted before they are here, and their bytes come when they are read.
  public static let lazy = Capability("lazy")
  /// The registry wants credentials, and what it gives for them can be made worthless.
  public static let credentials = Capability("credentials")
  /// What the snapshotter logs can be seen.
  public static let visibleLog = Capability("visibleLog")
  /// What the snapshotter holds on disk can be seen.
  public static let visibleCache = Capability("visibleCache")
}
