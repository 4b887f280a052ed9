import Protocols

extension LayerSuite {
  private static let small = TarArchive.make { $0.file("file", "contents") }

  static let applying: [ContractCase<LayerSubject>] = [
    ContractCase("layers.apply.says-what-it-was", "apply says what the layer is uncompressed", "LayerApplier.apply; IM-13") { subject in
      let layer = try await subject.stored(small)
      let applied = try await subject.apply(layer, to: try await subject.tree())
      try expectEqual(applied.digest, layer.digest, "digest of an archive that is not compressed")
      try expectEqual(applied.size, layer.size, "size")
      try expectEqual(applied.mediaType, LayerSubject.plain, "media type")
    },
    ContractCase("layers.apply.diff-id", "a DiffID that is given must be the archive's", "LayerApplier.apply; IM-13", needs: [.handedContent]) {
      subject in
      let layer = try await subject.stored(small)
      try await subject.apply(layer, to: try await subject.tree("right"), diffID: layer.digest)
      let mounts = try await subject.tree("wrong")
      try await expectError(.failedPrecondition, from: "apply with another DiffID") {
        try await subject.apply(layer, to: mounts, diffID: subject.digest(bytes("other")))
      }
    },
    ContractCase("layers.apply.missing-blob", "a layer that is not in the store is not found", "LayerApplier.apply; REF-L02") { subject in
      let mounts = try await subject.tree()
      try await expectError(.notFound, from: "apply of a missing blob") {
        try await subject.apply(Descriptor(mediaType: LayerSubject.plain, digest: subject.digest(bytes("nowhere")), size: 7), to: mounts)
      }
    },
    ContractCase("layers.apply.media-type", "a media type that is no layer's is refused", "LayerApplier.apply; IM-09") { subject in
      let mounts = try await subject.tree()
      for mediaType in ["text/plain", "", "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.layer.v1.tar+rot13"] {
        let layer = try await subject.stored(small, mediaType: mediaType)
        try await expectError(.notImplemented, from: "apply of the media type \"\(mediaType)\"") { try await subject.apply(layer, to: mounts) }
      }
    },
    ContractCase("layers.apply.no-mounts", "without mounts there is nowhere to write", "LayerApplier.apply; law 3; REF-L03") { subject in
      let layer = try await subject.stored(small)
      try await expectError(.invalidArgument, from: "apply to no mounts") { try await subject.apply(layer, to: []) }
    },
    ContractCase("layers.apply.other-bytes", "bytes that are not the descriptor's are refused", "LayerApplier.apply; IM-04, REF-L09", needs: [.handedContent]) {
      subject in
      let layer = try await subject.stored(small)
      let mounts = try await subject.tree()
      let other = TarArchive.make { $0.file("file", "sinister") }
      try await expectError(.failedPrecondition, from: "apply of other bytes than the descriptor names") {
        _ = try await subject.applier.apply(layer, from: OneAnswer(bytes: other), to: mounts, options: ApplyOptions(sync: false))
      }
    },
    ContractCase("layers.apply.at-once", "layers can be applied at the same time", "LayerApplier, concurrency; REF-L04") { subject in
      let layer = try await subject.stored(small)
      let results = try await concurrently(6) { number in try await subject.apply(layer, to: try await subject.tree("\(number)")) }
      for result in results { try expectEqual(try result.get().digest, layer.digest, "digest") }
    },
    ContractCase("layers.apply.broken-archive", "a broken archive is refused", "LayerApplier.apply; LY-01", needs: [.files]) { subject in
      for (what, broken) in [
        ("text", bytes(String(repeating: "this is no archive ", count: 100))), ("an archive that ends in a file", Array(small.prefix(515))),
        ("a header with a wrong sum", small.enumerated().map { $0 == 3 ? $1 ^ 0xff : $1 }),
      ] {
        let layer = try await subject.stored(broken)
        let mounts = try await subject.tree(what)
        try await expectError(.invalidArgument, from: "apply of \(what)") { try await subject.apply(layer, to: mounts) }
      }
    },
  ]

