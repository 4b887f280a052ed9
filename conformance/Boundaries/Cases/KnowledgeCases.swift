import ConformanceSuites
import ConformanceWireSuites
import Protocols

extension BoundarySuite {
  /// All that one part was told while an image was pulled and unpacked.
  private static func knowledge(
    _ id: String, _ part: Tape.Part, _ sentence: String, _ source: String, why: String,
    _ body: @escaping @Sendable (BoundaryScene, [Tape.Call]) throws -> Void
  ) -> ContractCase<PipelineSubject> {
    ContractCase("boundaries.knows.\(id)", sentence, source, why: why) { subject in
      try await subject.scene { scene in
        try await scene.unpack()
        let calls = scene.tape.calls(of: part)
        if part != .registry || subject.isHere { try expect(!calls.isEmpty, "nothing was asked of the part \(part.rawValue)") }
        try body(scene, calls)
      }
    }
  }

  /// Words that belong to snapshots: keys, ChainIDs, and where their trees are.
  private static func snapshotWords(_ scene: BoundaryScene) -> [String] {
    let prepared = scene.tape.calls.filter { $0.name == "snapshots.prepare" }
    let options = prepared.flatMap(\.mounts).flatMap { [$0.source] + $0.options }.flatMap { $0.split(whereSeparator: { "=:,".contains($0) }).map(String.init) }
    // Of one layer alone the ChainID is the DiffID, which images know.
    return prepared.map { $0.arguments[0] } + scene.image.layers.dropFirst().map(\.chain) + options.filter { $0.hasPrefix("/") }
      + [scene.raw.snapshotRoot].compactMap { $0 }
  }

  private static func expectWithout(_ words: [String], _ calls: [Tape.Call], _ who: String) throws {
    for call in calls {
      for argument in call.arguments {
        if let word = words.first(where: { !$0.isEmpty && argument.contains($0) }) {
          throw Mismatch(
            description: "\(who) was told \"\(argument)\", which holds \"\(word)\": \(call)", expected: "\(who) learns nothing of \(word)", actual: "\(call)")
        }
      }
    }
  }

  static let knowing: [ContractCase<PipelineSubject>] = [
    knowledge(
      "registry", .registry, "the registry's side learns names, digests and offsets: nothing of snapshots, keys or paths", "\(law) 1, 2; LB-05; LAW-01, LAW-02",
      why: "what a machine has in storage, and where, is nobody's business outside of it"
    ) { scene, calls in
      let words = snapshotWords(scene)
      try expectWithout(words, calls, "the registry")
      let known = Set([scene.reference] + scene.image.descriptors.flatMap { ["\($0.digest)", $0.mediaType] })
      for call in calls {
        for argument in call.arguments {
          try expect(
            known.contains(argument) || Int64(argument) != nil, "the registry was told \"\(argument)\", which is no name, digest, media type or number: \(call)"
          )
        }
      }
      for request in scene.registry.requests {
        for text in [request.target] + request.headers.values {
          if let word = words.first(where: { !$0.isEmpty && text.contains($0) }) {
            throw Mismatch(description: "the registry was told \"\(word)\": \(request.method) \(text)")
          }
        }
      }
    },
    knowledge(
      "content", .content, "the content store learns refs, digests and labels: no key of an active snapshot, and no path",
      "\(law) 1; ContentStore, law 5; LB-06; LAW-01",
      why: "a store that is told paths is one that cannot be in another process, or on another machine"
    ) { scene, calls in
      let keys = scene.tape.calls.filter { $0.name == "snapshots.prepare" }.map { $0.arguments[0] }
      let options = scene.tape.calls.filter { $0.part == .snapshots }.flatMap(\.mounts).flatMap { [$0.source] + $0.options }
      try expectWithout(keys + options.filter { $0.count > 2 } + [scene.raw.snapshotRoot ?? ""], calls, "the content store")
      for call in calls where call.operation != "update" {
        for argument in call.arguments where argument.contains("=") == false {
          try expect(!argument.hasPrefix("/"), "the content store was told the path \"\(argument)\": \(call)")
        }
      }
    },
    knowledge(
      "snapshotter", .snapshots, "the snapshotter learns keys, parents and labels: no blob, no media type, no name of an image", "\(law) 4; LB-05; LAW-04",
      why: "a snapshotter that is told of images begins to depend on them, and serves nothing else any more"
    ) { scene, calls in
      let digests = scene.image.descriptors.map { $0.digest.hex }
      // Hints for remote snapshotters are labels, and theirs to read.
      let plain = calls.map { call in
        var call = call
        call.arguments = call.arguments.filter { !$0.hasPrefix("containerd.io/snapshot/") }
        return call
      }
      try expectWithout(digests + ["application/", scene.reference, scene.registry.host], plain, "the snapshotter")
    },
    knowledge(
      "applier", .applier, "the applier learns a layer, mounts and a DiffID: no key, no ChainID, no name of an image", "\(law) 3; LayerApplier; LAW-03",
      why: "an applier that knows keys can go to the snapshotter behind everybody's back"
    ) { scene, calls in
      let keys = scene.tape.calls.filter { $0.name == "snapshots.prepare" }.map { $0.arguments[0] }
      try expectWithout(keys + scene.image.layers.dropFirst().map(\.chain) + [scene.reference, scene.registry.host], calls, "the applier")
    },
    ContractCase(
      "boundaries.knows.unpack-without-registry", "what has been pulled is unpacked without a byte from the registry", "\(law) 3; LAW-03",
      why: "an image that is there cannot be used while the network is down"
    ) { subject in
      try await subject.scene { scene in
        try await scene.fetch()
        scene.tape.rewind()
        let before = scene.registry.requests.count
        try await scene.unpack()
        let fetched = scene.tape.calls(named: "registry.fetch")
        try expect(fetched.isEmpty, "unpacking what is there fetched \(fetched.map(\.description).joined(separator: "; "))")
        let blobs = scene.registry.requests.dropFirst(before).filter { $0.isBlob && $0.method == "GET" }
        try expect(blobs.isEmpty, "unpacking what is there asked the registry for \(blobs.map(\.target).joined(separator: ", "))")
        try await scene.expectWhole("after unpacking what was there")
      }
    },
  ]
}
