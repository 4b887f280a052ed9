import BlockingIO
import CLinux
import LayerIndex
import Protocols
import SystemKit

/// A layer that is complete, as a blob that an applier can be given.
extension LazyLayer: ContentProvider {
  /// The archive where all of it is here, else the blob as the registry has it.
  public var content: Descriptor {
    if spans.archive != .tar { return name.blob }
    return Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: name.diffID, size: spans.archiveSize)
  }

  /// `failedPrecondition` for a layer that is not complete, `notFound` for another digest than that of `content`.
  public func reader(_ digest: Digest) async throws -> any ContentReader {
    if digest != content.digest { throw ContainerdError.notFound("content \(digest)") }
    if !isComplete { throw ContainerdError.failedPrecondition("layer \(name.blob.digest) is not complete") }
    return Reader(layer: self, size: content.size)
  }

  private struct Reader: ContentReader {
    let layer: LazyLayer
    let size: Int64

    func read(at offset: Int64, count: Int) async throws -> [UInt8] {
      if offset < 0 { throw ContainerdError.outOfRange("layer \(layer.name.blob.digest): read at \(offset)") }
      let wanted = Int(max(0, min(Int64(count), size - offset)))
      return try await layer.pool.run { try layer.contentBytes(at: offset, count: wanted) }
    }
    func close() async {}
  }

  private func contentBytes(at offset: Int64, count: Int) throws(ContainerdError) -> [UInt8] {
    let file = spans.archive == .tar ? archive : packed
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let got = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress?.advanced(by: done), $0.count - done, off_t(offset) + off_t(done)) }
      if got < 0, clinux_errno() == EINTR { continue }
      if got < 0 { throw ContainerdError(SystemError.last("pread", directory), "layer \(name.blob.digest)") }
      if got == 0 { throw ContainerdError(.dataLoss, "layer \(name.blob.digest) ends at \(offset + Int64(done))") }
      done += got
    }
    return bytes
  }
}
