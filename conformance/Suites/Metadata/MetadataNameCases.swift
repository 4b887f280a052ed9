import Protocols

extension MetadataSuite {
  static let namespaces: [ContractCase<MetadataSubject>] = [
    ContractCase("metadata.namespaces.life", "namespaces are made, listed and deleted", "NamespaceStore; NS-04") { subject in
      let namespaces = subject.store.namespaces
      let made = try await namespaces.create(NamespaceRecord(name: "b", labels: ["k": "v"]))
      try expectEqual(made, NamespaceRecord(name: "b", labels: ["k": "v"]), "what create returns")
      _ = try await namespaces.create(NamespaceRecord(name: "a"))
      try expectEqual(try await namespaces.list().map(\.name), ["a", "b"], "names, sorted")
      try expectEqual(try await namespaces.get("b"), made, "what get returns")
      try await expectError(.alreadyExists, from: "a second creation") { _ = try await namespaces.create(NamespaceRecord(name: "a")) }
      try await namespaces.delete("a")
      try expectEqual(try await namespaces.list().map(\.name), ["b"], "names after the deletion")
      try await expectError(.notFound, from: "a second deletion") { try await namespaces.delete("a") }
    },
    ContractCase(
      "metadata.namespaces.get-missing", "a namespace that is not there is not found when it is asked for", "NamespaceStore.get; NS-04, ERR-01", level: .should
    ) { subject in
      try await expectError(.notFound, from: "get of a namespace that was never made") { _ = try await subject.store.namespaces.get("none") }
      _ = try await subject.store.namespaces.create(NamespaceRecord(name: "a"))
      try await subject.store.namespaces.delete("a")
      try await expectError(.notFound, from: "get after the deletion") { _ = try await subject.store.namespaces.get("a") }
    },
    ContractCase("metadata.namespaces.bad-names", "a namespace's name is an identifier", "NamespaceStore; Identifiers; IDN-01") { subject in
      for name in ["", "a/b", "-a", "a-", "a..b", "a b", String(repeating: "a", count: 77)] {
        try await expectError(.invalidArgument, from: "creation of \"\(name)\"") { _ = try await subject.store.namespaces.create(NamespaceRecord(name: name)) }
      }
      try expectEqual(try await subject.store.namespaces.list().count, 0, "namespaces made")
    },
    ContractCase(
      "metadata.namespaces.bad-labels", "a label without a key is the caller's mistake, and makes no namespace", "NamespaceStore; Labels; NS-06, ERR-01",
      level: .should
    ) { subject in
      try await expectError(.invalidArgument, from: "a label with an empty key") {
        _ = try await subject.store.namespaces.create(NamespaceRecord(name: "a", labels: ["": "v"]))
      }
      try expectEqual(try await subject.store.namespaces.list().count, 0, "namespaces made")
    },
    ContractCase("metadata.namespaces.masks", "labels follow the mask; labelling makes the namespace", "NamespaceStore.update; NS-05, NS-06, REF-M04") {
      subject in
      let namespaces = subject.store.namespaces
      _ = try await namespaces.create(NamespaceRecord(name: "a", labels: ["a": "1", "b": "2"]))
      _ = try await namespaces.update(NamespaceRecord(name: "a", labels: ["a": "", "c": "3"]), fields: ["labels.a", "labels.c"])
      try expectEqual(try await namespaces.get("a").labels, ["b": "2", "c": "3"], "labels")
      _ = try await namespaces.update(NamespaceRecord(name: "a", labels: ["z": "1"]), fields: .all)
      try expectEqual(try await namespaces.get("a").labels, ["z": "1"], "labels for an empty mask")
      try await expectError(.invalidArgument, from: "update of the name") { _ = try await namespaces.update(NamespaceRecord(name: "a"), fields: ["name"]) }
      _ = try await namespaces.update(NamespaceRecord(name: "new", labels: ["k": "v"]), fields: ["labels.k"])
      try expectEqual(try await namespaces.get("new").labels, ["k": "v"], "labels of a new one")
    },
    ContractCase(
      "metadata.namespaces.update-answer", "an update answers with the namespace as it is then", "NamespaceStore.update; NS-06", level: .should
    ) { subject in
      _ = try await subject.store.namespaces.create(NamespaceRecord(name: "a", labels: ["a": "1", "b": "2"]))
      let changed = try await subject.store.namespaces.update(NamespaceRecord(name: "a", labels: ["a": "9"]), fields: ["labels.a"])
      try expectEqual(changed, NamespaceRecord(name: "a", labels: ["a": "9", "b": "2"]), "what update returns")
    },
    ContractCase(
      "metadata.namespaces.held", "a namespace stays while anything is in it, and the error says what", "NamespaceStore.delete; law 3; CG-10; REF-M03",
      needs: [.alone]
    ) {
      subject in
      let namespaces = subject.store.namespaces
      let digest = try await subject.blob("blob", in: "full")
      try await subject.image("i", digest, in: "full")
      try await subject.layer("base", in: "full")
      _ = try await subject.containers(in: "full").create(subject.container("c"))
      try expectEqual(try await namespaces.list().map(\.name), ["full"], "namespaces made by what is in them")
      let steps: [(String, @Sendable () async throws -> Void)] = [
        ("image", { try await subject.images(in: "full").delete("i") }), ("container", { try await subject.containers(in: "full").delete("c") }),
        ("snapshot", { try await subject.snapshots(in: "full").remove("base") }), ("blob", { try await subject.content(in: "full").delete(digest) }),
      ]
      for (what, remove) in steps {
        try await expectError(.failedPrecondition, from: "deletion while there is a \(what)") { try await namespaces.delete("full") }
        let message = try await messageOfError(from: "deletion") { try await namespaces.delete("full") }
        try expect(message.contains("full") && message.contains(what), "the error names neither the namespace nor its \(what): \(message)")
        try await remove()
      }
      try await namespaces.delete("full")
    },
  ]

