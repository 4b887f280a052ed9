import FoundationEssentials
import Protocols

/// The JSON documents of an image, as far as pulling and unpacking need them. Unknown fields are ignored, missing ones named.
public enum ImageDocument {
  /// Larger manifests are refused: nobody has them, and a registry must not be able to fill our memory.
  public static let maximumSize: Int64 = 8 << 20

  struct WireDescriptor: Codable {
    var mediaType: String
    var digest: String
    var size: Int64
    var annotations: [String: String]?
    var platform: WirePlatform?
    var artifactType: String?

    func descriptor() throws -> Descriptor {
      if size < 0 { throw ContainerdError.invalidArgument("descriptor \(digest): negative size") }
      return Descriptor(
        mediaType: mediaType, digest: try Digest(parsing: digest), size: size, annotations: annotations ?? [:], platform: platform?.platform,
        artifactType: artifactType)
    }
  }

  struct WirePlatform: Codable {
    var os: String
    var architecture: String
    var variant: String?
    var osVersion: String?
    /// As it is written: `normalized` is for comparing.
    var platform: Platform { Platform(os: os, architecture: architecture, variant: variant ?? "", osVersion: osVersion ?? "") }
    enum CodingKeys: String, CodingKey {
      case os, architecture, variant
      case osVersion = "os.version"
    }
  }

  /// What a document says of itself, where it does: `invalidArgument` unless it is JSON.
  public static func mediaType(of bytes: [UInt8]) throws -> String? { try decode(Shape.self, bytes, "manifest").mediaType }

  static func decode<Document: Decodable>(_ type: Document.Type, _ bytes: [UInt8], _ what: String) throws -> Document {
    do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch { throw ContainerdError.invalidArgument("\(what) is malformed: \(error)") }
  }
}

/// What tells an index from a manifest. A document that could be taken for both is neither: two programs would read two images from it
/// (CVE-2021-41190).
private struct Shape: Decodable {
  var mediaType: String?
  var isManifest: Bool
  var isIndex: Bool

  enum CodingKeys: String, CodingKey { case mediaType, config, layers, manifests }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    mediaType = try container.decodeIfPresent(String.self, forKey: .mediaType)
    func has(_ key: CodingKeys) throws -> Bool { container.contains(key) ? try !container.decodeNil(forKey: key) : false }
    isManifest = try has(.config) || has(.layers)
    isIndex = try has(.manifests)
  }

  static func check(_ bytes: [UInt8], isIndex: Bool, _ what: String) throws {
    let shape = try ImageDocument.decode(Shape.self, bytes, what)
    if shape.isManifest && shape.isIndex { throw ContainerdError.invalidArgument("\(what) is manifest and index at once") }
    guard let type = shape.mediaType, !type.isEmpty else { return }
    guard isIndex ? MediaType.isIndex(type) : MediaType.isManifest(type) else {
      throw ContainerdError.invalidArgument("\(what) says that its media type is \"\(type)\"")
    }
  }
}

public struct ImageIndex: Sendable {
  public var manifests: [Descriptor]

  public init(parsing bytes: [UInt8]) throws {
    struct Wire: Decodable { var manifests: [ImageDocument.WireDescriptor] }
    try Shape.check(bytes, isIndex: true, "image index")
    manifests = try ImageDocument.decode(Wire.self, bytes, "image index").manifests.map { try $0.descriptor() }
  }

  /// The manifest that suits a platform best; the first among equals. One that names no platform serves where none that does is fit.
  ///
  /// What is no image has a platform that nobody is (`unknown/unknown`, as attestations do) or an artifact type.
  public func manifest(for platform: Platform) -> Descriptor? {
    let images = manifests.filter { ($0.artifactType ?? "").isEmpty && (MediaType.isManifest($0.mediaType) || MediaType.isIndex($0.mediaType)) }
    let ranked = images.compactMap { image in image.platform.flatMap { platform.rank(of: $0) }.map { (rank: $0, image: image) } }
    return ranked.min { $0.rank < $1.rank }?.image ?? images.first { $0.platform == nil }
  }
}

public struct ImageManifest: Sendable {
  public var config: Descriptor
  public var layers: [Descriptor]

  public init(parsing bytes: [UInt8]) throws {
    struct Wire: Decodable {
      var config: ImageDocument.WireDescriptor
      var layers: [ImageDocument.WireDescriptor]
    }
    try Shape.check(bytes, isIndex: false, "image manifest")
    let wire = try ImageDocument.decode(Wire.self, bytes, "image manifest")
    config = try wire.config.descriptor()
    layers = try wire.layers.map { try $0.descriptor() }
  }
}

public struct ImageConfig: Sendable {
  public var diffIDs: [Digest]
  public var environment: [String]
  public var entrypoint: [String]
  public var command: [String]
  public var workingDirectory: String
  public var user: String
  /// The signal that asks the program to end; empty where the image names none.
  public var stopSignal: String
  public var labels: [String: String]
  public var platform: Platform

  public init(parsing bytes: [UInt8]) throws {
    struct Root: Decodable {
      var diff_ids: [String]
    }
    struct Run: Decodable {
      var Env: [String]?
      var Entrypoint: [String]?
      var Cmd: [String]?
      var WorkingDir: String?
      var User: String?
      var StopSignal: String?
      var Labels: [String: String]?
    }
    struct Wire: Decodable {
      var rootfs: Root
      var config: Run?
      var os: String?
      var architecture: String?
    }
    let wire = try ImageDocument.decode(Wire.self, bytes, "image config")
    diffIDs = try wire.rootfs.diff_ids.map { try Digest(parsing: $0) }
    environment = wire.config?.Env ?? []
    entrypoint = wire.config?.Entrypoint ?? []
    command = wire.config?.Cmd ?? []
    workingDirectory = wire.config?.WorkingDir ?? ""
    user = wire.config?.User ?? ""
    stopSignal = wire.config?.StopSignal ?? ""
    labels = wire.config?.Labels ?? [:]
    platform = Platform(os: wire.os ?? "linux", architecture: wire.architecture ?? Platform.host.architecture).normalized
  }
}
