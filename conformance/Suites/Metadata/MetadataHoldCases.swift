import Protocols

extension MetadataSuite {
  static let leases: [ContractCase<MetadataSubject>] = [
    ContractCase("metadata.leases.life", "leases are made, listed and deleted", "LeaseStore; LEA-01, LEA-03") { subject in
      let leases = try subject.leases()
      try await subject.lease("b", labels: ["k": "v"])
      try await subject.lease("a")
      try expectEqual(try await leases.list(.all).map(\.id), ["a", "b"], "ids, sorted")
      try expectEqual(try await leases.list(FilterSet(parsing: ["labels.k==v"])).map(\.id), ["b"], "leases with the label")
      try await expectError(.alreadyExists, from: "a second creation") { try await subject.lease("a") }
      try await leases.delete("a")
      try await expectError(.notFound, from: "a second deletion") { try await leases.delete("a") }
      try await expectError(.notFound, from: "resources of a lease that is not there") { _ = try await leases.resources(of: "a") }
    },
    ContractCase("metadata.leases.no-id", "a lease has an id", "LeaseStore.create; LEA-01", level: .should, needs: [.alone]) { subject in
      try await expectError(.invalidArgument, from: "a lease without an id") { try await subject.lease("") }
    },
    ContractCase("metadata.leases.images", "a lease may hold an image", "LeaseStore.addResource; LEA-04", level: .should) { subject in
      try await subject.lease("l")
      try await subject.leases().addResource(LeaseResource(type: "images", id: "i"), to: "l")
      try expectEqual(try await subject.held(by: "l"), ["images i"], "what the lease holds")
    },
    ContractCase("metadata.leases.resources", "resources are added and taken away by name", "LeaseStore.addResource; LEA-04") { subject in
      let leases = try subject.leases()
      try await subject.lease("l")
      let digest = subject.digest([1]).description
      let snapshot = LeaseResource(type: "snapshots/\(subject.snapshotter)", id: "a key")
      for resource in [
        LeaseResource(type: "content", id: digest), LeaseResource(type: "ingests", id: "r"), snapshot, snapshot,
      ] {
        try await leases.addResource(resource, to: "l")
      }
      try expectEqual(try await subject.held(by: "l"), ["content \(digest)", "ingests r", "\(snapshot.type) a key"], "what the lease holds")
      try await leases.deleteResource(snapshot, from: "l")
      try expectEqual(try await subject.held(by: "l").count, 2, "what the lease holds after one was taken away")
      try await expectError(.notFound, from: "adding to a lease that is not there") { try await leases.addResource(snapshot, to: "none") }
      try await expectError(.invalidArgument, from: "adding what is no digest") {
        try await leases.addResource(LeaseResource(type: "content", id: "none"), to: "l")
      }
      try await expectError(.notImplemented, from: "adding an unknown type") { try await leases.addResource(LeaseResource(type: "dreams", id: "x"), to: "l") }
    },
    ContractCase("metadata.leases.hold-what-is-made", "what is made under a lease is in it from the same moment", "MetadataStore law 1; CG-01; GC-03, REF-M01")
    { subject in
      try await subject.lease("l")
      let digest = try await subject.blob("one", lease: "l")
      let open = try await subject.content(lease: "l").writer(ref: "open", expected: IngestExpectation())
      try await subject.layer("base", lease: "l")
      _ = try await subject.snapshots(lease: "l").view("v", parent: "base", labels: [:])
      let type = "snapshots/\(subject.snapshotter)"
      try expectEqual(try await subject.held(by: "l"), ["content \(digest)", "ingests open", "\(type) base", "\(type) v"], "what the lease holds")
      await open.close()
    },
    ContractCase("metadata.leases.hold-what-is-there", "what was there already is held too", "MetadataStore law 1; CG-02; GC-03", needs: [.alone]) { subject in
      let digest = try await subject.blob("one")
      try await subject.layer("base")
      for key in ["active", "second"] { _ = try await subject.snapshots().prepare(key, parent: "base", labels: [:]) }
      try await subject.lease("l")
      let (content, snapshots) = (try subject.content(lease: "l"), try subject.snapshots(lease: "l"))
      try await expectError(.alreadyExists, from: "a writer for a blob that is there") {
        _ = try await content.writer(ref: "r", expected: IngestExpectation(digest: digest))
      }
      try await expectError(.alreadyExists, from: "prepare of a key that is there") { _ = try await snapshots.prepare("active", parent: "base", labels: [:]) }
      try await expectError(.alreadyExists, from: "commit to a name that is there") { try await snapshots.commit("base", key: "second", labels: [:]) }
      let type = "snapshots/\(subject.snapshotter)"
      try expectEqual(try await subject.held(by: "l"), ["content \(digest)", "\(type) active", "\(type) base"], "what the lease holds")
    },
    ContractCase("metadata.leases.unknown", "under a lease that is not there nothing is made", "MetadataStore law 1; REF-M05") { subject in
      try await expectError(.notFound, from: "an upload") { try await subject.blob("one", lease: "none") }
      try await expectError(.notFound, from: "a snapshot") { _ = try await subject.snapshots(lease: "none").prepare("k", parent: nil, labels: [:]) }
      try expectEqual(try await subject.digests(), [], "blobs made")
      try expectEqual(try await subject.keys(), [], "snapshots made")
    },
    ContractCase(
      "metadata.leases.unknown-image", "under a lease that is not there no image is made", "MetadataStore law 1; REF-M05", level: .should, needs: [.alone]
    ) { subject in
      try await expectError(.notFound, from: "an image") {
        _ = try await subject.store.images(in: subject.scope("none")).create(
          ImageRecord(name: "i", target: Descriptor(mediaType: "m", digest: subject.digest([1]), size: 3)))
      }
      try expectEqual(try await subject.images().list(.all).count, 0, "images made")
    },
    ContractCase("metadata.leases.ends-during-upload", "a lease that ends during an upload stops the commit", "MetadataStore law 1; REF-M05") { subject in
      try await subject.lease("l")
      let writer = try await subject.content(lease: "l").writer(ref: "r", expected: IngestExpectation())
      try await writer.write(bytes("x"), at: nil)
      try await subject.leases().delete("l")
      // With which class is left open: the bytes may have been collected by then.
      try await expectRefusal(of: "the commit") { _ = try await writer.commit(IngestExpectation(), labels: [:]) }
      await writer.close()
      try expectEqual(try await subject.digests(), [], "blobs made")
    },
  ]

