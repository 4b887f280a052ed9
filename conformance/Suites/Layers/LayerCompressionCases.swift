import Protocols

extension LayerSuite {
  private static let archive = TarArchive.make { tar in
    tar.directory("dir")
    tar.file("dir/file", "contents")
    // More than one block of either form.
    tar.file("large", String(repeating: "0123456789abcdef", count: 20_000))
  }

  private static let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
  private static let zstd = "application/vnd.oci.image.layer.v1.tar+zstd"

  /// The layer comes out as the archive, and is said to be the archive.
  private static func expectWhole(_ subject: LayerSubject, _ blob: [UInt8], _ mediaType: String, _ what: String) async throws {
    let mounts = try await subject.tree(what)
    let applied = try await subject.apply(try await subject.stored(blob, mediaType: mediaType), to: mounts)
    try expectEqual(applied.digest, subject.digest(archive), "\(what): the DiffID")
    try expectEqual(applied.size, Int64(archive.count), "\(what): size of the archive")
    try await subject.enter(mounts) { tree in
      try expectEqual(try tree.names(""), ["dir", "large"], "\(what): names")
      try expectEqual(try tree.read("dir/file"), bytes("contents"), "\(what): contents")
      try expectEqual(try tree.read("large")?.count, 320_000, "\(what): size of the large file")
    }
  }

  private static func expectRefused(_ subject: LayerSubject, _ blob: [UInt8], _ mediaType: String, _ what: String) async throws {
    let layer = try await subject.stored(blob, mediaType: mediaType)
    let mounts = try await subject.tree(what)
    do { try await subject.apply(layer, to: mounts) } catch is ContainerdError { return }
    throw Mismatch(description: "apply of \(what): expected an error, but it succeeded")
  }

  static let compressing: [ContractCase<LayerSubject>] = [
    ContractCase(
      "layers.compression.forms", "a layer comes out the same plain and compressed with gzip, under OCI's media types and Docker's",
      "LayerApplier.apply; IM-09, LY-01",
      needs: [.files], why: "Images of one of the two builders cannot be unpacked."
    ) { subject in
      let packed = Compressed.gzip(archive)
      for (type, blob) in [
        (LayerSubject.plain, archive), (gzip, packed), ("application/vnd.docker.image.rootfs.diff.tar", archive),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", packed),
      ] { try await expectWhole(subject, blob, type, type) }
    },
    ContractCase(
      "layers.compression.nondistributable", "the media types of layers that are not pushed are layers like others", "LayerApplier.apply; IM-09, LY-17",
      level: .should, needs: [.files], why: "Images with such layers cannot be unpacked."
    ) { subject in
      for (type, blob) in [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", archive),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compressed.gzip(archive)),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compressed.gzip(archive)),
      ] { try await expectWhole(subject, blob, type, type) }
    },
    ContractCase(
      "layers.compression.gzip-members", "gzip of several members is one archive, and a member may carry a name", "LayerApplier.apply; RFC 1952, 2.2; IM-09",
      needs: [.files], why: "Parallel compressors and stargz make such layers; who stops after the first member unpacks a part without an error."
    ) { subject in
      let cut = [0, 700, 1536, archive.count / 2, archive.count]
      let members = zip(cut, cut.dropFirst()).flatMap { Compressed.gzip(Array(archive[$0..<$1]), name: $0 == 700 ? "layer.tar" : "") }
      try await expectWhole(subject, members, gzip, "four members")
      try await expectWhole(subject, Compressed.gzip([]) + Compressed.gzip(archive) + Compressed.gzip([]), gzip, "a member between two empty ones")
    },
    ContractCase(
      "layers.compression.zstd", "a layer compressed with zstd comes out, of one frame or several, with frames between that are passed over",
      "LayerApplier.apply; RFC 8878; IM-09", level: .should, needs: [.files], why: "Images built for zstd cannot be unpacked, or only a part of them."
    ) { subject in
      try await expectWhole(subject, Compressed.zstd(archive), zstd, "one frame")
      let frames = Compressed.zstd(Array(archive[..<900])) + Compressed.zstdSkipped(bytes("a table")) + Compressed.zstd(Array(archive[900...]))
      try await expectWhole(subject, frames, zstd, "two frames and one between")
    },
    ContractCase(
      "layers.compression.broken", "compressed layers that are cut, or whose sum is wrong, are refused", "LayerApplier.apply; RFC 1952, 2.3.1; LY-01",
      needs: [.files], why: "Half an image starts, and fails later.", threads: ["containerd/containerd#5921"]
    ) { subject in
      let packed = Compressed.gzip(archive)
      var wrong = packed
      wrong[packed.count - 8] ^= 0xff
      var length = packed
      length[packed.count - 4] ^= 0x01
      for (what, blob) in [
        ("gzip that is cut in the archive", Array(packed.prefix(packed.count / 2))), ("gzip without its end", Array(packed.dropLast(8))),
        ("gzip with another sum", wrong), ("gzip with another length", length), ("text under the media type of gzip", bytes("this is no gzip at all")),
        ("gzip with a member cut behind", packed + packed.prefix(200)),
      ] { try await expectRefused(subject, blob, gzip, what) }
    },
  ]
}
