import FoundationEssentials
import Hashing
import LayerIndex
import OCI
import Protocols

/// An artifact in a registry that refers to an image and holds indexes of its layers. `docs/layer-index.md` describes the form.
public struct IndexArtifact: Sendable, Hashable {
  public enum Form: String, Sendable, Hashable, CaseIterable {
    case own = "containerd-ref"
    /// Of version 1, which refers to the image, and of version 2, which the image's manifest names.
    case soci = "SOCI"

    /// The type that a registry lists it by, where it is listed.
    public var artifactType: String {
      switch self {
      case .own: "application/vnd.containerd-ref.layer-indexes.v1"
      case .soci: "application/vnd.amazon.soci.index.v1+json"
      }
    }

    /// The annotation of an index that names the layer.
    public var annotation: String {
      switch self {
      case .own: "containerd-ref.layer-index.layer"
      case .soci: "com.amazon.soci.image-layer-digest"
      }
    }

    func holds(_ mediaType: String) -> Bool {
      switch self {
      case .own: mediaType == IndexFile.mediaType
      // Ztocs have no type of their own.
      case .soci: true
      }
    }
  }

  /// No registry has a reason to keep larger ones for us.
  static let mostManifest: Int64 = 4 << 20
  /// The longest index, and in any case not much longer than what it is an index of.
  static let mostIndex: Int64 = 512 << 20
  private static let mostLayers = 1000

  public var form: Form
  /// Of the artifact's own manifest.
  public var manifest: Descriptor
  /// By the layer that they belong to.
  public var indexes: [Digest: Descriptor]
  /// Lists of what was needed of a layer first, likewise.
  public var accesses: [Digest: Descriptor]
  /// The annotation of such a list that names the layer.
  public static let accessAnnotation = "containerd-ref.access-list.layer"

  /// Of a manifest that was read, whose digest was checked. `invalidArgument` for what is no such artifact of this subject.
  /// - Parameter subject: nil for one that the image's manifest names by its digest: it need not say of what it is.
  init(_ form: Form, _ manifest: Descriptor, parsing bytes: [UInt8], subject: Digest?) throws {
    struct Wire: Decodable {
      struct Subject: Decodable { var digest: String }
      struct Layer: Decodable {
        var mediaType: String
        var digest: String
        var size: Int64
        var annotations: [String: String]?
      }
      var subject: Subject?
      var layers: [Layer]
    }
    let wire: Wire
    do { wire = try JSONDecoder().decode(Wire.self, from: Data(bytes)) } catch {
      throw ContainerdError.invalidArgument("artifact \(manifest.digest) is no manifest with layers: \(error)")
    }
    if let subject, wire.subject?.digest != "\(subject)" {
      throw ContainerdError.invalidArgument("artifact \(manifest.digest) refers to \(wire.subject?.digest ?? "nothing"), not to \(subject)")
    }
    if wire.layers.count > Self.mostLayers { throw ContainerdError.invalidArgument("artifact \(manifest.digest) has \(wire.layers.count) layers") }
    self.form = form
    self.manifest = manifest
    indexes = [:]
    accesses = [:]
    if form == .own {
      for layer in wire.layers where layer.mediaType == AccessList.mediaType {
        // One that makes no sense is no reason to do without the indexes.
        guard let of = layer.annotations?[Self.accessAnnotation].flatMap({ try? Digest(parsing: $0) }), let digest = try? Digest(parsing: layer.digest)
        else { continue }
        accesses[of] = Descriptor(mediaType: layer.mediaType, digest: digest, size: layer.size)
      }
    }
    for layer in wire.layers where form.holds(layer.mediaType) {
      guard let text = layer.annotations?[form.annotation] else { continue }
      if layer.size < 1 { throw ContainerdError.invalidArgument("artifact \(manifest.digest): an index of \(layer.size) bytes") }
      let (digest, of) = (try Digest(parsing: layer.digest), try Digest(parsing: text))
      indexes[of] = Descriptor(mediaType: layer.mediaType, digest: digest, size: layer.size)
    }
  }

  /// Whether an index may be fetched for this layer.
  static func isReasonable(_ index: Descriptor, for layer: Descriptor) -> Bool { index.size <= min(mostIndex, max(16 << 20, layer.size)) }

  // MARK: making

  static let emptyConfig = Array("{}".utf8)

  /// The manifest of our own form, the same bytes for the same image, indexes and lists.
  static func manifest(
    subject: Descriptor, _ indexes: [(layer: Digest, index: Descriptor)], accesses: [(layer: Digest, list: Descriptor)] = []
  ) throws -> [UInt8] {
    struct Wire: Encodable {
      struct Part: Encodable {
        var mediaType: String
        var digest: String
        var size: Int64
        var annotations: [String: String]?
        init(_ descriptor: Descriptor, _ annotations: [String: String]? = nil) {
          mediaType = descriptor.mediaType
          digest = "\(descriptor.digest)"
          size = descriptor.size
          self.annotations = annotations
        }
      }
      var schemaVersion = 2
      var mediaType = MediaType.ociManifest
      var artifactType = Form.own.artifactType
      var config = Part(IndexArtifact.emptyDescriptor)
      var layers: [Part]
      var subject: Part
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let layers =
      indexes.map { Wire.Part($0.index, [Form.own.annotation: "\($0.layer)"]) } + accesses.map { Wire.Part($0.list, [accessAnnotation: "\($0.layer)"]) }
    return Array(try encoder.encode(Wire(layers: layers, subject: Wire.Part(subject))))
  }

  /// image-spec, manifest.md, "Guidance for an Empty Descriptor".
  static let emptyDescriptor = Descriptor(mediaType: "application/vnd.oci.empty.v1+json", digest: Digest.of(emptyConfig), size: Int64(emptyConfig.count))
}
