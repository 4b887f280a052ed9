import ConformanceSuites
import Hashing
import OCI
import Protocols

/// An image that is real in every part: layers are tar archives in gzip, the config names them, the manifest holds both.
public struct TestImage: Sendable {
  public static let layerType = "application/vnd.oci.image.layer.v1.tar+gzip"
  public let layers: [(descriptor: Descriptor, bytes: [UInt8])]
  public let config: (descriptor: Descriptor, bytes: [UInt8])
  public let manifest: (descriptor: Descriptor, bytes: [UInt8])

  /// No two images share anything: a store that knows the bytes from an earlier case would not fetch them.
  public init(
    layers count: Int = 2, bytes: Int = 60_000, platform: Platform = .host, layerType: String = Self.layerType,
    describe: (Descriptor) -> String = Self.json
  ) {
    let salt = Int.random(in: 0...Int.max / 2000)
    var layers: [(Descriptor, [UInt8])] = []
    var diffIDs: [String] = []
    for number in 0..<count {
      let archive = TarArchive.make { tar in
        tar.directory("layer-\(number)")
        tar.file("layer-\(number)/filling", String(pattern(salt &* 1000 &+ number, count: bytes).map { Character(UnicodeScalar(97 + $0 % 26)) }))
        if number > 0 { tar.whiteout("layer-\(number - 1)/filling") }
      }
      let bytes = Gzip.stored(archive)
      layers.append((Descriptor(mediaType: layerType, digest: Digest.of(bytes), size: Int64(bytes.count)), bytes))
      diffIDs.append("\"\(Digest.of(archive))\"")
    }
    let variant = platform.variant.isEmpty ? "" : #","variant":"\#(platform.variant)""#
    let text =
      #"{"architecture":"\#(platform.architecture)","os":"\#(platform.os)"\#(variant),"config":{"Labels":{"salt":"\#(salt)"}},"#
      + #""rootfs":{"type":"layers","diff_ids":[\#(diffIDs.joined(separator: ","))]}}"#
    config = (Descriptor(mediaType: MediaType.ociConfig, digest: Digest.of(Array(text.utf8)), size: Int64(text.utf8.count)), Array(text.utf8))
    let entries = layers.map { describe($0.0) }.joined(separator: ",")
    let document =
      #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociManifest)","config":\#(describe(config.descriptor)),"layers":[\#(entries)]}"#
    manifest = (
      Descriptor(mediaType: MediaType.ociManifest, digest: Digest.of(Array(document.utf8)), size: Int64(document.utf8.count)), Array(document.utf8)
    )
    self.layers = layers.map { (descriptor: $0.0, bytes: $0.1) }
  }

  public var blobs: [(descriptor: Descriptor, bytes: [UInt8])] { [config] + layers }
  public var everything: [(descriptor: Descriptor, bytes: [UInt8])] { [manifest] + blobs }

  public static func json(_ descriptor: Descriptor) -> String {
    #"{"mediaType":"\#(descriptor.mediaType)","digest":"\#(descriptor.digest)","size":\#(descriptor.size)}"#
  }

  /// Puts it where it can be pulled as `REGISTRY/case/image:1`.
  public func add(to registry: FaultyRegistry, tag: String? = "1") {
    for (_, bytes) in blobs { registry.add(blob: bytes) }
    if let tag {
      registry.add(manifest: manifest.bytes, type: manifest.descriptor.mediaType, tags: tag)
    } else {
      registry.add(manifest: manifest.bytes, type: manifest.descriptor.mediaType)
    }
  }
}

/// gzip without compression: what a case needs is its form.
package enum Gzip {
  package static func stored(_ bytes: [UInt8]) -> [UInt8] {
    var out: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
    var rest = bytes[...]
    repeat {
      let block = rest.prefix(65_535)
      rest = rest.dropFirst(block.count)
      out.append(rest.isEmpty ? 1 : 0)
      out += little(UInt32(block.count), 2) + little(~UInt32(block.count), 2) + block
    } while !rest.isEmpty
    return out + little(checksum(bytes), 4) + little(UInt32(truncatingIfNeeded: bytes.count), 4)
  }

  /// What `stored` was made of.
  package static func unstored(_ bytes: [UInt8]) -> [UInt8] {
    var (out, offset, last): ([UInt8], Int, Bool) = ([], 10, false)
    while !last, offset + 5 <= bytes.count {
      last = bytes[offset] & 1 == 1
      let count = Int(bytes[offset + 1]) | Int(bytes[offset + 2]) << 8
      out += bytes[min(offset + 5, bytes.count)..<min(offset + 5 + count, bytes.count)]
      offset += 5 + count
    }
    return out
  }

  private static func little(_ value: UInt32, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) } }

  /// CRC-32 as RFC 1952 defines it.
  private static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var sum = UInt32.max
    for byte in bytes { sum = table[Int((sum ^ UInt32(byte)) & 255)] ^ (sum >> 8) }
    return ~sum
  }
  private static let table: [UInt32] = (0..<256).map { start in
    (0..<8).reduce(UInt32(start)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
  }
}