  static let unpacking: [ContractCase<LayerSubject>] = [
    unpack("layers.tree.entries", "entries come out with contents, mode and owners, parents are made", "LY-03, LY-06, LY-08") { subject in
      let archive = TarArchive.make { tar in
        tar.directory("dir", mode: 0o750, owner: 10, group: 20)
        tar.file("dir/file", "contents", mode: 0o4755, owner: 1000, group: 1001)
        tar.file("not/yet/there/file", "deep")
        tar.symlink("link", to: "dir/file")
        // Whether a link's own header counts is written nowhere: it says the same.
        tar.hardLink("dir/same", to: "dir/file", mode: 0o4755, owner: 1000, group: 1001)
      }
      try await subject.enter(try await subject.unpack([archive])) { tree in
        try expectEqual(try tree.read("dir/file"), bytes("contents"), "contents")
        try expectEqual(try tree.read("dir/same"), bytes("contents"), "contents of the hard link")
        try expectEqual(try tree.read("link"), bytes("contents"), "contents through the symbolic link")
        try expectEqual(try tree.read("not/yet/there/file"), bytes("deep"), "contents below implied directories")
        let (file, directory) = (try tree.mode("dir/file"), try tree.mode("dir"))
        try expect(file == (0o4755, 1000, 1001), "mode and owners of the file: \(file)")
        try expect(directory == (0o750, 10, 20), "mode and owners of the directory: \(directory)")
      }
    },
    whiteouts("first", marksFirst: true),
    whiteouts("last", marksFirst: false),
    unpack("layers.tree.whiteout-of-nothing", "deleting what is not there is fine and leaves no trace", "LY-10, LY-11") { subject in
      let layers = [
        TarArchive.make { $0.file("kept", "1") },
        TarArchive.make {
          $0.whiteout("never")
          $0.file("dir/file")
          $0.whiteout("dir/never")
        },
      ]
      try await subject.enter(try await subject.unpack(layers)) { tree in
        try expectEqual(try tree.names(""), ["dir", "kept"], "names")
        try expectEqual(try tree.names("dir"), ["file"], "names in dir")
      }
    },
    unpack("layers.tree.type-clash", "an entry of another type takes the old one's place", "LY-09, IM-07") { subject in
      let layers = [
        TarArchive.make {
          $0.file("was-file", "1")
          $0.file("was-dir/inside", "1")
          $0.file("was-dir/deep/inside", "1")
          $0.symlink("was-link", to: "was-file")
          $0.directory("stays-dir", mode: 0o755)
          $0.file("stays-dir/kept", "1")
        },
        TarArchive.make {
          $0.directory("was-file")
          $0.file("was-dir", "2")
          $0.file("was-link", "2")
          $0.directory("stays-dir", mode: 0o700)
        },
      ]
      try await subject.enter(try await subject.unpack(layers)) { tree in
        try expectEqual(try tree.names("was-file"), [], "names in what was a file")
        try expectEqual(try tree.read("was-dir"), bytes("2"), "contents of what was a directory")
        try expectEqual(try tree.read("was-link"), bytes("2"), "contents of what was a link")
        try expectEqual(try tree.names("stays-dir"), ["kept"], "names in a directory that was named again")
        try expectEqual(try tree.mode("stays-dir").mode, 0o700, "mode of the directory that was named again")
      }
    },
    unpack("layers.tree.no-way-out", "no name and no link leads out of the tree", "LayerApplier.apply: nothing outside; REF-L01") { subject in
      let archives = [
        TarArchive.make { $0.file("../../escaped", "bad") },
        TarArchive.make {
          $0.symlink("up", to: "../../..")
          $0.file("up/escaped", "bad")
        },
        TarArchive.make {
          $0.symlink("abs", to: "/")
          $0.file("abs/escaped", "bad")
        },
        TarArchive.make { $0.file("/escaped", "bad") },
      ]
      for (number, archive) in archives.enumerated() {
        let mounts = try await subject.tree("\(number)")
        // Refused, or resolved inside the root: both are right. Out is wrong.
        do { try await subject.apply(try await subject.stored(archive), to: mounts) } catch let error as ContainerdError {
          try expect(error.code == .invalidArgument, "archive \(number): refused as an invalid argument, not with: \(error)")
          continue
        }
        try await subject.enter(mounts) { tree in
          let names = try tree.names("")
          try expect(names.contains("escaped"), "archive \(number): the file is not in the tree, which holds \(names)")
        }
      }
    },
  ]

  private static func whiteouts(_ name: String, marksFirst: Bool) -> ContractCase<LayerSubject> {
    unpack(
      "layers.tree.whiteouts-\(name)", "whiteouts hide the layers below and never the same layer's entries, here \(name) in the archive",
      "LY-12, LY-13, LY-14, LY-15, LY-16"
    ) { subject in
      let lower = TarArchive.make { tar in
        for path in ["gone", "kept", "replaced", "gone-dir/inside", "opaque/old", "opaque/deep/old"] { tar.file(path, "lower") }
      }
      let upper = TarArchive.make { tar in
        func marks() {
          for path in ["gone", "replaced", "gone-dir"] { tar.whiteout(path) }
          tar.opaque("opaque")
        }
        if marksFirst { marks() }
        tar.file("replaced", "upper")
        tar.file("opaque/new", "upper")
        tar.file("opaque/deep/new", "upper")
        if !marksFirst { marks() }
      }
      try await subject.enter(try await subject.unpack([lower, upper])) { tree in
        try expectEqual(try tree.names(""), ["kept", "opaque", "replaced"], "names")
        try expectEqual(try tree.read("replaced"), bytes("upper"), "contents of a name deleted and made in one layer")
        try expectEqual(try tree.names("opaque"), ["deep", "new"], "names in the opaque directory")
        try expectEqual(try tree.names("opaque/deep"), ["new"], "names below the opaque directory")
      }
    }
  }

  private static func unpack(
    _ id: String, _ sentence: String, _ statement: String, _ body: @escaping @Sendable (LayerSubject) async throws -> Void
  ) -> ContractCase<LayerSubject> {
    ContractCase(id, sentence, statement, needs: [.files], body: body)
  }
}
