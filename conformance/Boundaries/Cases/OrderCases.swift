import ConformanceSuites
import Hashing
import Protocols

extension BoundarySuite {
  private static func order(
    _ id: String, _ rule: LayerOrder.Rule, _ source: String, why: String, threads: [String] = []
  ) -> ContractCase<PipelineSubject> {
    ContractCase("boundaries.order.\(id)", rule.rawValue, source, why: why, threads: threads) { subject in
      try await subject.scene { scene in
        try await scene.unpack()
        let order = LayerOrder(calls: scene.tape.calls, image: scene.image)
        try expect(
          order.prepared.count >= scene.image.layers.count, "only \(order.prepared.count) snapshots were prepared for \(scene.image.layers.count) layers")
        let broken = order.violations(of: rule)
        try expect(broken.isEmpty, "\(rule.rawValue); but \(broken.joined(separator: "; "))")
        try await scene.expectWhole("after pulling and unpacking")
      }
    }
  }

  static let ordering: [ContractCase<PipelineSubject>] = [
    order(
      "bottom-first", .bottomFirst, "\(law) 3; Snapshotter, law 1; LAW-03, IM-07",
      why: "a layer unpacked on anything but the one below gives containers wrong files"),
    order(
      "applied-before-commit", .appliedBeforeCommit, "\(law) 3; ImageUnpacker; LAW-03",
      why: "an empty or half-written tree is committed, and every container has it"),
    order(
      "diff-id-under-chain-id", .verified, "\(law) 3; image-spec config.md, Layer ChainID; IM-13; LAW-03",
      why: "a snapshot under a name that is not its contents' is used by every image that shares the layer"),
    order(
      "committed-is-over", .overWhenCommitted, "\(law) 4; Snapshotter, law 1; LAW-04, SNAP-12",
      why: "writing through a committed key changes what others already build on"),
    order(
      "no-mounts-of-committed", .noMountsOfCommitted, "\(law) 4; Snapshotter.mounts; LAW-04, SNAP-08",
      why: "a committed snapshot has no mounts to give: backends that keep none on disk fail the pull"),
    order("every-key-ends", .everyKeyEnds, "\(law) 8; ImageUnpacker; LAW-08", why: "each pull leaves a snapshot that nobody knows, until the disk is full"),
    order(
      "blob-before-apply", .blobBeforeApply, "\(law) 2, 3; ContentStore, law 1; LAW-02, LAW-03",
      why: "whoever unpacks bytes that are not verified yet runs what nobody signed"),
    ContractCase(
      "boundaries.order.looks-first", "a layer is looked for before it is prepared", "\(law) 3; ImageUnpacker; LAW-03, GC-04", level: .should,
      why: "a layer that is there already is unpacked again, and thrown away"
    ) { subject in
      try await subject.scene { scene in
        try await scene.unpack()
        let calls = scene.tape.calls
        for (prepare, layer) in zip(calls.filter { $0.name == "snapshots.prepare" }, scene.image.layers) {
          let looked = calls.contains { $0.name == "snapshots.stat" && $0.arguments[0] == layer.chain && $0.isBefore(prepare) }
          try expect(looked, "\(prepare) came before any stat of \(layer.chain)")
        }
      }
    },
    ContractCase(
      "boundaries.order.wrong-diff-id", "a layer that turns out to be another than the config names is not committed, and its key is removed",
      "\(law) 3; image-spec config.md, rootfs; IM-13; LAW-03", why: "an image with other contents than its signed config says is run"
    ) { subject in
      try await subject.scene(image: PipelineImage(salt: 1, lying: 1)) { scene in
        let failure = try await scene.failure { try await scene.unpack() }
        try expect(failure != nil, "the config names another DiffID than the second layer has: expected a failure, but it succeeded")
        let lied = scene.image.layers[1]
        let attempts = scene.tape.calls.filter { $0.name == "snapshots.commit" && $0.arguments[0] == lied.chain }
        try expect(attempts.isEmpty, "a layer whose DiffID is wrong was committed: \(attempts.map(\.description).joined(separator: "; "))")
        try await scene.expectNothingHeld("after a layer with a wrong DiffID")
      }
    },
    ContractCase(
      "boundaries.order.applier-not-believed", "whoever unpacks compares the applier's answer with the config itself",
      "\(law) 3; LayerApplier.apply; LAW-03, IM-13",
      why: "an applier that does not verify would decide alone what an image is"
    ) { subject in
      try await subject.scene(change: { $0.applier = LyingApplier(base: $0.applier) }) { scene in
        let failure = try await scene.failure { try await scene.unpack() }
        let attempts = scene.tape.calls.filter { $0.name == "snapshots.commit" }
        try expect(attempts.isEmpty, "the applier said that the layer is something else, and it was committed: \(attempts.first?.description ?? "")")
        try expect(failure != nil, "the applier said that the layer is something else: expected a failure, but it succeeded")
        try await scene.expectNothingHeld("after an applier that found something else")
      }
    },
    ContractCase(
      "boundaries.order.there-without-us", "a snapshotter that has the layer without help is believed: nothing is applied",
      "\(law) 3; remote snapshotters; REM-01, REM-02; LAW-03",
      why: "lazy pulling does not work: every layer is downloaded into a tree that exists already"
    ) { subject in
      let remote = Visited<String>()
      try await subject.scene(change: { $0.snapshotter = HavingSnapshotter(base: $0.snapshotter, has: 1, prepared: remote) }) { scene in
        try await scene.unpack()
        let told = scene.tape.calls.contains { $0.name == "snapshots.prepare" && $0.arguments.contains { $0.hasPrefix("containerd.io/snapshot.ref=") } }
        if !told { throw CaseSkipped(.capability, "the pipeline does not tell the snapshotter which layer it prepares: no label containerd.io/snapshot.ref") }
        let applied = scene.tape.calls(named: "applier.apply").map { $0.arguments[0] }
        try expectEqual(
          applied, [scene.image.layers[1], scene.image.layers[2]].map { "\($0.descriptor.digest)" }, "layers that were applied, where the first is there")
        // Its blob is of no use to whoever is told so before fetching it.
        try await scene.expectWhole("where the first layer was there", optional: [scene.image.layers[0].descriptor])
      }
    },
    ContractCase(
      "boundaries.order.somebody-was-faster", "a layer that somebody else has committed meanwhile is as good, and the own key is removed",
      "\(law) 8; Snapshotter.commit; LAW-08", why: "two pulls of images that share a layer fail one another", threads: ["containerd/containerd#5675"]
    ) { subject in
      try await subject.scene(change: { $0.snapshotter = OvertakenSnapshotter(base: $0.snapshotter) }) { scene in
        try await scene.unpack()
        try await scene.expectWhole("where somebody else commits each layer first")
        try await scene.expectNothingHeld("where somebody else commits each layer first")
      }
    },
  ]
}

