import BlockingIO
import CLinux
import FuseSnapshotter
import LayerIndex
import LazyLayers
import Protocols
import Synchronization
import SystemKit
import TestSupport
import Testing

private let obstacle: String? =
  geteuid() != 0 ? "mounting needs root" : Files.exists("/dev/fuse") ? nil : "there is no /dev/fuse"

/// What becomes of a layer whose index turns out to be wrong when the layer is whole.
@Suite(.serialized, .enabled(if: obstacle == nil, "\(obstacle ?? "")")) struct PoisonedLayerTests {
  private static let reference = "sha256:" + String(repeating: "a", count: 64)

  /// One image of one layer, whose index lies until it is distrusted.
  private final class Images: LazyImages {
    let index: LayerIndex
    let path: String
    let isDistrusted = Mutex(false)

    init(_ path: String) throws {
      self.path = path
      index = try LayerIndex.build(from: FileBytes(path: path), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", spanSize: 64 << 10)
    }

    private var blob: Descriptor { Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: index.blob, size: index.size) }

    func find(_ request: LazyRequest) async throws -> LazyAnswer {
      var told = index
      if !isDistrusted.withLock({ $0 }) { told.entries[told.entries.count - 1].mode ^= 0o22 }
      return .layers(
        image: "demo:latest",
        [LazyOffer(blob: blob, diffID: try #require(index.diffID), index: told, bytes: try IndexFile.encode(told))])
    }
    func source(of layer: Descriptor, image: String) throws -> any LayerSource { LocalBlob(try BlobFile(path: path)) }
    func unpacked(_ request: LazyRequest) async {}
    func remember(_ accesses: [UInt8], of layer: Digest) throws {}
    func distrust(_ layer: Digest) async { isDistrusted.withLock { $0 = true } }
  }

  private let scratch = ScratchDirectory("poisoned")
  private var root: String { scratch.path + "/root" }

  /// The file's bytes through the chain's mount; nil for an error of input and output.
  private func read(_ name: String) async throws -> [UInt8]? {
    try await DedicatedThread.run { [root] in
      do { return try Files.read("\(root)/lazy/1/mnt/\(name)") } catch let error as SystemError where error.errno == EIO { return nil }
    }
  }

  @Test func nothingOfItIsReadAnyMoreUntilItIsPulledAgain() async throws {
    let (status, output) = try run(
      ["/bin/bash", "-ec", "cd '\(scratch.path)'; mkdir tree; seq 400000 >tree/numbers; echo small >tree/small; tar -C tree -czf layer.tar.gz ."])
    #expect(status == 0, "\(output)")
    let images = try Images(scratch.path + "/layer.tar.gz")
    let told = Mutex<[String]>([])
    let snapshotter = try await DedicatedThread.run { [root] in
      try FuseSnapshotter(
        root: root, images: images, policy: LayerPolicy(fillsInBackground: false), log: { line in told.withLock { $0.append(line) } })
    }
    defer { umount2(root + "/lazy/1/mnt", Int32(MNT_DETACH)) }
    let label = ["containerd.io/snapshot.ref": Self.reference]
    func pull() async -> ContainerdError? {
      await #expect(throws: ContainerdError.self) { _ = try await snapshotter.prepare("unpack", parent: nil, labels: label) }
    }
    #expect(await pull()?.code == .alreadyExists)
    _ = try await snapshotter.prepare("first", parent: Self.reference, labels: [:])
    // Both are in the page cache now, of which the server is never asked again; and with the last bytes the layer is whole, and found to be wrong.
    #expect(try await read("small") == Array("small\n".utf8))
    _ = try await read("numbers")
    for _ in 0..<1000 where !images.isDistrusted.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
    #expect(told.withLock { $0.contains { $0.contains("is poisoned: its index is wrong") } })
    for _ in 0..<1000 {
      if try await read("small") == nil { break }
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(try await read("small") == nil)
    #expect(try await read("numbers") == nil)
    let refused = await #expect(throws: ContainerdError.self) { try await snapshotter.prepare("second", parent: Self.reference, labels: [:]) }
    #expect(refused?.code == .failedPrecondition)
    #expect(refused?.message.contains("its layer \(images.index.blob) is not what image demo:latest names") == true, "\(refused?.message ?? "")")
    await #expect(throws: ContainerdError.self) { try await snapshotter.view("third", parent: Self.reference, labels: [:]) }
    // What stands on it stays, to be looked at and removed.
    #expect(try await !snapshotter.mounts("first").isEmpty)

    // Now the image is found with an index that is right: the same snapshot is whole again, for who comes from now on.
    #expect(await pull()?.code == .alreadyExists)
    _ = try await snapshotter.prepare("second", parent: Self.reference, labels: [:])
    #expect(try await read("small") == Array("small\n".utf8))
    #expect(try await read("numbers") == Files.read(scratch.path + "/tree/numbers"))
    for key in ["first", "second", Self.reference] { try await snapshotter.remove(key) }
    try await snapshotter.close()
    #expect(try !String(decoding: Files.read("/proc/self/mounts", limit: 1 << 24), as: UTF8.self).contains(root))
  }
}
