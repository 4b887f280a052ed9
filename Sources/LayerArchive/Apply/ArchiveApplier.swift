import BlockingIO
import CLinux
import Glibc
import Hashing
import Protocols
import SystemKit
import TarReading

/// Unpacks layers: tar, plain or compressed, into the tree that mounts make.
///
/// The mounts are performed on a thread of its own, in a mount namespace of its own, and the archive is written into what they show: the
/// kernel's overlay turns a deletion into a whiteout by itself, and no path into a snapshotter's directory is ever built here.
public struct ArchiveApplier: LayerApplier {
  private let mountPoint: String

  /// - Parameter mountPoint: an existing empty directory; many appliers may share it.
  public init(mountPoint: String) { self.mountPoint = mountPoint }

  public func apply(
    _ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions
  ) async throws -> Descriptor {
    let compression = try Compression(mediaType: layer.mediaType)
    if mounts.isEmpty { throw ContainerdError.invalidArgument("layer \(layer.digest): no mounts to apply it to") }
    let reader = try await content.reader(layer.digest)
    let point = mountPoint
    do {
      let applied = try await DedicatedThread.run {
        let root = try MountedTree.enter(mounts, at: point)
        try Self.checkWritable(root, layer)
        let source = BlockingContentSource(reader: reader, layer.digest.algorithm)
        let stream = try LayerStream(compression, source, options.diffID?.algorithm ?? .sha256)
        let writer = try LayerWriter(root: root)
        try TarReader.forEachEntry(of: { try stream.next() }) { try writer.write($0) }
        try writer.finish()
        try stream.drain()
        while try source.next() != nil {}
        try Self.verify(layer, source.consumed, stream.digest, options.diffID)
        if options.sync { try writer.sync() }
        return Descriptor(mediaType: Compression.uncompressedMediaType, digest: stream.digest, size: stream.size)
      }
      await reader.close()
      return applied
    } catch {
      await reader.close()
      throw Self.described(error, layer)
    }
  }

  /// `ST_RDONLY` of statvfs(3).
  private static let readOnly: UInt = 1

  private static func checkWritable(_ root: borrowing OwnedFD, _ layer: Descriptor) throws {
    var status = statvfs()
    let raw = root.raw
    try check("fstatvfs", "the mounts") { fstatvfs(raw, &status) }
    if status.f_flag & readOnly != 0 { throw ContainerdError.invalidArgument("layer \(layer.digest): the mounts are read-only") }
  }

  private static func verify(_ layer: Descriptor, _ read: (digest: Digest, size: Int64), _ diffID: Digest, _ wanted: Digest?) throws {
    if layer.size > 0 && read.size != layer.size {
      throw ContainerdError.failedPrecondition("layer \(layer.digest): \(read.size) bytes, the descriptor says \(layer.size)")
    }
    if read.digest != layer.digest {
      throw ContainerdError.failedPrecondition("layer \(layer.digest): the bytes have the digest \(read.digest)")
    }
    if let wanted, wanted != diffID {
      throw ContainerdError.failedPrecondition("layer \(layer.digest): unpacked digest \(diffID) is not the expected DiffID \(wanted)")
    }
  }

  private static func described(_ error: any Error, _ layer: Descriptor) -> any Error {
    switch error {
    case let error as ContainerdError:
      return error.message.contains(layer.digest.hex) ? error : ContainerdError(error.code, "layer \(layer.digest): \(error.message)")
    case let error as SystemError:
      let full = error.errno == ENOSPC || error.errno == EDQUOT
      return ContainerdError(full ? .resourceExhausted : .unknown, "layer \(layer.digest): \(error)")
    default: return ContainerdError(.unknown, "layer \(layer.digest): \(error)")
    }
  }
}
