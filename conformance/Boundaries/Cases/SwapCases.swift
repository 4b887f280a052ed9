import ConformanceSuites
import ConformanceWireSuites
import Protocols

extension BoundaryScene {
  /// The tree of the topmost layer.
  func tree() async throws -> TreeHash {
    let mounts = try await raw.snapshotter.view("looked at by the suite", parent: image.top, labels: [:])
    let seen = Visited<TreeHash>()
    try await subject.trees.enter(mounts) { tree in
      guard let root = tree.directory else { throw SuiteError("the trees have no directory") }
      seen.append(try TreeHash(of: root))
    }
    try await raw.snapshotter.remove("looked at by the suite")
    guard let hash = seen.items.first else { throw SuiteError("nobody looked at the tree") }
    return hash
  }

  /// The tree is what the suite's own parts make of the same image, without any pipeline.
  func expectTree(_ what: String, like subject: PipelineSubject) async throws {
    let tree = try await tree()
    let own = try await BoundaryScene(subject, .plain, image: image, registry: registry)
    var parent: String?
    for layer in image.layers {
      let writer = try await own.raw.content.writer(ref: layer.chain, expected: IngestExpectation(digest: layer.descriptor.digest))
      try await writer.write(layer.bytes, at: 0)
      _ = try await writer.commit(IngestExpectation(), labels: [:])
      let mounts = try await own.raw.snapshotter.prepare("extract \(layer.chain)", parent: parent, labels: [:])
      _ = try await own.raw.applier.apply(layer.descriptor, from: own.raw.content, to: mounts, options: ApplyOptions(diffID: layer.diffID))
      try await own.raw.snapshotter.commit(layer.chain, key: "extract \(layer.chain)", labels: [:])
      parent = layer.chain
    }
    let wanted = try await own.tree()
    try expect(tree == wanted, "\(what): the tree \(tree.difference(from: wanted))")
  }
}

extension BoundarySuite {
  private static let kinds: [[PipelineChoice.Kind]] = [[.fake, .real], [.fake, .real], [.plain, .real], [.plain, .real]]

  /// Every combination of two implementations in each of the four places that shape a tree.
  static let matrix: [PipelineChoice] = (0..<16).map { number in
    let kind = { (place: Int) in kinds[place][(number >> place) & 1] }
    return PipelineChoice(registry: kind(0), content: kind(1), snapshots: kind(2), applier: kind(3))
  }

  static let swapping: [ContractCase<PipelineSubject>] = [
    ContractCase(
      "boundaries.swap.same-tree", "whichever implementation stands in each place, the same image becomes the same tree: all 16 combinations",
      "\(law) 1; LB-09; LAW-01", needs: [.files],
      why: "an image that looks otherwise over another backend works on one machine and fails on the next"
    ) { subject in
      var first: TreeHash?
      for choice in matrix {
        let hash = Visited<TreeHash>()
        try await subject.scene(choice) { scene in
          let failure = try await scene.failure { try await scene.unpack() }
          try expect(failure == nil, "with \(choice) the image could not be unpacked: \(failure?.description ?? "")")
          try await scene.expectWhole("with \(choice)")
          hash.append(try await scene.tree())
        }
        guard let found = hash.items.first else { throw SuiteError("no tree of \(choice)") }
        subject.note("\(choice): \(found.lines.count) entries, \(found.digest)")
        try expect(found.lines.count > 15, "with \(choice) the tree has only \(found.lines.count) entries")
        if let first { try expect(found == first, "with \(choice) the tree \(found.difference(from: first))") } else { first = found }
      }
    },
    ContractCase(
      "boundaries.swap.same-snapshots", "whichever registry and content store there is, the same snapshots have the same names and parents",
      "\(law) 1; LB-09; IM-13; LAW-01",
      why: "layers are not shared between what two clients have pulled"
    ) { subject in
      var first: BoundaryScene.Holdings?
      for choice in [PipelineChoice.fakes, PipelineChoice(registry: .real), PipelineChoice(content: .real), PipelineChoice(registry: .real, content: .real)] {
        let found = Visited<BoundaryScene.Holdings>()
        try await subject.scene(choice) { scene in
          try await scene.unpack()
          try await scene.expectWhole("with \(choice)")
          found.append(try await scene.holdings())
        }
        guard let holdings = found.items.first else { throw SuiteError("no holdings of \(choice)") }
        if let first {
          try expectEqual(holdings.snapshots, first.snapshots, "snapshots with \(choice)")
          try expectEqual(holdings.blobs.keys.sorted(), first.blobs.keys.sorted(), "blobs with \(choice)")
        } else {
          first = holdings
        }
      }
    },
    ContractCase(
      "boundaries.swap.same-conversation", "a pipeline says the same to a real backend as to a fake", "\(law) 1; LB-09; LAW-01", needs: [.files],
      why: "what was tested with fakes would say nothing of what happens in use"
    ) { subject in
      var first: [String]?
      for choice in [PipelineChoice.fakes, .plain, PipelineChoice(snapshots: .real, applier: .real), .real] {
        let said = Visited<[String]>()
        try await subject.scene(choice) { scene in
          try await scene.unpack()
          // Each scene has a registry of its own, and snapshotters may be told where the image is from.
          said.append(conversation(scene).map { $0.replacing(scene.registry.host, with: "REGISTRY") })
        }
        guard let words = said.items.first else { throw SuiteError("nothing was said with \(choice)") }
        if let first {
          for (number, pair) in zip(words, first).enumerated() where pair.0 != pair.1 {
            throw Mismatch(description: "with \(choice) step \(number + 1) is \(pair.0), with fakes it is \(pair.1)", expected: pair.1, actual: pair.0)
          }
          try expectEqual(words.count, first.count, "steps with \(choice)")
        } else {
          first = words
        }
      }
    },
  ]

  /// What was said to snapshotter and applier, key by key: keys are numbered in the order in which they came. Layers may be worked on at the same time.
  static func conversation(_ scene: BoundaryScene) -> [String] {
    let calls = scene.tape.calls.filter { [.snapshots, .applier].contains($0.part) && $0.operation != "walk" }
    let prepared = calls.filter { $0.name == "snapshots.prepare" }
    var lines: [String] = []
    for (number, prepare) in prepared.enumerated() {
      let key = prepare.arguments[0]
      for call in calls where call.arguments.contains(key) || (call.part == .applier && !call.mounts.isEmpty && call.mounts == prepare.mounts) {
        lines.append("\(call.name)(\(call.arguments.map { $0 == key ? "key \(number)" : $0 }.joined(separator: ", ")))")
      }
    }
    let keys = Set(prepared.map { $0.arguments[0] })
    let asked = calls.filter { $0.part == .snapshots && !$0.arguments.contains(where: keys.contains) }.map(\.description)
    return lines + asked
  }
}