  static let images: [ContractCase<MetadataSubject>] = [
    ContractCase("metadata.images.life", "images are made, found, listed and deleted", "ImageStore; IMG-01") { subject in
      let images = try subject.images()
      let made = try await subject.image("docker.io/library/b:1", subject.digest([1]), labels: ["k": "v"])
      try expect(made.createdAt == made.updatedAt && made.createdAt > .never, "created \(made.createdAt), updated \(made.updatedAt)")
      try await subject.image("a", subject.digest([2]))
      try expectEqual(try await images.get("docker.io/library/b:1"), made, "what get returns")
      try expectEqual(try await images.list(.all).map(\.name), ["a", "docker.io/library/b:1"], "names, sorted")
      try await expectError(.alreadyExists, from: "a second creation") { try await subject.image("a", subject.digest([3])) }
      try await images.delete("a")
      try await expectError(.notFound, from: "get after the deletion") { _ = try await images.get("a") }
      try await expectError(.notFound, from: "a second deletion") { try await images.delete("a") }
      try await expectError(.notFound, from: "update after the deletion") {
        _ = try await images.update(ImageRecord(name: "a", target: made.target), fields: .all)
      }
    },
    ContractCase("metadata.images.bad", "an image has a name, a target with type and size, and labels within the limit", "ImageStore.create; CG-14; REF-M10") {
      subject in
      let images = try subject.images()
      let good = Descriptor(mediaType: "m", digest: subject.digest([1]), size: 1)
      for (what, image) in [
        ("no name", ImageRecord(name: "", target: good)),
        ("no media type", ImageRecord(name: "i", target: Descriptor(mediaType: "", digest: good.digest, size: 1))),
        ("no size", ImageRecord(name: "i", target: Descriptor(mediaType: "m", digest: good.digest, size: 0))),
        ("a long label", ImageRecord(name: "i", labels: ["k": String(repeating: "v", count: 4096)], target: good)),
      ] { try await expectError(.invalidArgument, from: "creation with \(what)") { _ = try await images.create(image) } }
      try expectEqual(try await images.list(.all).count, 0, "images made")
    },
    ContractCase("metadata.images.filters", "images are filtered by name, target, labels and annotations", "ImageStore.list; IMG-02, FLT-01, FLT-02") {
      subject in
      let images = try subject.images()
      try await subject.image("a", subject.digest([1]), labels: ["k": "v"])
      var annotated = Descriptor(mediaType: "other", digest: subject.digest([2]), size: 1)
      annotated.annotations = ["x.y": "z"]
      _ = try await images.create(ImageRecord(name: "b", target: annotated))
      for (filters, names) in [
        (["name==b"], ["b"]), (["name~=^[ab]$"], ["a", "b"]), (["labels.k"], ["a"]), (["labels.k==v,name==b"], []),
        (["target.digest==\(subject.digest([1]))"], ["a"]),
        (["target.mediatype==other"], ["b"]), (["annotations.x.y==z"], ["b"]), (["name==a", "name==b"], ["a", "b"]),
      ] as [([String], [String])] {
        try expectEqual(try await images.list(FilterSet(parsing: filters)).map(\.name), names, "images that match \(filters)")
      }
    },
    ContractCase("metadata.images.masks", "labels, annotations and target follow the mask; nothing else changes", "ImageStore.update; CG-14; IMG-03, REF-M08") {
      subject in
      let images = try subject.images()
      var image = try await subject.image("i", subject.digest([1]), labels: ["a": "1", "b": "2"])
      let created = image.createdAt
      try await subject.advance(1)
      image.labels = ["a": "9", "c": "3"]
      image.target.digest = subject.digest([2])
      image.target.annotations = ["x": "y"]
      var stored = try await images.update(image, fields: ["labels.a", "labels.b"])
      try expectEqual(stored.labels, ["a": "9"], "labels")
      try expectEqual(stored.target.digest, subject.digest([1]), "target that the mask does not name")
      try expect(stored.createdAt == created && stored.updatedAt > created, "created \(stored.createdAt), updated \(stored.updatedAt)")
      stored = try await images.update(image, fields: ["annotations.x"])
      try expectEqual(stored.target.annotations, ["x": "y"], "annotations")
      try expectEqual(stored.target.digest, subject.digest([1]), "target when its annotations change")
      stored = try await images.update(image, fields: ["target"])
      try expectEqual(stored.target.digest, subject.digest([2]), "target")
      stored = try await images.update(image, fields: .all)
      try expectEqual(stored.labels, ["a": "9", "c": "3"], "labels for an empty mask")
      let bad = image
      try await expectError(.invalidArgument, from: "update of the name") { _ = try await images.update(bad, fields: ["labels.a", "name"]) }
      try expectEqual(try await images.get("i"), stored, "what is stored in the end")
    },
  ]

