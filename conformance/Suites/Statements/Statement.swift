/// A numbered sentence of a public document that promises something: what cases cite in their source.
public struct Statement: Sendable, Identifiable, Hashable {
  /// `SNAP-05`: never given to another sentence.
  public let id: String
  public let document: Document
  /// The heading under which it stands there, or the name of what is documented.
  public let section: String
  public let level: ContractLevel
  /// What it says, in our words.
  public let sentence: String
  /// Why no case checks it, where none can or should.
  public let exempt: String?

  /// Where statements are written.
  public enum Document: String, Sendable, CaseIterable {
    case runtime = "runtime-spec runtime.md"
    case configuration = "runtime-spec config.md"
    case linux = "runtime-spec config-linux.md"
    case features = "runtime-spec features.md"
    case conformance = "runtime-spec spec.md"
    case layer = "image-spec layer.md"
    case image = "image-spec"
    case distribution = "distribution-spec spec.md"
    case snapshotter = "containerd core/snapshots/snapshotter.go"
    case remoteSnapshotter = "containerd docs/snapshotters"
    case content = "containerd core/content/content.go"
    case shim = "containerd docs/runtime-v2.md"

    /// The revision that was read.
    public var revision: String {
      switch self {
      case .runtime, .configuration, .linux, .features, .conformance: "6999a89"
      case .layer, .image: "13cff54"
      case .distribution: "967efdc"
      case .snapshotter, .remoteSnapshotter, .content, .shim: "301026e"
      }
    }

    /// Where a reader finds the document.
    public var link: String {
      let runtime = "https://github.com/opencontainers/runtime-spec/blob/main/"
      let image = "https://github.com/opencontainers/image-spec/blob/main/"
      let containerd = "https://github.com/containerd/containerd/blob/main/"
      return switch self {
      case .runtime: runtime + "runtime.md"
      case .configuration: runtime + "config.md"
      case .linux: runtime + "config-linux.md"
      case .features: runtime + "features.md"
      case .conformance: runtime + "spec.md"
      case .layer: image + "layer.md"
      case .image: image + "spec.md"
      case .distribution: "https://github.com/opencontainers/distribution-spec/blob/main/spec.md"
      case .snapshotter: containerd + "core/snapshots/snapshotter.go"
      case .remoteSnapshotter: containerd + "docs/snapshotters/README.md"
      case .content: containerd + "core/content/content.go"
      case .shim: containerd + "docs/runtime-v2.md"
      }
    }
  }

  init(_ id: String, _ document: Document, _ section: String, _ level: ContractLevel, _ sentence: String, exempt: String? = nil) {
    self.id = id
    self.document = document
    self.section = section
    self.level = level
    self.sentence = sentence
    self.exempt = exempt
  }
}

extension Statement {
  /// Every statement, in the order of the documents.
  public static let all: [Statement] =
    runtime + hook + configuration + feature + linux + layer
    + image + distribution + snapshotter + remoteSnapshotter + content + shim

  private static let known = Dictionary(all.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
  public static func with(id: String) -> Statement? { known[id] }
}
