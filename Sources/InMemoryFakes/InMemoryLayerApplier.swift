import Hashing
import Protocols
import Synchronization

/// Applies layers by remembering them: `layers(in:)` says what a tree consists of.
///
/// The blob is read and its digest checked, as the contract says. What a layer is uncompressed is made up, but always the same:
/// `uncompressedDigest`. Trace and fault name: `applier.apply`.
public final class InMemoryLayerApplier: LayerApplier {
  private let instrument: Instrument
  private let applied = Mutex<[String: [Descriptor]]>([:])

  public init(trace: CallTrace = CallTrace(), faults: FaultPlan = FaultPlan()) {
    self.instrument = Instrument(component: "applier", trace: trace, faults: faults)
  }

  /// The DiffID of a layer: of a plain archive its own digest.
  public static func uncompressedDigest(of digest: Digest, mediaType: String) -> Digest {
    isPlain(mediaType) ? digest : Digest.of(Array("uncompressed \(digest)".utf8))
  }

  /// What was applied to a tree, in order. The tree is named by its mount's source.
  public func layers(in source: String) -> [Descriptor] { applied.withLock { $0[source] ?? [] } }

  public func apply(
    _ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions
  ) async throws -> Descriptor {
    let after = try await instrument.enter("apply", layer.digest.description, mounts.first?.source ?? "")
    guard Self.isLayer(layer.mediaType) else { throw ContainerdError.notImplemented("layer \(layer.digest): media type \"\(layer.mediaType)\"") }
    guard let mount = mounts.first, !mount.isReadOnly else {
      throw ContainerdError.invalidArgument("layer \(layer.digest): the mounts are no tree that can be written")
    }
    let size = try await verify(layer, content)
    let uncompressed = Self.uncompressedDigest(of: layer.digest, mediaType: layer.mediaType)
    if let diffID = options.diffID, diffID != uncompressed {
      throw ContainerdError.failedPrecondition("layer \(layer.digest): uncompressed it is \(uncompressed), not \(diffID)")
    }
    applied.withLock { $0[mount.source, default: []].append(layer) }
    try after.finish()
    return Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: uncompressed, size: size)
  }

  private func verify(_ layer: Descriptor, _ content: any ContentProvider) async throws -> Int64 {
    let reader = try await content.reader(layer.digest)
    var bytes: [UInt8] = []
    do {
      while true {
        let chunk = try await reader.read(at: Int64(bytes.count), count: 1 << 20)
        if chunk.isEmpty { break }
        bytes += chunk
      }
    } catch {
      await reader.close()
      throw error
    }
    await reader.close()
    let digest = Digest.of(bytes, layer.digest.algorithm)
    if digest != layer.digest { throw ContainerdError.failedPrecondition("layer \(layer.digest): the blob is \(digest)") }
    return Int64(bytes.count)
  }

  private static func isPlain(_ mediaType: String) -> Bool { mediaType.hasSuffix(".tar") || mediaType.hasSuffix("layer.v1.tar") }

  static func isLayer(_ mediaType: String) -> Bool {
    [".tar", ".tar+gzip", ".tar+zstd", ".tar.gzip", ".tar.zstd"].contains { mediaType.hasSuffix($0) }
  }
}
