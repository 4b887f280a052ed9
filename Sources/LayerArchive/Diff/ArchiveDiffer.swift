import BlockingIO
import CLinux
import Hashing
import Protocols
import SystemKit
import TarReading

/// Writes what turns one tree into another as a layer: both trees are mounted read-only on a thread of its own and walked side by side.
///
/// The same trees make the same bytes: names in order, no access times, no time in the gzip header.
public struct ArchiveDiffer: LayerDiffer {
  private let mountPoint: String

  /// - Parameter mountPoint: an existing empty directory; many differs may share it.
  public init(mountPoint: String) { self.mountPoint = mountPoint }

  public func diff(
    from lower: [Mount], to upper: [Mount], into content: any ContentStore, options: DiffOptions
  ) async throws -> Descriptor {
    let mediaType = options.mediaType.isEmpty ? "application/vnd.oci.image.layer.v1.tar+gzip" : options.mediaType
    let compression = try Compression(mediaType: mediaType)
    let ref = options.ref.isEmpty ? "diff-\(Timestamp.now())-\(UInt32.random(in: 0...UInt32.max))" : options.ref
    let writer = try await content.writer(ref: ref, expected: IngestExpectation())
    do {
      if try await writer.status().offset > 0 { try await writer.truncate(to: 0) }
      let point = mountPoint
      let diffID = try await DedicatedThread.run {
        let trees = try DiffTrees(lower: lower, upper: upper, at: point)
        let sink = try LayerSink(compression, into: writer)
        try UnchangedNames.during { try TarWriter.write(into: sink) { try TreeComparison(trees: trees, archive: $0).run() } }
        return try sink.finish()
      }
      let status = try await writer.status()
      let digest = try await writer.digest()
      var labels = options.labels
      labels["containerd.io/uncompressed"] = diffID.description
      do {
        _ = try await writer.commit(IngestExpectation(size: status.offset, digest: digest), labels: labels)
      } catch let error as ContainerdError where error.code == .alreadyExists {
        _ = try await content.update(
          ContentInfo(digest: digest, labels: labels), fields: FieldMask(labels.keys.map { "labels.\($0)" }))
      }
      await writer.close()
      return Descriptor(mediaType: mediaType, digest: digest, size: status.offset)
    } catch {
      await writer.close()
      // What half a diff has written is of use to nobody; the error that counts is the one at hand.
      try? await content.abort(ref: ref)
      if let error = error as? SystemError { throw ContainerdError(.unknown, "diff into \(ref): \(error)") }
      throw error
    }
  }
}

/// The two trees, mounted for the calling thread alone, read-only: a diff never changes what it reads.
struct DiffTrees {
  let lower: String?
  let upper: String

  init(lower: [Mount], upper: [Mount], at point: String) throws {
    try check("unshare", "mount namespace") { unshare(CLONE_NEWNS) }
    try check("mount", "/ as private") { CLinux.mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    // The mount point gets two directories of this thread's own.
    try Mounts.mount(type: "tmpfs", source: "tmpfs", target: point, options: ["mode=700"])
    for name in ["lower", "upper"] { try Files.makeDirectories("\(point)/\(name)") }
    self.upper = "\(point)/upper"
    _ = try MountedTree.assemble(upper.map(Self.readOnly), at: "\(point)/upper")
    if lower.isEmpty {
      self.lower = nil
    } else {
      _ = try MountedTree.assemble(lower.map(Self.readOnly), at: "\(point)/lower")
      self.lower = "\(point)/lower"
    }
  }

  /// An overlay keeps its upper directory: only so are deletions in it seen.
  private static func readOnly(_ mount: Mount) -> Mount {
    var mount = mount
    mount.options.removeAll { $0 == "rw" }
    if !mount.options.contains("ro") { mount.options.append("ro") }
    return mount
  }
}
