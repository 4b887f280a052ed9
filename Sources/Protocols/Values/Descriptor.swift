/// What a blob is and how to know it: media type, digest, size in bytes (OCI image-spec, descriptor.md).
public struct Descriptor: Hashable, Sendable {
  public var mediaType: String
  public var digest: Digest
  public var size: Int64
  public var annotations: [String: String]
  public var platform: Platform?
  public var artifactType: String?

  public init(
    mediaType: String, digest: Digest, size: Int64, annotations: [String: String] = [:], platform: Platform? = nil,
    artifactType: String? = nil
  ) {
    self.mediaType = mediaType
    self.digest = digest
    self.size = size
    self.annotations = annotations
    self.platform = platform
    self.artifactType = artifactType
  }
}

/// An operating system and processor, in Go's names: `linux`, `amd64`, variant `v8`.
public struct Platform: Hashable, Sendable, CustomStringConvertible {
  public var os: String
  public var architecture: String
  public var variant: String
  public var osVersion: String

  public init(os: String, architecture: String, variant: String = "", osVersion: String = "") {
    self.os = os
    self.architecture = architecture
    self.variant = variant
    self.osVersion = osVersion
  }

  public var description: String { variant.isEmpty ? "\(os)/\(architecture)" : "\(os)/\(architecture)/\(variant)" }

  /// The machine this program was compiled for.
  public static var host: Platform {
    #if arch(x86_64)
      Platform(os: "linux", architecture: "amd64")
    #elseif arch(arm64)
      Platform(os: "linux", architecture: "arm64", variant: "v8")
    #elseif arch(riscv64)
      Platform(os: "linux", architecture: "riscv64")
    #else
      Platform(os: "linux", architecture: "unknown")
    #endif
  }
}
