import ConformanceSuites
import Protocols

/// Metadata stores that are killed in the middle of a change, and what the next process finds.
public enum MetadataCrashSuite {
  public static let cases: [ContractCase<FreshSubjects<RestartMetadataSubject>>] = [
    ContractCase(
      "crash.metadata.images", "a change of an image that is killed has happened or has not", "MetadataStore, law 1; REF-M01, DB-01",
      why: "an image whose name points at nothing cannot be run, and one that is half updated runs what nobody chose", threads: ["containerd/containerd#3671"]
    ) { fresh in
      try await fresh.killed(over: [
        MetadataChange("create an image", ground: held) { try await $0.image("new", try await $0.known("manifest"), labels: ["l": "1"]) },
        MetadataChange("update an image", ground: held) {
          var image = try await $0.images().get("standing")
          image.labels = ["l": "2", "m": "2"]
          image.target.digest = $0.digest(bytes("other"))
          _ = try await $0.images().update(image, fields: ["labels", "target"])
        },
        MetadataChange("delete an image", ground: held) { try await $0.images().delete("standing") },
      ])
    },
    ContractCase(
      "crash.metadata.containers", "a change of a container that is killed has happened or has not", "MetadataStore, law 1; REF-M01, DB-01",
      why: "a container that is half there can neither be started nor removed"
    ) { fresh in
      try await fresh.killed(over: [
        MetadataChange("create a container", ground: held) {
          _ = try await $0.containers().create($0.container("new", labels: ["l": "1"], snapshotKey: "running"))
        },
        MetadataChange("update a container", ground: held) {
          var container = try await $0.containers().get("standing")
          container.labels = ["l": "2", "m": "2"]
          _ = try await $0.containers().update(container, fields: ["labels"])
        },
        MetadataChange("delete a container", ground: held) { try await $0.containers().delete("standing") },
      ])
    },
    ContractCase(
      "crash.metadata.leases", "a change of a lease that is killed has happened or has not, with all that the lease holds",
      "MetadataStore, laws 1 and 2; REF-M01, DB-01",
      why: "a lease that is there without what it holds lets a pull be collected while it runs"
    ) { fresh in
      try await fresh.killed(over: [
        MetadataChange("create a lease", ground: held) { try await $0.lease("new", labels: ["l": "1"]) },
        MetadataChange("add to a lease", ground: held) {
          try await $0.leases().addResource(LeaseResource(type: "content", id: $0.digest(bytes("manifest")).description), to: "second")
        },
        MetadataChange("take from a lease", ground: held) {
          try await $0.leases().deleteResource(LeaseResource(type: "content", id: $0.digest(bytes("other")).description), from: "second")
        },
      ])
    },
    ContractCase(
      "crash.metadata.namespaces", "a change of a namespace that is killed has happened or has not", "MetadataStore, law 3; REF-M01, DB-01",
      why: "a namespace is the first thing that a new client makes"
    ) { fresh in
      try await fresh.killed(over: [
        MetadataChange("create a namespace", ground: held) { _ = try await $0.store.namespaces.create(NamespaceRecord(name: "new", labels: ["l": "1"])) },
        MetadataChange("update a namespace", ground: held) {
          _ = try await $0.store.namespaces.update(NamespaceRecord(name: "n", labels: ["l": "2", "m": "2"]), fields: ["labels"])
        },
        MetadataChange(
          "delete a namespace",
          ground: {
            try await held($0)
            _ = try await $0.store.namespaces.create(NamespaceRecord(name: "empty"))
          }
        ) { try await $0.store.namespaces.delete("empty") },
      ])
    },
    ContractCase(
      "crash.metadata.blobs", "a commit, a change of labels and a removal of a blob that are killed have happened or have not, the lease's hold on it included",
      "MetadataStore, laws 1 and 2; CON-02", why: "a blob without its lease is collected before the image that needs it has a name",
      threads: ["containerd/containerd#5854", "containerd/containerd#10457"]
    ) { fresh in
      try await fresh.killed(over: [
        MetadataChange("change the labels of a blob", ground: held) { subject in
          _ = try await subject.content().update(ContentInfo(digest: subject.digest(bytes("manifest")), labels: ["l": "2", "m": "2"]), fields: ["labels"])
        },
        MetadataChange("remove a blob", ground: held) { try await $0.content(lease: "hold").delete($0.digest(bytes("spare"))) },
        MetadataChange(
          "commit a blob",
          ground: { subject in
            try await held(subject)
            let writer = try await subject.content(lease: "hold").writer(ref: "upload", expected: IngestExpectation())
            try await writer.write(bytes("fresh bytes"), at: 0)
            await writer.close()
          }, mayLose: " upload"
        ) { subject in
          // Once more from the start, if need be: what a client does.
          let writer = try await subject.content(lease: "hold").writer(ref: "upload", expected: IngestExpectation())
          do {
            if try await writer.status().offset == 0 { try await writer.write(bytes("fresh bytes"), at: 0) }
            _ = try await writer.commit(IngestExpectation(size: 11, digest: subject.digest(bytes("fresh bytes"))), labels: ["l": "1"])
          } catch {
            await writer.close()
            throw error
          }
          await writer.close()
        },
      ])
    },
    ContractCase(
      "crash.metadata.snapshots",
      "a prepare, a commit and a remove of a snapshot that are killed have happened or have not, with the name, the files and the lease's hold together",
      "MetadataStore, laws 1 and 2; SNAP-12, SNAP-13",
      why: "the metadata and the snapshotter keep books of their own: where they disagree, keys are taken for ever or layers are missing",
      threads: ["containerd/containerd#3051", "containerd/containerd#3671", "containerd/containerd#5110"]
    ) { fresh in
      try await fresh.killed(over: [
        MetadataChange("prepare a snapshot", ground: held) { _ = try await $0.snapshots(lease: "hold").prepare("new", parent: "base", labels: ["l": "1"]) },
        MetadataChange("commit a snapshot", ground: held) { try await $0.snapshots(lease: "hold").commit("layer", key: "growing", labels: ["l": "1"]) },
        MetadataChange("remove a snapshot", ground: held) { try await $0.snapshots(lease: "hold").remove("growing") },
      ])
    },
    ContractCase(
      "crash.metadata.collection", "a collection of garbage that is killed has removed nothing that is in use, and the next one removes the rest",
      "MetadataStore.collectGarbage, law 2; REF-M01, REF-M02",
      why: "collections run all the time: whatever is killed is killed over one sooner or later", threads: ["containerd/containerd#13416"]
    ) { fresh in
      try await fresh.killed(over: [
        MetadataChange(
          "collect garbage",
          ground: { subject in
            try await held(subject)
            try await subject.lease("trash")
            for number in 0..<3 { try await subject.blob("trash \(number)", lease: "trash") }
            try await subject.layer("trash base", on: "base", lease: "trash")
            try await subject.layer("trash layer", on: "trash base", lease: "trash")
            _ = try await subject.snapshots(lease: "trash").prepare("trash container", parent: "trash layer", labels: [:])
          }, collects: true
        ) { subject in
          // Deleting a lease waits for the collection.
          do { try await subject.leases().delete("trash") } catch let error as ContainerdError where error.code == .notFound {}
          _ = try await subject.store.collectGarbage()
        }
      ])
    },
    ContractCase(
      "restart.metadata.everything",
      "after a restart namespaces, images, containers, leases and what they hold, blobs and snapshots are as before, times included",
      "MetadataStore, laws 1 and 2; DB-01",
      why: "whoever upgrades the daemon must find every image and container again", threads: ["containerd/containerd#13416"]
    ) { fresh in
      let subject = try await fresh.make()
      try await subject.process.startAfter("the first start")
      var store = try await subject.open()
      try await held(store)
      for number in 0..<20 {
        try await store.image("image \(number)", try await store.known("manifest"), labels: ["n": "\(number)"])
        _ = try await store.containers().create(store.container("container-\(number)", labels: ["n": "\(number)"], snapshotKey: "running"))
      }
      try await store.lease("elsewhere", in: "other")
      try await store.blob("manifest", labels: ["of": "other"], lease: "elsewhere", in: "other")
      let before = try await MetadataState.read(store, times: true)
      try expect(before.count > 50, "the suite made only \(before.count) things")
      for kills in [false, true] {
        let what = kills ? "after it was killed" : "after it was told to end"
        if kills {
          try await subject.process.kill()
        } else if try await subject.process.terminate(within: 30) == nil {
          throw Mismatch(description: "told to end (SIGTERM), the store still runs after 30 s: \(await subject.process.said())")
        }
        try await subject.process.startAfter(what)
        store = try await subject.open()
        // Long enough for a first collection: what is in use is in use afterwards too.
        for _ in 0..<2 {
          let after = try await MetadataState.read(store, times: true)
          if after != before {
            let missing = before.subtracting(after).sorted().prefix(5).joined(separator: "; ")
            let extra = after.subtracting(before).sorted().prefix(5).joined(separator: "; ")
            throw Mismatch(description: "\(what): no longer there: \(missing); new: \(extra)", expected: missing, actual: extra)
          }
          try await MetadataState.expectSound(store, what)
          _ = try await store.store.collectGarbage()
        }
      }
    },
  ]

  /// Things that are in use, and held.
  private static let held: MetadataChange.Body = { subject in
    try await subject.lease("hold", labels: ["keep": "1"])
    try await subject.lease("second")
    try await subject.blob("manifest", labels: ["l": "1"], lease: "hold")
    try await subject.blob("spare", lease: "hold")
    try await subject.blob("other", lease: "hold")
    try await subject.leases().addResource(LeaseResource(type: "content", id: subject.digest(bytes("other")).description), to: "second")
    try await subject.layer("base", labels: ["l": "1"], lease: "hold")
    _ = try await subject.snapshots(lease: "hold").prepare("running", parent: "base", labels: ["l": "1"])
    _ = try await subject.snapshots(lease: "hold").prepare("growing", parent: "base", labels: ["old": "1"])
    try await subject.image("standing", subject.digest(bytes("manifest")), labels: ["l": "1"])
    _ = try await subject.containers().create(subject.container("standing", labels: ["l": "1"], snapshotKey: "running"))
  }
}

extension MetadataSubject {
  /// The digest of a blob that must be there.
  fileprivate func known(_ text: String) async throws -> Digest {
    let digest = digest(bytes(text))
    _ = try await content().info(digest)
    return digest
  }
}
