import ConformanceSuites
import ConformanceWireSuites
import Hashing
import Protocols
import SystemKit

/// The suite's own applier, as simple as it can be: archives of the suite's own images, into trees or, where there are none, into nothing.
struct PlainApplier: LayerApplier {
  /// nil: the archive is read and verified, and no mount is performed.
  let trees: (any TreeAccess)?

  func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
    let bytes = try await whole(layer, content)
    if Digest.of(bytes) != layer.digest { throw ContainerdError.failedPrecondition("layer \(layer.digest): the blob is \(Digest.of(bytes))") }
    let archive = layer.mediaType.hasSuffix("gzip") ? Gzip.unstored(bytes) : bytes
    let diffID = Digest.of(archive)
    if let wanted = options.diffID, wanted != diffID {
      throw ContainerdError.failedPrecondition("layer \(layer.digest): uncompressed it is \(diffID), not \(wanted)")
    }
    if let trees {
      do {
        try await trees.enter(mounts) { tree in
          guard let root = tree.directory else { throw SuiteError("the trees have no directory") }
          for record in TarRecord.records(of: archive) { try Self.write(record, in: tree, root) }
        }
      } catch let error as SystemError { throw ContainerdError(.unknown, "layer \(layer.digest): \(error)") }
    }
    return Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: diffID, size: Int64(archive.count))
  }

  private func whole(_ layer: Descriptor, _ content: any ContentProvider) async throws -> [UInt8] {
    let reader = try await content.reader(layer.digest)
    var bytes: [UInt8] = []
    do {
      while true {
        let more = try await reader.read(at: Int64(bytes.count), count: 1 << 20)
        if more.isEmpty { break }
        bytes += more
      }
    } catch {
      await reader.close()
      throw error
    }
    await reader.close()
    return bytes
  }

  private static func write(_ record: TarRecord, in tree: any Tree, _ root: String) throws {
    var parts = record.name.split(separator: "/").map(String.init)
    let path = parts.joined(separator: "/")
    let last = parts.popLast() ?? ""
    if last.hasPrefix(".wh.") {
      try tree.remove((parts + [String(last.dropFirst(4))]).joined(separator: "/"))
      return
    }
    if record.type != "5", Files.exists("\(root)/\(path)") { try tree.remove(path) }
    switch record.type {
    case "5": if !Files.exists("\(root)/\(path)") { try tree.makeDirectory(path) }
    case "2":
      try tree.symlink(record.link, path)
      return
    case "1":
      try tree.link(record.link, path)
      return
    default: try tree.write(path, record.contents)
    }
    try tree.setMode(path, UInt32(record.mode), owner: UInt32(record.owner), group: UInt32(record.group))
  }
}
