import ConformanceSuites
import ContainerdAPI
import ContainerdClient
import Protocols
import SwiftProtobuf

/// What a whole containerd must do, asked through its API: leases and collections, namespaces, events.
public enum DaemonSuite {
  public static let cases = leaseCases + garbageCases + nameCases + eventCases

  private static func expectThere(_ subject: DaemonSubject, _ digests: [(Digest, String)], _ when: String) async throws {
    for (digest, what) in digests { try expect(try await subject.isThere(digest), "\(when): \(what) (\(digest)) is gone, expected it to be kept") }
  }
  private static func expectGone(_ subject: DaemonSubject, _ digests: [(Digest, String)], _ when: String) async throws {
    for (digest, what) in digests { try expect(try await !subject.isThere(digest), "\(when): \(what) (\(digest)) is still there, expected it to be collected") }
  }

  static let leaseCases: [ContractCase<DaemonSubject>] = [
    ContractCase(
      "daemon.lease.life", "leases are made, listed and deleted; a second of the same id and the deletion of none are errors",
      "leases API; CG-01; LEA-01, LEA-02, LEA-03",
      why: "clients cannot tell whether what they hold is held"
    ) { subject in
      try await subject.lease("b", labels: ["kind": "x"])
      try await subject.lease("a")
      try expectEqual(try await subject.leaseIDs("id==a"), ["a"], "leases with the id a")
      try expectEqual(try await subject.leaseIDs("labels.kind==x"), ["b"], "leases with the label")
      try await expectError(.alreadyExists, from: "a second lease of the same id") { try await subject.lease("a") }
      for id in ["a", "b"] { try await subject.delete(lease: id) }
      try await expectError(.notFound, from: "deletion of a lease that is gone") { try await subject.delete(lease: "a") }
    },
    ContractCase(
      "daemon.lease.holds", "what is stored under a lease is in it, is kept by collections, and goes with it", "leases API; CG-01; GC-01; GC-03, LEA-02",
      why: "what a client is pulling vanishes under it, or is never freed", threads: ["containerd/containerd#2382", "containerd/containerd#3787"]
    ) { subject in
      try await subject.lease("l")
      let digest = try await subject.blob("under a lease", lease: "l")
      try expect(try await subject.held(by: "l").contains("content \(digest)"), "the lease does not list content \(digest)")
      try await subject.collect()
      try await expectThere(subject, [(digest, "the blob")], "after a collection")
      try await subject.delete(lease: "l")
      try await expectGone(subject, [(digest, "the blob")], "after the lease was deleted, synchronously")
    },
    ContractCase(
      "daemon.lease.resources", "a resource can be added to a lease and taken away again", "leases API; CG-02; LEA-04",
      why: "clients that adopt what is there cannot hold it"
    ) { subject in
      try await subject.lease("first")
      try await subject.lease("second")
      let digest = try await subject.blob("adopted", lease: "first")
      _ = try await subject.call {
        try await subject.leases.addResource(
          .with {
            $0.id = "second"
            $0.resource.type = "content"
            $0.resource.id = digest.description
          }, metadata: subject.metadata())
      }
      try await subject.delete(lease: "first")
      try await expectThere(subject, [(digest, "the blob that the second lease holds")], "after the first lease was deleted")
      _ = try await subject.call {
        try await subject.leases.deleteResource(
          .with {
            $0.id = "second"
            $0.resource.type = "content"
            $0.resource.id = digest.description
          }, metadata: subject.metadata())
      }
      try await subject.collect()
      try await expectGone(subject, [(digest, "the blob that no lease holds any more")], "after it was taken from the second lease")
    },
    ContractCase(
      "daemon.lease.existing-blob", "opening a blob that is there already adds it to the caller's lease", "leases API; CG-02; GC-03",
      why: "a layer shared with another image vanishes during a pull", threads: ["containerd/containerd#2696"]
    ) { subject in
      try await subject.lease("first")
      try await subject.lease("second")
      let digest = try await subject.blob("shared", lease: "first")
      try await expectError(.alreadyExists, from: "opening a blob that is there") {
        _ = try await subject.client.holding(lease: "second").content.writer(ref: "again", expected: IngestExpectation(digest: digest))
      }
      try await subject.delete(lease: "first")
      try await expectThere(subject, [(digest, "the blob that the second lease met")], "after the first lease was deleted")
    },
    ContractCase(
      "daemon.lease.expires", "a lease holds nothing after its time", "gc.expire; CG-06; GC-06", why: "the disk fills with what clients that died had begun"
    ) { subject in
      try await subject.lease("l", labels: ["containerd.io/gc.expire": Timestamp.now().advanced(bySeconds: 2).description])
      try await subject.lease("long", labels: ["containerd.io/gc.expire": Timestamp.now().advanced(bySeconds: 3600).description])
      let short = try await subject.blob("for two seconds", lease: "l")
      let long = try await subject.blob("for an hour", lease: "long")
      try await subject.collect()
      try await expectThere(subject, [(short, "the blob of the lease that is not over"), (long, "the other")], "before the time")
      try await Task.sleep(for: .seconds(3))
      try await subject.collect()
      try await expectGone(subject, [(short, "the blob of the lease that is over")], "after the time")
      try await expectThere(subject, [(long, "the blob of the lease that is not over")], "after the other's time")
    },
  ]

