import Protocols

extension LayerSuite {
  /// Two trees, the second made from the first.
  private static func pair(_ subject: LayerSubject) async throws -> (lower: [Mount], upper: [Mount]) {
    let mounts = try await subject.tree("making")
    if subject.trees != nil {
      try await subject.enter(mounts) { tree in
        try tree.makeDirectory("dir")
        try tree.write("dir/kept", bytes("kept"))
        try tree.write("dir/gone", bytes("gone"))
        try tree.write("changed", bytes("before"))
        try tree.makeDirectory("gone-dir")
        try tree.write("gone-dir/inside", bytes("x"))
      }
    }
    try await subject.snapshotter.commit("lower", key: "making", labels: [:])
    let upper = try await subject.tree("upper", on: "lower")
    if subject.trees != nil {
      try await subject.enter(upper) { tree in
        try tree.remove("dir/gone")
        try tree.remove("gone-dir")
        try tree.write("changed", bytes("after, and longer"))
        try tree.makeDirectory("new")
        try tree.write("new/file", bytes("new"))
        try tree.link("new/file", "new/same")
        try tree.symlink("../changed", "new/link")
        try tree.setMode("dir/kept", 0o600, owner: 7, group: 8)
      }
    }
    return (try await subject.snapshotter.view("lower view", parent: "lower", labels: [:]), upper)
  }

  static let diffing: [ContractCase<LayerSubject>] = [
    ContractCase("layers.diff.makes-a-blob", "diff writes a layer with its DiffID and the caller's labels", "LayerDiffer.diff; DIF-02, DIF-03, REF-L08") {
      subject in
      let (lower, upper) = try await pair(subject)
      let layer = try await subject.differ.diff(from: lower, to: upper, into: subject.content, options: DiffOptions(labels: ["mine": "1"]))
      try expectEqual(layer.mediaType, "application/vnd.oci.image.layer.v1.tar+gzip", "media type where none is asked for")
      let info = try await subject.content.info(layer.digest)
      try expectEqual(info.size, layer.size, "size of the blob")
      try expectEqual(info.labels["mine"], "1", "the caller's label")
      guard let diffID = info.labels["containerd.io/uncompressed"] else { throw Mismatch(description: "no label with the DiffID: \(info.labels)") }
      let applied = try await subject.apply(layer, to: try await subject.tree("again", on: "lower"))
      try expectEqual(applied.digest.description, diffID, "DiffID when applied, and as labelled")
      try expectEqual(try await subject.content.statuses(.all).count, 0, "ingests left")
    },
    ContractCase("layers.diff.same-trees-same-bytes", "the same trees make the same bytes", "LayerDiffer.diff; REF-L07") { subject in
      let (lower, upper) = try await pair(subject)
      var made: Set<Descriptor> = []
      for ref in ["one", "two", "one"] {
        // What depends on the clock shows in another second.
        if ref == "two" { try await Task.sleep(for: .milliseconds(1100)) }
        made.insert(try await subject.differ.diff(from: lower, to: upper, into: subject.content, options: DiffOptions(ref: ref)))
      }
      try expectEqual(made.count, 1, "different layers of the same trees")
    },
    ContractCase("layers.diff.media-types", "the layer is of the media type asked for", "LayerDiffer.diff; IM-09") { subject in
      let (lower, upper) = try await pair(subject)
      for mediaType in [LayerSubject.plain, "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"] {
        let layer = try await subject.differ.diff(from: lower, to: upper, into: subject.content, options: DiffOptions(mediaType: mediaType))
        try expectEqual(layer.mediaType, mediaType, "media type")
        let diffID = try await subject.content.info(layer.digest).labels["containerd.io/uncompressed"]
        if mediaType == LayerSubject.plain { try expectEqual(diffID, layer.digest.description, "DiffID of a layer that is not compressed") }
      }
      try await expectError(.notImplemented, from: "diff into text/plain") {
        _ = try await subject.differ.diff(from: lower, to: upper, into: subject.content, options: DiffOptions(mediaType: "text/plain"))
      }
    },
    ContractCase(
      "layers.diff.round-trip", "what is diffed and applied to the lower tree gives the upper one", "LayerDiffer.diff, LayerApplier.apply; DIF-02, REF-L06",
      needs: [.files]
    ) { subject in
      let (lower, upper) = try await pair(subject)
      let layer = try await subject.differ.diff(from: lower, to: upper, into: subject.content, options: DiffOptions())
      let again = try await subject.tree("again", on: "lower")
      try await subject.apply(layer, to: again)
      try await subject.enter(again) { tree in
        try expectEqual(try tree.names(""), ["changed", "dir", "new"], "names")
        try expectEqual(try tree.names("dir"), ["kept"], "names in dir")
        try expectEqual(try tree.names("new"), ["file", "link", "same"], "names in new")
        try expectEqual(try tree.read("changed"), bytes("after, and longer"), "contents that changed")
        try expectEqual(try tree.read("new/link"), bytes("after, and longer"), "contents through the link")
        try expectEqual(try tree.read("new/same"), bytes("new"), "contents of the hard link")
        let status = try tree.mode("dir/kept")
        try expect(status == (0o600, 7, 8), "mode and owners that changed: \(status)")
      }
    },
    ContractCase("layers.diff.nothing", "of two equal trees the difference is empty", "LayerDiffer.diff; REF-L06", needs: [.files]) { subject in
      let (lower, _) = try await pair(subject)
      let same = try await subject.tree("same", on: "lower")
      let layer = try await subject.differ.diff(
        from: lower, to: same, into: subject.content, options: DiffOptions(mediaType: LayerSubject.plain))
      let reader = try await subject.content.reader(layer.digest)
      let archive = try await reader.read(at: 0, count: Int(layer.size))
      await reader.close()
      try expect(archive.allSatisfy { $0 == 0 }, "an archive of \(archive.count) bytes with entries in it")
    },
  ]
}