/// Applies as it should, and then says that the layer was something else.
private struct LyingApplier: LayerApplier {
  let base: any LayerApplier
  func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
    var applied = try await base.apply(layer, from: content, to: mounts, options: options)
    applied.digest = Digest.of(Array("something else".utf8))
    return applied
  }
}

/// Has the first layers that it is asked for without any help, and says so by `alreadyExists`, as remote snapshotters do.
private struct HavingSnapshotter: SnapshotterProxy {
  let base: any Snapshotter
  let has: Int
  let prepared: Visited<String>

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let name = labels["containerd.io/snapshot.ref"]
    prepared.append(key)
    guard let name, prepared.items.count <= has else { return try await base.prepare(key, parent: parent, labels: labels) }
    _ = try await base.prepare(key, parent: parent, labels: labels)
    try await base.commit(name, key: key, labels: labels)
    throw ContainerdError.alreadyExists("target snapshot \(name)")
  }
}

/// Somebody else commits the same layer just before.
private struct OvertakenSnapshotter: SnapshotterProxy {
  let base: any Snapshotter

  func commit(_ name: String, key: String, labels: Labels) async throws {
    let info = try await base.stat(key)
    _ = try await base.prepare("somebody else's \(name)", parent: info.parent, labels: [:])
    try await base.commit(name, key: "somebody else's \(name)", labels: [:])
    try await base.commit(name, key: key, labels: labels)
  }
}
