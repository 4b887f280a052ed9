import CLinux
import ConformanceSuites
import Protocols

/// An applier that is given another archive than the caller's, or whose tree is changed afterwards.
struct AlteredApplier: LayerApplier {
  let base: any LayerApplier
  let digest: @Sendable ([UInt8]) -> Digest
  let trees: (any TreeAccess)?
  /// nil where the archive is handed on as it is.
  var rewrite: (@Sendable ([TarRecord]) -> [TarRecord])?
  var after: (@Sendable (_ root: String) throws -> Void)?
  var onApply: (@Sendable (any LayerApplier, Descriptor, any ContentProvider, [Mount], ApplyOptions) async throws -> Descriptor)?

  func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
    if let onApply { return try await onApply(base, layer, content, mounts, options) }
    var applied: Descriptor
    if let rewrite, let records = try await whole(layer, content, options) {
      let archive = TarRecord.archive(rewrite(records))
      let other = Descriptor(mediaType: layer.mediaType, digest: digest(archive), size: Int64(archive.count))
      applied = try await base.apply(other, from: OneBlob(bytes: archive), to: mounts, options: ApplyOptions(sync: options.sync))
      applied.digest = layer.digest
      applied.size = layer.size
    } else {
      applied = try await base.apply(layer, from: content, to: mounts, options: options)
    }
    if let after { try await trees?.enter(mounts) { tree in if let root = tree.directory { try after(root) } } }
    return applied
  }

  /// The archive's records, if it is one that nothing is wrong with: the others are the base's to judge.
  private func whole(_ layer: Descriptor, _ content: any ContentProvider, _ options: ApplyOptions) async throws -> [TarRecord]? {
    guard layer.mediaType == LayerSubject.plain, options.diffID == nil else { return nil }
    let reader = try await content.reader(layer.digest)
    let archive = try await reader.read(at: 0, count: Int(layer.size))
    await reader.close()
    let records = TarRecord.records(of: archive)
    let size = records.reduce(1024) { $0 + 512 + ($1.contents.count + 511) / 512 * 512 }
    return digest(archive) == layer.digest && size == archive.count ? records : nil
  }
}

/// A differ whose layer is rewritten before anybody sees it. The layer is not compressed then.
struct AlteredDiffer: LayerDiffer {
  let base: any LayerDiffer
  let digest: @Sendable ([UInt8]) -> Digest
  let rewrite: @Sendable ([TarRecord]) -> [TarRecord]

  func diff(from lower: [Mount], to upper: [Mount], into content: any ContentStore, options: DiffOptions) async throws -> Descriptor {
    var plain = options
    plain.mediaType = LayerSubject.plain
    let layer = try await base.diff(from: lower, to: upper, into: content, options: plain)
    let reader = try await content.reader(layer.digest)
    let archive = TarRecord.archive(rewrite(TarRecord.records(of: try await reader.read(at: 0, count: Int(layer.size)))))
    await reader.close()
    let digest = digest(archive)
    do {
      let writer = try await content.writer(ref: "rewritten \(digest)", expected: IngestExpectation(digest: digest))
      try await writer.write(archive, at: 0)
      _ = try await writer.commit(IngestExpectation(), labels: options.labels.merging(["containerd.io/uncompressed": "\(digest)"]) { $1 })
      await writer.close()
    } catch let error as ContainerdError where error.code == .alreadyExists {}
    return Descriptor(mediaType: LayerSubject.plain, digest: digest, size: Int64(archive.count))
  }
}

struct OneBlob: ContentProvider, ContentReader {
  let bytes: [UInt8]
  var size: Int64 { Int64(bytes.count) }
  func reader(_ digest: Digest) async throws -> any ContentReader { self }
  func read(at offset: Int64, count: Int) async throws -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(count)) }
  func close() async {}
}
