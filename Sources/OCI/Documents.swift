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
    var platform: Platform { Platform(os: os, architecture: architecture, variant: variant ?? "").normalized }
    enum CodingKeys: String, CodingKey { case os, architecture, variant }
  }

  static func decode<Document: Decodable>(_ type: Document.Type, _ bytes: [UInt8], _ what: String) throws -> Document {
    do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch { throw ContainerdError.invalidArgument("\(what) is malformed: \(error)") }
  }
}

public struct ImageIndex: Sendable {
  public var manifests: [Descriptor]

  public init(parsing bytes: [UInt8]) throws {
    struct Wire: Decodable { var manifests: [ImageDocument.WireDescriptor] }
    manifests = try ImageDocument.decode(Wire.self, bytes, "image index").manifests.map { try $0.descriptor() }
  }

  /// The best manifest for a platform: the first that matches.
  public func manifest(for platform: Platform) -> Descriptor? {
    manifests.first { $0.platform.map(platform.accepts) ?? false } ?? manifests.first { $0.platform == nil && MediaType.isManifest($0.mediaType) }
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

extension Platform {
  /// One name for each platform: `arm64` is `arm64/v8`, `x86_64` is `amd64`.
  public var normalized: Platform {
    var platform = self
    switch architecture {
    case "x86_64", "x86-64": platform.architecture = "amd64"
    case "aarch64": platform.architecture = "arm64"
    default: break
    }
    if platform.architecture == "arm64" && platform.variant.isEmpty { platform.variant = "v8" }
    if platform.architecture == "amd64" && platform.variant == "v1" { platform.variant = "" }
    return platform
  }

  /// Whether this machine runs what is made for `other`.
  public func accepts(_ other: Platform) -> Bool {
    let (mine, theirs) = (normalized, other.normalized)
    return mine.os == theirs.os && mine.architecture == theirs.architecture && mine.variant == theirs.variant
  }
}
