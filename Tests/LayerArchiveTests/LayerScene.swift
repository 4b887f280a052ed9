import CLinux
import Foundation
import Hashing
import LayerArchive
import LocalContentStore
import Protocols
import SystemKit
import TestSupport

/// A content store, a tree behind a bind mount and one behind an overlay, and an applier that writes into either.
final class LayerScene: Sendable {
  let scratch = ScratchDirectory("layers")
  let content: LocalContentStore
  let applier: ArchiveApplier
  let differ: ArchiveDiffer

  init() throws {
    content = try LocalContentStore(root: scratch.path + "/content")
    for name in ["mnt", "lower", "upper", "work", "tree", "merged", "outside"] { try Files.makeDirectories("\(scratch.path)/\(name)") }
    applier = ArchiveApplier(mountPoint: scratch.path + "/mnt")
    differ = ArchiveDiffer(mountPoint: scratch.path + "/mnt")
  }

  var tree: String { scratch.path + "/tree" }
  var bind: [Mount] { [Mount(type: "bind", source: tree, options: ["rw", "rbind"])] }
  var overlay: [Mount] {
    [
      Mount(
        type: "overlay", source: "overlay",
        options: ["index=off", "lowerdir=\(scratch.path)/lower", "upperdir=\(scratch.path)/upper", "workdir=\(scratch.path)/work"])
    ]
  }

  func put(_ bytes: [UInt8]) async throws -> Digest {
    let digest = Digest.of(bytes)
    do {
      let writer = try await content.writer(ref: "\(digest)", expected: IngestExpectation(digest: digest))
      try await writer.write(bytes, at: nil)
      _ = try await writer.commit(IngestExpectation(), labels: [:])
    } catch let error as ContainerdError where error.code == .alreadyExists {}
    return digest
  }

  @discardableResult
  func apply(_ bytes: [UInt8], type: String = "application/vnd.oci.image.layer.v1.tar", to mounts: [Mount]? = nil, diffID: Digest? = nil) async throws
    -> Descriptor
  {
    let layer = Descriptor(mediaType: type, digest: try await put(bytes), size: Int64(bytes.count))
    return try await applier.apply(layer, from: content, to: mounts ?? bind, options: ApplyOptions(diffID: diffID, sync: false))
  }

  @discardableResult
  func apply(to mounts: [Mount]? = nil, _ build: (inout TarBuilder) -> Void) async throws -> Descriptor {
    var tar = TarBuilder()
    build(&tar)
    return try await apply(tar.archive, to: mounts)
  }

  /// The error's class; nil if the layer is applied.
  func refusal(to mounts: [Mount]? = nil, _ build: (inout TarBuilder) -> Void) async -> ContainerdError.Code? {
    do { try await apply(to: mounts, build) } catch { return (error as? ContainerdError)?.code ?? .internalError }
    return nil
  }

  func status(_ path: String) throws -> stat { try Files.status("\(tree)/\(path)") }
  func exists(_ path: String) -> Bool { Files.exists("\(tree)/\(path)") }
  func text(_ path: String) -> String? { (try? Files.read("\(tree)/\(path)")).map { String(decoding: $0, as: UTF8.self) } }
  func names(_ path: String = ".") throws -> [String] { try Files.names(in: "\(tree)/\(path)").sorted() }
  func write(_ text: String, _ path: String) throws { try Files.writeAtomically(Array(text.utf8), to: "\(scratch.path)/\(path)") }
  func shell(_ script: String) throws -> (status: Int32, output: String) { try run(["sh", "-ec", "cd '\(scratch.path)'; " + script]) }

  /// What the overlay shows, for the time of the call.
  func inOverlay<Value>(_ body: (String) throws -> Value) throws -> Value {
    let merged = scratch.path + "/merged"
    try Mounts.mount(type: "overlay", source: "overlay", target: merged, options: overlay[0].options)
    defer { umount2(merged, Int32(MNT_DETACH)) }
    return try body(merged)
  }

  /// Both trees entry by entry, all metadata.
  func compare(_ one: String, _ other: String) throws -> (status: Int32, output: String) {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    return try run(["python3", root + "/scripts/compare-trees.py", one, other])
  }
}