  static let containers: [ContractCase<MetadataSubject>] = [
    ContractCase("metadata.containers.life", "containers are made, found, listed and deleted, and keep what they were given", "ContainerStore; CTR-01, FLT-01")
    { subject in
      let containers = try subject.containers()
      let made = try await containers.create(subject.container("b", labels: ["k": "v"]))
      var expected = subject.container("b", labels: ["k": "v"])
      (expected.createdAt, expected.updatedAt) = (made.createdAt, made.updatedAt)
      try expectEqual(made, expected, "what create returns")
      _ = try await containers.create(subject.container("a"))
      try expectEqual(try await containers.get("b"), made, "what get returns")
      try expectEqual(try await containers.list(.all).map(\.id), ["a", "b"], "ids, sorted")
      for (filters, ids) in [
        (["labels.k==v"], ["b"]), (["id==a"], ["a"]), (["runtime.name==io.containerd.ref.v2,image==image,id==b"], ["b"]), (["image==none"], []),
      ] as [([String], [String])] {
        try expectEqual(try await containers.list(FilterSet(parsing: filters)).map(\.id), ids, "containers that match \(filters)")
      }
      try await expectError(.alreadyExists, from: "a second creation") { _ = try await containers.create(subject.container("a")) }
      try await containers.delete("a")
      try await expectError(.notFound, from: "get after the deletion") { _ = try await containers.get("a") }
      try await expectError(.notFound, from: "a second deletion") { try await containers.delete("a") }
    },
    ContractCase("metadata.containers.bad", "a container has an identifier, a runtime and a spec", "ContainerStore.create; CG-14; REF-M07") { subject in
      let containers = try subject.containers()
      var bad = ["", "a/b", "../a", "-a", String(repeating: "a", count: 77)].map { subject.container($0) }
      bad.append(subject.container("c"))
      bad[5].runtime = ""
      bad.append(subject.container("c"))
      bad[6].spec = nil
      for container in bad { try await expectError(.invalidArgument, from: "creation of \(container)") { _ = try await containers.create(container) } }
      try expectEqual(try await containers.list(.all).count, 0, "containers made")
    },
    ContractCase("metadata.containers.masks", "only what is mutable changes", "ContainerStore.update; CG-14; CTR-02") { subject in
      let containers = try subject.containers()
      var container = try await containers.create(subject.container("c", labels: ["a": "1", "b": "2"]))
      let created = container.createdAt
      try await subject.advance(1)
      container.labels = ["a": "", "c": "3"]
      var stored = try await containers.update(container, fields: ["labels.a", "labels.c"])
      try expectEqual(stored.labels, ["b": "2", "c": "3"], "labels")
      try expect(stored.createdAt == created && stored.updatedAt > created, "created \(stored.createdAt), updated \(stored.updatedAt)")
      container.spec = TypedValue(typeURL: "s", value: [9])
      container.extensions = ["y": TypedValue(typeURL: "t", value: [3])]
      container.image = "other"
      stored = try await containers.update(container, fields: ["spec"])
      try expectEqual(stored.spec, container.spec, "spec")
      try expectEqual(stored.image, "image", "image that the mask does not name")
      stored = try await containers.update(container, fields: ["image", "extensions.y"])
      try expectEqual(stored.image, "other", "image")
      try expectEqual(Set(stored.extensions.keys), ["x", "y"], "extensions when one is added")
      for path in ["runtime", "runtime.name", "snapshotter", "id", "created_at", "nonsense"] {
        let bad = container
        try await expectError(.invalidArgument, from: "update of \"\(path)\"") { _ = try await containers.update(bad, fields: FieldMask([path])) }
      }
      var other = container
      other.runtime = "another"
      let moved = other
      try await expectError(.invalidArgument, from: "another runtime with an empty mask") { _ = try await containers.update(moved, fields: .all) }
      stored = try await containers.update(container, fields: .all)
      try expectEqual(Set(stored.extensions.keys), ["y"], "extensions for an empty mask")
      try expectEqual(stored.spec, container.spec, "spec for an empty mask")
      try expectEqual(try await containers.get("c"), stored, "what is stored in the end")
    },
  ]

