/// A numbered sentence of a document, public or our own, that promises something: what cases cite in their source.
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
    case garbage = "containerd docs/garbage-collection.md"
    case contentFlow = "containerd docs/content-flow.md"
    case namespaces = "containerd docs/namespaces.md"
    case services = "containerd api/services"
    case errors = "containerd errdefs"
    case filters = "containerd pkg/filters"
    case identifiers = "containerd pkg/identifiers"
    case ttrpc = "ttrpc PROTOCOL.md"
    case grpc = "gRPC doc/PROTOCOL-HTTP2.md"
    case grpcStatus = "gRPC doc/statuscodes.md"
    case protobuf = "Protocol Buffers proto3.md"
    case http = "HTTP"
    case bearer = "RFC 6750"
    case manual = "Linux man-pages"
    case accessLists = "acl(5)"
    case contract = "containerd-ref Sources/Protocols"
    case laws = "containerd-ref docs/architecture.md"
    case metadata = "containerd-ref docs/metadata.md"
    case shimPage = "containerd-ref docs/shim.md"
    case fetcher = "containerd-ref docs/fetcher.md"
    case lazy = "containerd-ref docs/conformance/lazy.md"

    /// The revision that was read; of our own documents it is the one that the suite was built from.
    public var revision: String {
      switch self {
      case .runtime, .configuration, .linux, .features, .conformance: "6999a89"
      case .layer, .image: "13cff54"
      case .distribution: "967efdc"
      case .snapshotter, .remoteSnapshotter, .content, .shim, .garbage, .contentFlow, .namespaces, .services, .errors, .filters, .identifiers: "301026e"
      case .ttrpc: "30684b0"
      case .grpc: "010dece"
      case .grpcStatus: "0276060"
      case .protobuf: "016ec10"
      case .http: "RFC 9110 and RFC 9112"
      case .bearer: "October 2012"
      case .manual: "6.03"
      case .accessLists: "2.3.1"
      case .contract, .laws, .metadata, .shimPage, .fetcher, .lazy: "this revision"
      }
    }

    /// Where a reader finds the document; our own are in this package.
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
      case .garbage: containerd + "docs/garbage-collection.md"
      case .contentFlow: containerd + "docs/content-flow.md"
      case .namespaces: containerd + "docs/namespaces.md"
      case .services: containerd + "api/services"
      case .errors: containerd + "vendor/github.com/containerd/errdefs/pkg/errgrpc/grpc.go"
      case .filters: containerd + "pkg/filters/filter.go"
      case .identifiers: containerd + "pkg/identifiers/validate.go"
      case .ttrpc: "https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md"
      case .grpc: "https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md"
      case .grpcStatus: "https://github.com/grpc/grpc/blob/master/doc/statuscodes.md"
      case .protobuf: "https://protobuf.dev/programming-guides/proto3/#unknowns"
      case .http: "https://www.rfc-editor.org/rfc/rfc9110"
      case .bearer: "https://www.rfc-editor.org/rfc/rfc6750"
      case .manual: "https://www.kernel.org/doc/man-pages/"
      case .accessLists: "https://savannah.nongnu.org/projects/acl/"
      case .contract: "Sources/Protocols/README.md"
      case .laws: "docs/architecture.md"
      case .metadata: "docs/metadata.md"
      case .shimPage: "docs/shim.md"
      case .fetcher: "docs/fetcher.md"
      case .lazy: "docs/conformance/lazy.md"
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
  public static let all: [Statement] = Array(lists.joined())

  private static let lists: [[Statement]] = [
    runtime, hook, configuration, feature, linux, layer, image, distribution, snapshotter, remoteSnapshotter, lazy, content, shim, garbage, namespace, service,
    call, pull, file, event, contract, architecture,
  ]

  private static let known = Dictionary(all.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
  public static func with(id: String) -> Statement? { known[id] }
}
