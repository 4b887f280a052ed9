import ConformanceSuites
import Protocols

/// The parts between which an image travels, each known by its protocol alone.
public struct PipelineParts: Sendable {
  public var registry: any Resolver
  public var content: any ContentStore
  public var snapshotter: any Snapshotter
  public var applier: any LayerApplier
  public var runtime: any Runtime
  /// Where the snapshotter keeps its files, if it has any.
  public var snapshotRoot: String?
  /// What the parts need to live, or are asked for by cases that know them.
  public var keep: (any Sendable)?

  public init(
    registry: any Resolver, content: any ContentStore, snapshotter: any Snapshotter, applier: any LayerApplier, runtime: any Runtime,
    snapshotRoot: String? = nil, keep: (any Sendable)? = nil
  ) {
    self.registry = registry
    self.content = content
    self.snapshotter = snapshotter
    self.applier = applier
    self.runtime = runtime
    self.snapshotRoot = snapshotRoot
    self.keep = keep
  }
}

/// Which implementation stands in each place.
public struct PipelineChoice: Hashable, Sendable, CustomStringConvertible {
  public enum Kind: String, Sendable, CaseIterable {
    /// In memory, without files.
    case fake
    /// The suite's own, as simple as it can be, with real files.
    case plain
    /// What the package ships.
    case real
  }
  public var registry = Kind.fake
  public var content = Kind.fake
  public var snapshots = Kind.fake
  public var applier = Kind.fake
  public var runtime = Kind.fake

  public init(registry: Kind = .fake, content: Kind = .fake, snapshots: Kind = .fake, applier: Kind = .fake, runtime: Kind = .fake) {
    self.registry = registry
    self.content = content
    self.snapshots = snapshots
    self.applier = applier
    self.runtime = runtime
  }

  public static let fakes = PipelineChoice()
  public static let real = PipelineChoice(registry: .real, content: .real, snapshots: .real, applier: .real)
  /// Real files, and the suite's own parts.
  public static let plain = PipelineChoice(snapshots: .plain, applier: .plain)

  public var description: String { "registry \(registry), content \(content), snapshots \(snapshots), applier \(applier), runtime \(runtime)" }
}

/// What a case wants parts for.
public struct PipelineOrder: Sendable {
  public var choice: PipelineChoice
  public var image: PipelineImage
  /// Where a registry listens that has the image: host and port.
  public var registry: String
  public var reference: String { "\(registry)/case/image:1" }
}

/// A pipeline under test: what carries an image from a registry into snapshots, between parts that the suite gives it.
///
/// The suite stands in every place but the pipeline's own: it sees all that the pipeline says to each part, lets any call fail, and puts other implementations
/// into the places. The pipeline is a function here, or a program that is shown the parts as containerd's services on a socket.
public struct PipelineSubject: Sendable {
  public typealias Act = @Sendable (_ reference: String, _ parts: PipelineParts) async throws -> Void
  /// Downloads into the content store, and does nothing else.
  public var fetch: Act
  /// Downloads and unpacks. A failure is a `ContainerdError`.
  public var unpack: Act
  /// Makes a container of the committed snapshot, starts it, and takes everything away again. nil: the pipeline runs no containers.
  public var run: (@Sendable (_ snapshot: String, _ parts: PipelineParts) async throws -> Void)?
  /// Makes parts. A `CaseSkipped` says that this machine has not got them.
  public var parts: @Sendable (PipelineOrder) async throws -> PipelineParts
  /// A content store in another process, with which this one shares no files. nil where there is none to be had.
  public var distantContent: (@Sendable () async throws -> any ContentStore)?
  /// Performs mounts, to look at trees.
  public var trees: any TreeAccess
  /// The case's own.
  public var directory: String
  public var patience: Double
  /// Whether the pipeline is a function in this process: then it can be cancelled, run hundreds of times, and its descriptors counted.
  public var isHere: Bool
  public var note: @Sendable (_ text: String) -> Void

  public init(
    directory: String, patience: Double = 1, isHere: Bool = true, trees: any TreeAccess, fetch: @escaping Act, unpack: @escaping Act,
    run: (@Sendable (String, PipelineParts) async throws -> Void)? = nil, distantContent: (@Sendable () async throws -> any ContentStore)? = nil,
    note: @escaping @Sendable (String) -> Void = { _ in }, parts: @escaping @Sendable (PipelineOrder) async throws -> PipelineParts
  ) {
    self.directory = directory
    self.patience = patience
    self.isHere = isHere
    self.trees = trees
    self.fetch = fetch
    self.unpack = unpack
    self.run = run
    self.distantContent = distantContent
    self.note = note
    self.parts = parts
  }
}

extension Capability {
  /// The pipeline is a function in the suite's process.
  public static let inProcess = Capability("inProcess")
}