  static let garbageCases: [ContractCase<DaemonSubject>] = [
    ContractCase(
      "daemon.gc.references", "content that is referred to by label is kept as long as what refers to it", "gc.ref.content; CG-05; GC-02",
      why: "an image loses its layers", threads: ["containerd/containerd#10720"]
    ) { subject in
      try await subject.lease("l")
      let layer = try await subject.blob("layer", lease: "l")
      let config = try await subject.blob("config", lease: "l")
      let manifest = try await subject.blob(
        "manifest", labels: ["containerd.io/gc.ref.content.config": "\(config)", "containerd.io/gc.ref.content.l.0": "\(layer)"], lease: "l")
      let stray = try await subject.blob("stray", lease: "l")
      try await subject.image("case/image:1", manifest, size: 8)
      try await subject.delete(lease: "l")
      let kept = [(manifest, "the manifest"), (config, "the config"), (layer, "the layer")]
      try await expectThere(subject, kept, "after the lease is gone, while the image is there")
      try await expectGone(subject, [(stray, "what nobody refers to")], "after the lease is gone")
      subject.note("delete the image, and collect", ["images", "rm", "--sync", "case/image:1"])
      _ = try await subject.call {
        try await subject.images.delete(
          .with {
            $0.name = "case/image:1"
            $0.sync = true
          }, metadata: subject.metadata())
      }
      try await expectGone(subject, kept, "after the image was deleted, synchronously")
    },
    ContractCase(
      "daemon.gc.root-label", "content labelled as a root is kept, without the label it goes", "gc.root; CG-05; GC-08", why: "what an operator pinned is lost"
    ) { subject in
      let digest = try await subject.blob("pinned", labels: ["containerd.io/gc.root": "2026-01-01T00:00:00Z"])
      try await subject.collect()
      try await expectThere(subject, [(digest, "the pinned blob")], "after a collection")
      _ = try await subject.client.content.update(ContentInfo(digest: digest), fields: ["labels.containerd.io/gc.root"])
      try await subject.collect()
      try await expectGone(subject, [(digest, "the blob without its label")], "after a collection")
    },
    ContractCase(
      "daemon.gc.snapshots", "a snapshot goes with what holds it, its children first", "gc.ref.snapshot; CG-05, CG-07; GC-02, GC-05",
      why: "the disk fills with layers of images that are gone", threads: ["containerd/containerd#5564", "containerd/containerd#7354"]
    ) { subject in
      try await subject.lease("l")
      let snapshots = subject.client.holding(lease: "l").snapshotter(subject.snapshotter)
      _ = try await snapshots.prepare("making base", parent: nil, labels: [:])
      try await snapshots.commit("base", key: "making base", labels: [:])
      _ = try await snapshots.prepare("making top", parent: "base", labels: [:])
      try await snapshots.commit("top", key: "making top", labels: [:])
      let config = try await subject.blob(
        "config", labels: ["containerd.io/gc.ref.snapshot.\(subject.snapshotter)": "top", "containerd.io/gc.root": "2026-01-01T00:00:00Z"], lease: "l")
      try await subject.delete(lease: "l")
      for key in ["base", "top"] { try expect(try await subject.isThere(snapshot: key), "the snapshot \(key) is gone while the config refers to it") }
      try await subject.client.content.delete(config)
      try await subject.collect()
      for key in ["top", "base"] { try expect(try await !subject.isThere(snapshot: key), "the snapshot \(key) is still there after what held it is gone") }
    },
    ContractCase(
      "daemon.gc.flat", "a flat lease holds what is in it and not what that refers to", "gc.flat; CG-05; GC-07", level: .should,
      why: "a lease holds gigabytes that nobody asked for"
    ) { subject in
      try await subject.lease("flat", labels: ["containerd.io/gc.flat": "1"])
      try await subject.lease("l")
      let child = try await subject.blob("child", lease: "l")
      let parent = try await subject.blob("parent", labels: ["containerd.io/gc.ref.content": "\(child)"], lease: "flat")
      try await subject.delete(lease: "l")
      try await expectThere(subject, [(parent, "what is in the flat lease")], "after a collection")
      try await expectGone(subject, [(child, "what that refers to")], "after a collection")
    },
  ]