  static let scopes: [ContractCase<MetadataSubject>] = [
    ContractCase("metadata.scopes.apart", "namespaces never see each other's names", "MetadataStore; CS-25; NS-02", needs: [.alone]) { subject in
      let digest = try await subject.blob("shared bytes", labels: ["k": "v"], in: "one")
      try await subject.image("i", digest, in: "one")
      try await subject.layer("base", in: "one")
      _ = try await subject.containers(in: "one").create(subject.container("c"))
      try await subject.lease("l", in: "one")
      let content = try subject.content(in: "two")
      try await expectError(.notFound, from: "info") { _ = try await content.info(digest) }
      try await expectError(.notFound, from: "reader") { _ = try await content.reader(digest) }
      try await expectError(.notFound, from: "delete") { try await content.delete(digest) }
      try await expectError(.notFound, from: "image") { _ = try await subject.images(in: "two").get("i") }
      try await expectError(.notFound, from: "container") { _ = try await subject.containers(in: "two").get("c") }
      try await expectError(.notFound, from: "snapshot") { _ = try await subject.snapshots(in: "two").stat("base") }
      try await expectError(.notFound, from: "a parent of another namespace") {
        _ = try await subject.snapshots(in: "two").prepare("a", parent: "base", labels: [:])
      }
      try expectEqual(try await subject.leases(in: "two").list(.all).count, 0, "leases of the other namespace")
      // The same names, and other things behind them.
      try await subject.blob("shared bytes", labels: ["mine": "1"], in: "two")
      try await subject.layer("base", labels: ["mine": "1"], in: "two")
      try expectEqual(try await content.info(digest).labels, ["mine": "1"], "labels of the blob in two")
      try expectEqual(try await subject.content(in: "one").info(digest).labels, ["k": "v"], "labels of the blob in one")
      try await subject.snapshots(in: "two").remove("base")
      try expectEqual(try await subject.keys(in: "one"), ["base"], "snapshots in one")
      try await content.delete(digest)
      try expectEqual(try await subject.digests(in: "one"), [digest], "blobs in one")
    },
    ContractCase("metadata.scopes.unknown-snapshotter", "a snapshotter must be registered", "MetadataStore.snapshotter; REF-M06", needs: [.alone]) { subject in
      try expect(subject.store.snapshotterNames.contains(subject.snapshotter), "\(subject.snapshotter) is not among \(subject.store.snapshotterNames)")
      try await expectError(.invalidArgument, from: "an unknown snapshotter") { _ = try subject.store.snapshotter("none", in: subject.scope()) }
    },
    ContractCase("metadata.scopes.bad-namespace", "every scope needs a namespace", "MetadataStore; NS-01", needs: [.alone]) { subject in
      try await expectError(.invalidArgument, from: "images of the namespace \"\"") { _ = try subject.store.images(in: Scope(namespace: "")) }
      try await expectError(.invalidArgument, from: "content of the namespace \"a/b\"") { _ = try subject.store.content(in: Scope(namespace: "a/b")) }
    },
  ]
}
