import Hashing
import Protocols

/// Makes a layer out of the names of its trees: the same mounts make the same bytes. Trace and fault name: `differ.diff`.
public final class InMemoryLayerDiffer: LayerDiffer {
  private let instrument: Instrument

  public init(trace: CallTrace = CallTrace(), faults: FaultPlan = FaultPlan()) {
    self.instrument = Instrument(component: "differ", trace: trace, faults: faults)
  }

  public func diff(
    from lower: [Mount], to upper: [Mount], into content: any ContentStore, options: DiffOptions
  ) async throws -> Descriptor {
    let after = try await instrument.enter("diff", lower.first?.source ?? "", upper.first?.source ?? "")
    let mediaType = options.mediaType.isEmpty ? "application/vnd.oci.image.layer.v1.tar+gzip" : options.mediaType
    guard InMemoryLayerApplier.isLayer(mediaType) else { throw ContainerdError.notImplemented("diff: media type \"\(mediaType)\"") }
    let bytes = Array("\(mediaType): \(lower.map(\.source)) to \(upper.map(\.source))".utf8)
    let digest = Digest.of(bytes)
    var labels = options.labels
    labels["containerd.io/uncompressed"] = InMemoryLayerApplier.uncompressedDigest(of: digest, mediaType: mediaType).description
    try await store(bytes, digest, labels, in: content, ref: options.ref.isEmpty ? "diff-\(digest)" : options.ref)
    try after.finish()
    return Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count))
  }

  private func store(_ bytes: [UInt8], _ digest: Digest, _ labels: Labels, in content: any ContentStore, ref: String) async throws {
    do {
      let writer = try await content.writer(ref: ref, expected: IngestExpectation(size: Int64(bytes.count), digest: digest))
      do {
        try await writer.truncate(to: 0)
        try await writer.write(bytes, at: 0)
        _ = try await writer.commit(IngestExpectation(size: Int64(bytes.count), digest: digest), labels: labels)
      } catch {
        await writer.close()
        throw error
      }
    } catch let error as ContainerdError where error.code == .alreadyExists {
      // The layer is there; its labels may not be.
      _ = try await content.update(ContentInfo(digest: digest, labels: labels), fields: FieldMask(labels.keys.map { "labels.\($0)" }))
    }
  }
}