  static let garbage: [ContractCase<MetadataSubject>] = [
    ContractCase("metadata.gc.unreferenced", "what no root reaches is removed, once", "MetadataStore law 2; GC-01, REF-M02", needs: [.alone]) { subject in
      try await subject.blob("one")
      try await subject.layer("base")
      try await subject.layer("top", on: "base")
      try expectEqual(try await subject.store.collectGarbage(), GarbageReport(content: 1, snapshots: 2, leases: 0), "report")
      try expectEqual(try await subject.digests(), [], "blobs left")
      try expectEqual(try await subject.keys(), [], "snapshots left")
      try expectEqual(try await subject.store.collectGarbage(), GarbageReport(), "report of a second collection")
    },
    ContractCase("metadata.gc.roots", "images, containers, leases and the root label hold", "MetadataStore, roots; CG-05, CG-08; GC-05, GC-08", needs: [.alone])
    { subject in
      try await subject.lease("l")
      let byImage = try await subject.blob("of an image")
      try await subject.image("i", byImage)
      let byLease = try await subject.blob("leased", lease: "l")
      let byLabel = try await subject.blob("rooted", labels: ["containerd.io/gc.root": "2026-01-01T00:00:00Z"])
      try await subject.blob("garbage", labels: ["containerd.io/gc.root.no": "x"])
      try await subject.layer("by-label", labels: ["containerd.io/gc.root": "1"])
      try await subject.layer("by-lease", lease: "l")
      try await subject.layer("by-container")
      _ = try await subject.snapshots().prepare("c", parent: "by-container", labels: [:])
      _ = try await subject.containers().create(subject.container("c", snapshotKey: "c"))
      try await subject.layer("by-nothing")
      try await subject.store.collectGarbage()
      try expectEqual(try await subject.digests(), [byImage, byLease, byLabel], "blobs left")
      try expectEqual(try await subject.keys(), ["by-container", "by-label", "by-lease", "c"], "snapshots left")
      try await subject.images().delete("i")
      try await subject.leases().delete("l")
      try await subject.containers().delete("c")
      try await subject.store.collectGarbage()
      try expectEqual(try await subject.digests(), [byLabel], "blobs left when the roots are gone")
      try expectEqual(try await subject.keys(), ["by-label"], "snapshots left when the roots are gone")
    },
    ContractCase("metadata.gc.edges", "references are followed, in every form", "MetadataStore, edges; CG-05; GC-02, GC-05", needs: [.alone]) { subject in
      let layer = try await subject.blob("layer")
      try await subject.layer("base")
      try await subject.layer("chain", on: "base")
      let config = try await subject.blob("config", labels: ["containerd.io/gc.ref.snapshot.\(subject.snapshotter)": "chain"])
      let unrelated = try await subject.blob("unrelated")
      let manifest = try await subject.blob(
        "manifest",
        labels: [
          "containerd.io/gc.ref.content.config": config.description, "containerd.io/gc.ref.content.l.0": layer.description,
          "containerd.io/gc.ref.contents": unrelated.description,
        ])
      let index = try await subject.blob("index", labels: ["containerd.io/gc.ref.content": manifest.description])
      try await subject.image("i", index)
      try await subject.store.collectGarbage()
      try expectEqual(try await subject.digests(), [index, manifest, config, layer], "blobs left")
      try expectEqual(try await subject.keys(), ["base", "chain"], "snapshots left")
      // References into the air and in a circle do no harm.
      _ = try await subject.content().update(
        ContentInfo(digest: layer, labels: ["containerd.io/gc.ref.content": index.description, "containerd.io/gc.ref.content.x": "none"]), fields: .all)
      try expectEqual(try await subject.store.collectGarbage(), GarbageReport(), "report")
      try await subject.images().delete("i")
      try await subject.store.collectGarbage()
      try expectEqual(try await subject.digests(), [], "blobs left without the image")
      try expectEqual(try await subject.keys(), [], "snapshots left without the image")
    },
    ContractCase(
      "metadata.gc.namespaces", "a reference ends at its namespace's border, bytes are kept while one namespace names them", "MetadataStore; NS-03, REF-M09",
      needs: [.alone]
    ) {
      subject in
      let digest = try await subject.blob("one", in: "a")
      try await subject.image("i", digest, in: "b")
      try await subject.blob("two", in: "a")
      let shared = try await subject.blob("two", in: "b")
      try await subject.image("j", shared, in: "b")
      try await subject.store.collectGarbage()
      try expectEqual(try await subject.digests(in: "a"), [], "blobs left in a")
      try expectEqual(try await subject.digests(in: "b"), [shared], "blobs left in b")
      let reader = try await subject.content(in: "b").reader(shared)
      try expectEqual(try await reader.read(at: 0, count: 10), bytes("two"), "bytes of the shared blob")
      await reader.close()
    },
    ContractCase("metadata.gc.leases-expire", "a lease holds until its time, and a garbled time is none", "LeaseRecord; CG-06; GC-06", needs: [.alone]) {
      subject in
      try await subject.lease("soon", labels: ["containerd.io/gc.expire": subject.now().advanced(bySeconds: 2).description])
      try await subject.lease("garbled", labels: ["containerd.io/gc.expire": "tomorrow"])
      try await subject.blob("one", lease: "soon")
      let kept = try await subject.blob("two", lease: "garbled")
      try expectEqual(try await subject.store.collectGarbage(), GarbageReport(), "report before the time")
      try await subject.advance(3)
      try expectEqual(try await subject.store.collectGarbage(), GarbageReport(content: 1, snapshots: 0, leases: 1), "report after the time")
      try expectEqual(try await subject.digests(), [kept], "blobs left")
      try expectEqual(try await subject.leases().list(.all).map(\.id), ["garbled"], "leases left")
    },
    ContractCase("metadata.gc.flat", "a flat lease does not follow what its blobs refer to", "LeaseRecord: gc.flat; CG-05; GC-07", needs: [.alone]) { subject in
      let child = try await subject.blob("child")
      let parent = try await subject.blob("parent", labels: ["containerd.io/gc.ref.content": child.description])
      try await subject.lease("flat", labels: ["containerd.io/gc.flat": "1"])
      try await subject.leases().addResource(LeaseResource(type: "content", id: parent.description), to: "flat")
      try await subject.store.collectGarbage()
      try expectEqual(try await subject.digests(), [parent], "blobs left")
    },
    ContractCase("metadata.gc.active-snapshot", "what is in use under a lease survives any number of collections", "GC-01; CG-08", needs: [.alone]) { subject in
      try await subject.lease("l")
      try await subject.layer("base", lease: "l")
      let mounts = try await subject.snapshots(lease: "l").prepare("a", parent: "base", labels: [:])
      for _ in 0..<3 { try expectEqual(try await subject.store.collectGarbage(), GarbageReport(), "report") }
      try expectEqual(try await subject.snapshots().mounts("a"), mounts, "mounts")
    },
    ContractCase("metadata.gc.during-upload", "collections during an upload under a lease take nothing from it", "MetadataStore law 2; CG-03; GC-01") {
      subject in
      try await subject.lease("l")
      let content = try subject.content(lease: "l")
      let writer = try await content.writer(ref: "r", expected: IngestExpectation(size: 6))
      try await subject.store.collectGarbage()
      try await writer.write(bytes("abc"), at: 0)
      try await subject.store.collectGarbage()
      await writer.close()
      try await subject.store.collectGarbage()
      let second = try await content.writer(ref: "r", expected: IngestExpectation(size: 6))
      try expectEqual(try await second.status().offset, 3, "offset when resumed")
      try await second.write(bytes("def"), at: 3)
      let digest = try await second.commit(IngestExpectation(size: 6), labels: [:])
      await second.close()
      try await subject.store.collectGarbage()
      try expectEqual(try await subject.digests(), [digest], "blobs left")
    },
  ]
}