  static let nameCases: [ContractCase<DaemonSubject>] = [
    ContractCase(
      "daemon.namespace.apart", "namespaces do not see each other's images, leases and content", "namespaces API; CS-25; NS-02",
      why: "tenants see and remove each other's images",
      threads: ["containerd/containerd#2889"]
    ) { subject in
      try await subject.lease("l")
      let digest = try await subject.blob("mine", lease: "l")
      try await subject.image("case/image:1", digest, size: 4)
      let other = subject.metadata(subject.namespace + "-other")
      let images = try await subject.call { try await subject.images.list(.init(), metadata: other).images.map(\.name) }
      try expectEqual(images, [], "images of the other namespace")
      let leases = try await subject.call { try await subject.leases.list(.init(), metadata: other).leases.map(\.id) }
      try expectEqual(leases, [], "leases of the other namespace")
      let content = Containerd_Services_Content_V1_Content.Client(wrapping: subject.wire.client)
      try await expectError(.notFound, from: "info in the other namespace") {
        _ = try await subject.call { try await content.info(.with { $0.digest = "\(digest)" }, metadata: other) }
      }
    },
    ContractCase(
      "daemon.namespace.not-empty", "a namespace with something in it is not deleted", "namespaces API; CG-10; REF-M03",
      why: "one wrong word deletes everything"
    ) { subject in
      try await subject.lease("l")
      let digest = try await subject.blob("in it", lease: "l")
      try await subject.image("case/image:1", digest, size: 5)
      subject.note("delete the namespace", ["namespaces", "rm", subject.namespace])
      try await expectError(.failedPrecondition, from: "deletion of a namespace with an image") {
        _ = try await subject.call { try await subject.spaces.delete(.with { $0.name = subject.namespace }) }
      }
    },
    ContractCase(
      "daemon.namespace.required", "a call without a namespace is refused", "namespaces API; NS-01", why: "objects end in a namespace that nobody meant"
    ) { subject in
      try await expectError(.failedPrecondition, .invalidArgument, from: "images without a namespace") {
        _ = try await subject.call { try await subject.images.list(.init()) }
      }
    },
    ContractCase(
      "daemon.image.immutable", "an image's name cannot be changed, and a label of more than 4096 bytes is refused", "images API; CG-14; SNAP-18",
      why: "clients believe a change that did not happen"
    ) { subject in
      try await subject.lease("l")
      let digest = try await subject.blob("of an image", lease: "l")
      try await subject.image("case/image:1", digest, size: 11)
      let target = Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digest, size: 11)
      try await expectError(.invalidArgument, from: "update of the name") {
        _ = try await subject.client.images.update(ImageRecord(name: "case/image:1", target: target), fields: ["name"])
      }
      try await expectError(.invalidArgument, from: "a label of 4097 bytes") {
        _ = try await subject.client.images.update(
          ImageRecord(name: "case/image:1", labels: ["k": String(repeating: "v", count: 4096)], target: target), fields: ["labels.k"])
      }
      try await expectError(.alreadyExists, from: "a second image of the name") { try await subject.image("case/image:1", digest, size: 11) }
    },
  ]

  static let eventCases: [ContractCase<DaemonSubject>] = [
    ContractCase(
      "daemon.events.images", "each change of an image is told once, in order, under its topic and namespace", "events API; EVT-01",
      why: "whoever mirrors the daemon's state loses it", threads: ["containerd/containerd#1706"]
    ) { subject in
      try await subject.lease("l")
      let digest = try await subject.blob("of an image", lease: "l")
      let seen = Visited<String>()
      let namespace = subject.namespace
      let listening = Task {
        try await subject.client.events { envelope in if envelope.namespace == namespace { seen.append(envelope.topic) } }
      }
      defer { listening.cancel() }
      // A subscription says nothing when it begins: changes are made until one is heard of.
      for number in 0..<100 where seen.items.isEmpty {
        try await subject.image("case/wait:\(number)", digest, size: 11)
        try await subject.client.images.delete("case/wait:\(number)")
        try await Task.sleep(for: .milliseconds(30))
      }
      let before = try await eventually("quiet") { () -> Int? in
        let count = seen.items.count
        try await Task.sleep(for: .milliseconds(150))
        return count > 0 && seen.items.count == count ? count : nil
      }
      try await subject.image("case/image:1", digest, size: 11, labels: ["k": "v"])
      let target = Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digest, size: 11)
      _ = try await subject.client.images.update(ImageRecord(name: "case/image:1", labels: ["k": "w"], target: target), fields: ["labels"])
      try await expectError(.alreadyExists, from: "a second creation") { try await subject.image("case/image:1", digest, size: 11) }
      try await subject.client.images.delete("case/image:1")
      _ = try await eventually("three events") { seen.items.count >= before + 3 ? true : nil }
      try await Task.sleep(for: .milliseconds(100))
      try expectEqual(Array(seen.items.dropFirst(before)), ["/images/create", "/images/update", "/images/delete"], "topics")
    }
  ]
}
