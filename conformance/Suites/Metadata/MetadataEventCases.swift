import Protocols

extension MetadataSuite {
  static let events: [ContractCase<MetadataSubject>] = [
    ContractCase(
      "metadata.events.told", "each change is told once, in order, in its namespace; what failed is not told", "Events: after it happened; EVT-01",
      needs: [.alone]
    ) {
      subject in
      let target = Descriptor(mediaType: "m", digest: subject.digest([1]), size: 1)
      let images = try subject.images()
      _ = try await images.create(ImageRecord(name: "i", labels: ["k": "v"], target: target))
      _ = try await images.update(ImageRecord(name: "i", labels: ["k": "w"], target: target), fields: ["labels"])
      try await expectError(.alreadyExists, from: "a second creation") { _ = try await images.create(ImageRecord(name: "i", target: target)) }
      try await images.delete("i")
      try await expectError(.notFound, from: "a second deletion") { try await images.delete("i") }
      let container = try await subject.containers().create(subject.container("c"))
      _ = try await subject.containers().update(container, fields: ["labels"])
      try await subject.containers().delete("c")
      let expected: [Event] = [
        .imageCreate(name: "i", labels: ["k": "v"]), .imageUpdate(name: "i", labels: ["k": "w"]), .imageDelete(name: "i"),
        .containerCreate(id: "c", image: "image", runtime: "io.containerd.ref.v2", options: container.runtimeOptions),
        .containerUpdate(id: "c", image: "image", labels: [:], snapshotKey: ""), .containerDelete(id: "c"),
      ]
      try expectEqual(subject.published().map(\.event), expected, "events")
      try expectEqual(Set(subject.published().map(\.namespace)), ["n"], "namespaces of the events")
    },
    ContractCase("metadata.events.namespaces", "namespaces are told under their own names", "Events; NS-02, EVT-01", needs: [.alone]) { subject in
      let namespaces = subject.store.namespaces
      _ = try await namespaces.create(NamespaceRecord(name: "a", labels: ["k": "v"]))
      _ = try await namespaces.update(NamespaceRecord(name: "a", labels: ["k": "w"]), fields: ["labels"])
      try await namespaces.delete("a")
      try expectEqual(
        subject.published().map(\.event),
        [.namespaceCreate(name: "a", labels: ["k": "v"]), .namespaceUpdate(name: "a", labels: ["k": "w"]), .namespaceDelete(name: "a")], "events")
      try expectEqual(Set(subject.published().map(\.namespace)), ["a"], "namespaces of the events")
    },
    ContractCase("metadata.events.storage", "content and snapshots are told; a view is told to nobody", "Events; EVT-01", needs: [.alone]) { subject in
      let digest = try await subject.blob("blob")
      try await subject.content().delete(digest)
      try await subject.layer("base")
      _ = try await subject.snapshots().view("v", parent: "base", labels: [:])
      try await subject.snapshots().remove("v")
      try expectEqual(
        subject.published().map(\.event),
        [
          .contentCreate(digest: digest, size: 4, mediaType: ""), .contentDelete(digest: digest),
          .snapshotPrepare(key: "making base", parent: "", snapshotter: subject.snapshotter),
          .snapshotCommit(key: "making base", name: "base", snapshotter: subject.snapshotter), .snapshotRemove(key: "v", snapshotter: subject.snapshotter),
        ], "events")
    },
  ]
}
