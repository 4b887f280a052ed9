import ConformanceSuites
import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// What the diff service of a daemon must say on the wire. What it must do to files is `LayerSuite`'s and `LayerFileSuite`'s, asked through the same service.
public enum WireDifferSuite {
  public static let cases: [ContractCase<WireDifferSubject>] = applying + diffing

  private static let archive = TarArchive.make { $0.file("file", "contents") }
  private static let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
  private static let dockerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

  private static func wire(
    _ id: String, _ sentence: String, _ source: String, level: ContractLevel = .must, why: String, threads: [String] = [],
    _ body: @escaping @Sendable (WireDifferSubject, WireDifferSubject.API, WireConnection) async throws -> Void
  ) -> ContractCase<WireDifferSubject> {
    ContractCase(id, sentence, source, level: level, why: why, threads: threads) { subject in
      try await subject.connected { api, connection in try await body(subject, api, connection) }
    }
  }

  static let applying: [ContractCase<WireDifferSubject>] = [
    wire(
      "differ.apply.answer", "Apply answers with the plain archive: its media type, digest and size, however the layer was packed",
      "diff.proto, ApplyResponse; IM-13; DIF-01", why: "Clients compare the answer's digest with the DiffID of the image's configuration."
    ) { subject, api, _ in
      let packed = Compressed.gzip(archive)
      for (type, blob) in [(LayerSubject.plain, archive), (gzip, packed), (dockerGzip, packed)] {
        let mounts = try await subject.layers.tree("for \(type)")
        let applied = try await subject.apply(api, try await subject.layers.stored(blob, mediaType: type), to: mounts)
        try expectEqual(applied.mediaType, LayerSubject.plain, "media type of the answer to \(type)")
        try expectEqual(applied.digest, "\(subject.layers.digest(archive))", "digest in the answer to \(type)")
        try expectEqual(applied.size, Int64(archive.count), "size in the answer to \(type)")
      }
    },
    wire(
      "differ.apply.unknown-type", "a media type that no differ reads is refused with Unimplemented, and the tree stays empty", "Diff service; IM-09; TA-34",
      why: "A client with a differ of its own for such layers must see that this one is not it."
    ) { subject, api, _ in
      let mounts = try await subject.layers.tree()
      for type in ["application/vnd.example.layer.v1.tar+rot13", "application/vnd.oci.image.config.v1+json"] {
        let layer = try await subject.layers.stored(archive, mediaType: type)
        try await expectStatus(.unimplemented, from: "Apply of \(type)") { try await subject.apply(api, layer, to: mounts) }
      }
      if subject.layers.trees != nil {
        try await subject.layers.enter(mounts) { try expectEqual(try $0.names(""), [], "names in the tree of refused layers") }
      }
    },
    wire(
      "differ.apply.missing", "a layer that is not in the store is refused with NotFound, and the message names it", "Diff service; REF-L02, ERR-01",
      why: "A client fetches it again; told otherwise it gives the image up."
    ) { subject, api, _ in
      let mounts = try await subject.layers.tree()
      let digest = subject.layers.digest(bytes("nowhere"))
      let message = try await expectStatus(.notFound, from: "Apply of a missing blob") {
        try await subject.apply(api, Descriptor(mediaType: LayerSubject.plain, digest: digest, size: 7), to: mounts)
      }
      try expect(message.contains(digest.hex), "the message does not name the blob \(digest): \(message)")
    },
    wire(
      "differ.apply.other-namespace", "a layer that only another namespace has is not found", "Diff service; CS-25; NS-02",
      why: "Whoever knows a digest unpacks another tenant's files.", threads: ["containerd/containerd#2889"]
    ) { subject, api, _ in
      let mounts = try await subject.layers.tree()
      let layer = try await subject.layers.stored(archive)
      var headers = subject.headers(in: subject.namespace + "-other")
      headers.removeAllValues(forKey: "containerd-lease")
      let other = headers
      try await expectStatus(.notFound, from: "Apply in another namespace") { try await subject.apply(api, layer, to: mounts, headers: other) }
    },
    wire(
      "differ.apply.namespace", "Apply without a namespace is refused with FailedPrecondition or InvalidArgument",
      "namespaces: the header containerd-namespace; NS-01",
      why: "A call that falls into some default namespace reads other people's content."
    ) { subject, api, _ in
      let mounts = try await subject.layers.tree()
      let layer = try await subject.layers.stored(archive)
      try await expectStatus(.failedPrecondition, .invalidArgument, from: "Apply without a namespace") {
        try await subject.apply(api, layer, to: mounts, headers: [:])
      }
    },
    ContractCase(
      "differ.apply.bad-mount", "mounts that cannot be made are an error", "Diff service; Mount; REF-L03", needs: [.files],
      why: "The client commits a snapshot into which nothing was written."
    ) { subject in
      try await subject.connected { api, _ in
        let layer = try await subject.layers.stored(archive)
        for mount in [
          Mount(type: "no-such-file-system", source: "none", options: []), Mount(type: "bind", source: "/no/such/directory", options: ["rbind", "rw"]),
        ] {
          do { try await subject.apply(api, layer, to: [mount]) } catch is RPCError { continue }
          throw Mismatch(description: "Apply to a mount of the type \(mount.type) and the source \(mount.source): expected an error, but it succeeded")
        }
      }
    },
    wire(
      "differ.apply.unknown-fields", "fields that the server does not know are passed over", "protobuf, unknown fields; RPC-01",
      why: "Newer clients say more, and expect the rest to work."
    ) { subject, api, _ in
      let mounts = try await subject.layers.tree()
      let layer = try await subject.layers.stored(archive)
      var request = Containerd_Services_Diff_V1_ApplyRequest.with {
        $0.diff = layer.wire
        $0.mounts = mounts.map(\.wire)
      }
      // Field 1000, a text.
      try request.merge(serializedBytes: [0xc2, 0x3e, 0x03, 0x6e, 0x65, 0x77] as [UInt8])
      let applied = try await api.apply(request, metadata: subject.headers).applied
      try expectEqual(applied.digest, "\(layer.digest)", "digest in the answer")
    },
  ]

