import ConformanceSuites
import ConformanceWireSuites
import Hashing
import OCI
import Protocols

/// An image whose layers have every kind of entry that a tree can show, and take some away again.
public struct PipelineImage: Sendable {
  public struct Layer: Sendable {
    public var descriptor: Descriptor
    public var bytes: [UInt8]
    /// The digest of the archive.
    public var diffID: Digest
    /// The name of the committed snapshot: the ChainID.
    public var chain: String
  }
  public let layers: [Layer]
  public let config: (descriptor: Descriptor, bytes: [UInt8])
  public let manifest: (descriptor: Descriptor, bytes: [UInt8])

  public var descriptors: [Descriptor] { [manifest.descriptor, config.descriptor] + layers.map(\.descriptor) }
  public var blobs: [(descriptor: Descriptor, bytes: [UInt8])] { [config] + layers.map { ($0.descriptor, $0.bytes) } }
  public var top: String { layers.last?.chain ?? "" }

  /// - Parameter salt: images with the same one are the same, byte for byte.
  /// - Parameter lying: the config names another DiffID for the layer of this number.
  public init(salt: Int, layers count: Int = 3, lying: Int? = nil) {
    var made: [Layer] = []
    for number in 0..<count {
      let archive = Self.archive(number, salt: salt)
      let bytes = Gzip.stored(archive)
      let diffID = number == lying ? Digest.of(Array("something else \(salt)".utf8)) : Digest.of(archive)
      let chain = made.last.map { Digest.of(Array("\($0.chain) \(diffID)".utf8)).description } ?? diffID.description
      made.append(
        Layer(
          descriptor: Descriptor(mediaType: TestImage.layerType, digest: Digest.of(bytes), size: Int64(bytes.count)), bytes: bytes, diffID: diffID, chain: chain
        ))
    }
    layers = made
    let platform = Platform.host
    let variant = platform.variant.isEmpty ? "" : #","variant":"\#(platform.variant)""#
    let identities = made.map { "\"\($0.diffID)\"" }.joined(separator: ",")
    let text =
      #"{"architecture":"\#(platform.architecture)","os":"\#(platform.os)"\#(variant),"config":{"Cmd":["/bin/true"],"Labels":{"salt":"\#(salt)"}},"#
      + #""rootfs":{"type":"layers","diff_ids":[\#(identities)]}}"#
    config = (Descriptor(mediaType: MediaType.ociConfig, digest: Digest.of(Array(text.utf8)), size: Int64(text.utf8.count)), Array(text.utf8))
    let entries = made.map { TestImage.json($0.descriptor) }.joined(separator: ",")
    let document =
      #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociManifest)","config":\#(TestImage.json(config.descriptor)),"layers":[\#(entries)]}"#
    manifest = (
      Descriptor(mediaType: MediaType.ociManifest, digest: Digest.of(Array(document.utf8)), size: Int64(document.utf8.count)), Array(document.utf8)
    )
  }

  private static func archive(_ number: Int, salt: Int) -> [UInt8] {
    TarArchive.make { tar in
      if number == 0 { for name in ["proc", "dev", "sys", "tmp"] { tar.directory(name) } }
      tar.directory("layer-\(number)", mode: 0o750, owner: 3, group: 4)
      tar.file("layer-\(number)/file", String(repeating: "layer \(number) of \(salt) ", count: 200), mode: 0o640, owner: 1, group: 2)
      tar.file("layer-\(number)/program", "#!/bin/sh\n", mode: 0o4755)
      tar.hardLink("layer-\(number)/second name", to: "layer-\(number)/file")
      tar.symlink("layer-\(number)/link", to: "../nowhere")
      tar.file("changed", "by \(number) of \(salt)")
      if number > 0 {
        tar.whiteout("layer-\(number - 1)/program")
        tar.file("layer-\(number - 1)/added", "by \(number)")
      }
    }
  }

  /// Puts it where it can be pulled as `REGISTRY/case/image:1`.
  public func add(to registry: FaultyRegistry) {
    for (_, bytes) in blobs { registry.add(blob: bytes) }
    registry.add(manifest: manifest.bytes, type: manifest.descriptor.mediaType, tags: "1")
  }
}