  static let diffing: [ContractCase<WireDifferSubject>] = [
    wire(
      "differ.diff.answer", "Diff answers with a blob that is there, of the media type asked for; asked for none it is OCI's gzip",
      "diff.proto, DiffResponse; IM-09", why: "The answer is written into a manifest as it is."
    ) { subject, api, _ in
      let trees = try await subject.pair()
      for (asked, wanted) in [("", gzip), (gzip, gzip), (LayerSubject.plain, LayerSubject.plain)] {
        let made = try await subject.diff(api, trees, mediaType: asked)
        let what = asked.isEmpty ? "no media type" : asked
        try expectEqual(made.mediaType, wanted, "media type of the answer to \(what)")
        let blob = try await subject.read(try Digest(parsing: made.digest))
        try expectEqual(made.size, Int64(blob.count), "size in the answer to \(what)")
        try expectEqual("\(subject.layers.digest(blob))", made.digest, "digest of the blob that is there for \(what)")
        if subject.layers.trees != nil {
          try expectEqual(blob.starts(with: [0x1f, 0x8b]), wanted != LayerSubject.plain, "whether the blob for \(what) begins as gzip does")
        }
      }
    },
    wire(
      "differ.diff.unknown-type", "a media type that no differ writes is refused with Unimplemented, and nothing is left", "Diff service; IM-09",
      why: "A client with a differ of its own for such layers must see that this one is not it."
    ) { subject, api, _ in
      let trees = try await subject.pair()
      try await expectStatus(.unimplemented, from: "Diff into text/plain") { try await subject.diff(api, trees, mediaType: "text/plain") }
      try expectEqual(try await subject.layers.content.statuses(.all).map(\.ref), [], "ingests left by a refused Diff")
    },
    wire(
      "differ.diff.labels", "the blob carries the caller's labels, and its DiffID as containerd.io/uncompressed", "diff.proto, DiffRequest.labels; IM-13",
      why: "Builders take the DiffID from the label; without theirs the collector removes the blob."
    ) { subject, api, _ in
      let trees = try await subject.pair()
      let pinned = "containerd.io/gc.root"
      for type in [gzip, LayerSubject.plain] {
        let made = try await subject.diff(api, trees, mediaType: type, labels: ["mine": "1", pinned: "2026-01-01T00:00:00Z"])
        let labels = try await subject.layers.content.info(try Digest(parsing: made.digest)).labels
        try expectEqual(labels["mine"], "1", "the caller's label on the blob of \(type)")
        try expectEqual(labels[pinned], "2026-01-01T00:00:00Z", "the caller's label \(pinned) on the blob of \(type)")
        let layer = Descriptor(mediaType: type, digest: try Digest(parsing: made.digest), size: made.size)
        let applied = try await subject.apply(api, layer, to: try await subject.layers.tree("again \(type)", on: "lower"))
        // What is not packed is its own DiffID, and need not say so.
        if type == LayerSubject.plain && labels["containerd.io/uncompressed"] == nil { continue }
        try expectEqual(labels["containerd.io/uncompressed"], applied.digest, "DiffID on the blob of \(type), and as Apply tells it")
      }
    },
    wire(
      "differ.diff.again", "what was diffed before can be diffed again: the same blob, and no error that it is there", "Diff service; DIF-02, REF-L07",
      why: "A second commit of an unchanged container fails."
    ) { subject, api, _ in
      let trees = try await subject.pair()
      let first = try await subject.diff(api, trees, ref: "first")
      let second = try await subject.diff(api, trees, ref: "second")
      try expectEqual(second, first, "the second answer")
      try expectEqual(try await subject.layers.content.statuses(.all).map(\.ref), [], "ingests left")
    },
    wire(
      "differ.diff.lease", "the blob is held by the caller's lease, made now or before", "leases; CG-02; GC-03",
      why: "A collection takes the layer before the image names it.", threads: ["containerd/containerd#2696"]
    ) { subject, api, connection in
      let trees = try await subject.pair()
      let leases = Containerd_Services_Leases_V1_Leases.Client(wrapping: connection.client)
      for lease in ["first", "second"] {
        _ = try await leases.create(.with { $0.id = lease }, metadata: subject.headers)
        var headers = subject.headers
        headers.replaceOrAddString(lease, forKey: "containerd-lease")
        let made = try await subject.diff(api, trees, headers: headers)
        let held = try await leases.listResources(.with { $0.id = lease }, metadata: subject.headers).resources.map { "\($0.type) \($0.id)" }
        try expect(held.contains("content \(made.digest)"), "the \(lease) lease does not hold content \(made.digest); it holds \(held)")
      }
    },
    wire(
      "differ.diff.namespace", "Diff without a namespace is refused with FailedPrecondition or InvalidArgument",
      "namespaces: the header containerd-namespace; NS-01",
      why: "The blob ends in a namespace that nobody meant."
    ) { subject, api, _ in
      let trees = try await subject.pair()
      try await expectStatus(.failedPrecondition, .invalidArgument, from: "Diff without a namespace") { try await subject.diff(api, trees, headers: [:]) }
    },
    ContractCase(
      "differ.diff.bad-mount", "trees that cannot be mounted are an error, and nothing is left", "Diff service; Mount; REF-L03", needs: [.files],
      why: "An empty layer stands for a tree that nobody could read."
    ) { subject in
      try await subject.connected { api, _ in
        let trees = try await subject.pair()
        let broken = [Mount(type: "bind", source: "/no/such/directory", options: ["rbind", "ro"])]
        for (what, pair) in [
          ("upper", WireDifferSubject.Trees(lower: trees.lower, upper: broken)), ("lower", WireDifferSubject.Trees(lower: broken, upper: trees.upper)),
        ] {
          do { try await subject.diff(api, pair) } catch is RPCError {
            try expectEqual(try await subject.layers.content.statuses(.all).map(\.ref), [], "ingests left by a Diff whose \(what) tree cannot be mounted")
            continue
          }
          throw Mismatch(description: "Diff of an \(what) tree that cannot be mounted: expected an error, but it succeeded")
        }
      }
    },
    ContractCase(
      "differ.diff.trees-unchanged", "a Diff changes neither tree, and mounts that may be written are as good as views", "Diff service; LY-07", needs: [.files],
      why: "The container that is committed goes on running on the upper tree."
    ) { subject in
      try await subject.connected { api, _ in
        let trees = try await subject.pair()
        _ = try await subject.diff(api, trees)
        try await subject.layers.enter(trees.upper) { tree in
          try expectEqual(try tree.names(""), ["dir"], "names in the upper tree")
          try expectEqual(try tree.names("dir"), ["kept", "new"], "names in the upper tree's directory")
          try tree.write("dir/more", bytes("more"))
        }
        try await subject.layers.enter(trees.lower) { try expectEqual(try $0.names("dir"), ["kept"], "names in the lower tree's directory") }
      }
    },
  ]
}
