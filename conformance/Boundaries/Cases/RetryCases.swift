import ConformanceSuites
import ConformanceWireSuites
import InMemoryFakes
import Protocols

extension BoundarySuite {
  static let repeating: [ContractCase<PipelineSubject>] = [
    ContractCase(
      "boundaries.retry.after-any-failure", "whatever call failed, the same pull again succeeds, and leaves what a pull without failure leaves",
      "\(law) 8; LB-11; LAW-08",
      why: "an image that failed once can never be pulled again, or takes its space twice",
      threads: ["containerd/containerd#1893", "containerd/containerd#1232"]
    ) { subject in
      try await FaultyRegistry.with { registry in
        let image = PipelineImage(salt: 1, layers: 2)
        let good = try await BoundaryScene(subject, .fakes, image: image, registry: registry)
        try await good.unpack()
        let wanted = try await good.holdings()
        for point in FaultPoint.points(of: good.tape.calls, all: subject.isHere) {
          let scene = try await BoundaryScene(subject, .fakes, image: image, registry: registry)
          scene.tape.faults.add(.fail(ContainerdError(subject.classes[0], "injected")), to: point.operation, call: point.number)
          _ = try await scene.failure { try await scene.unpack() }
          scene.tape.faults.clear()
          let failure = try await scene.failure { try await scene.unpack() }
          try expect(failure == nil, "after \(point) failed, the same pull failed again: \(failure?.description ?? "")")
          let holdings = try await scene.holdings()
          try expect(holdings == wanted, "after \(point) failed, and another attempt: \(holdings.difference(from: wanted))")
        }
      }
    },
    ContractCase(
      "boundaries.retry.nothing-twice", "an image that is there is neither fetched, nor unpacked, nor committed again", "\(law) 2, 3; LB-11; LAW-02, LAW-03",
      why: "every start of a container downloads its image again"
    ) { subject in
      try await subject.scene { scene in
        try await scene.unpack()
        let before = try await scene.holdings()
        let requests = scene.registry.requests.count
        scene.tape.rewind()
        try await scene.unpack()
        let again = scene.tape.calls.filter {
          ["registry.fetch", "content.commit", "snapshots.prepare", "snapshots.commit", "applier.apply"].contains($0.name)
        }
        try expect(again.isEmpty, "a second pull did again what was done: \(again.prefix(3).map(\.description).joined(separator: "; "))")
        let layers = scene.registry.requests.dropFirst(requests).filter { request in
          request.method == "GET" && scene.image.layers.contains { request.kind == .blob("\($0.descriptor.digest)") }
        }
        try expect(layers.isEmpty, "a second pull fetched \(layers.map(\.target).joined(separator: ", "))")
        try expectEqual(try await scene.holdings(), before, "what the stores hold after a second pull")
      }
    },
    ContractCase(
      "boundaries.retry.resumes", "a blob whose transfer broke is taken up where it stopped", "\(law) 2; ContentStore, law 4; FE-05; LAW-02, CON-04",
      level: .should,
      needs: [.inProcess],
      why: "a layer of gigabytes begins anew for one lost packet"
    ) { subject in
      try await subject.scene { scene in
        let digest = "\(scene.image.layers[0].descriptor.digest)"
        let broken = BreakingStream(scene.raw.registry, digest: digest, after: 1)
        var parts = scene.parts
        parts.registry = RecordedRegistry(base: broken, tape: scene.tape)
        let (given, reference) = (parts, scene.reference)
        let failure = try await scene.failure { try await subject.unpack(reference, given) }
        try expect(failure?.code == .unavailable, "a transfer broke: expected \"unavailable\", got \(failure?.description ?? "success")")
        scene.tape.rewind()
        try await scene.unpack()
        let fetches = scene.tape.calls.filter { $0.name == "registry.fetch" && $0.arguments[0] == digest }
        try expectEqual(fetches.count, 1, "how often the broken blob was fetched again")
        try expect(fetches[0].arguments[1] != "0", "the blob was fetched from its beginning again")
        try await scene.expectWhole("after a transfer that broke")
      }
    },
    ContractCase(
      "boundaries.retry.one-for-two", "two pulls of one image at the same time both succeed, and leave what one leaves", "\(law) 8; LB-11; FE-16; LAW-08",
      why: "two containers of one image that are started together fail one another", threads: ["containerd/containerd#5675", "containerd/containerd#1240"]
    ) { subject in
      try await FaultyRegistry.with { registry in
        let image = PipelineImage(salt: 1)
        let good = try await BoundaryScene(subject, .fakes, image: image, registry: registry)
        try await good.unpack()
        let scene = try await BoundaryScene(subject, .fakes, image: image, registry: registry)
        // Long enough for each to meet what the other is doing.
        scene.tape.faults.add(.delay(.milliseconds(40)), to: "content.commit")
        async let first = scene.failure { try await scene.unpack() }
        async let second = scene.failure { try await scene.unpack() }
        for failure in try await [first, second] { try expect(failure == nil, "one of two pulls of the same image failed: \(failure?.description ?? "")") }
        try await scene.expectNothingHeld("after two pulls at the same time")
        let (holdings, wanted) = (try await scene.holdings(), try await good.holdings())
        try expect(holdings == wanted, "after two pulls at the same time: \(holdings.difference(from: wanted))")
      }
    },
  ]
}

/// A registry whose stream of one blob breaks after so many chunks.
private struct BreakingStream: Resolver {
  let base: any Resolver
  let digest: String
  let after: Int

  init(_ base: any Resolver, digest: String, after: Int) { (self.base, self.digest, self.after) = (base, digest, after) }

  func resolve(_ reference: String) async throws -> ResolvedImage { try await base.resolve(reference) }
  func fetcher(for reference: String) throws -> any Fetcher { Breaking(base: try base.fetcher(for: reference), digest: digest, after: after) }

  struct Breaking: Fetcher {
    let base: any Fetcher
    let digest: String
    let after: Int
    func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream {
      let stream = try await base.fetch(descriptor, from: offset)
      return "\(descriptor.digest)" == digest ? Stream(base: stream, after: after) : stream
    }
  }

  struct Stream: ByteStream {
    let base: any ByteStream
    let after: Int
    private let seen = Visited<Int>()
    init(base: any ByteStream, after: Int) { (self.base, self.after) = (base, after) }
    func next() async throws -> [UInt8]? {
      if seen.items.count >= after { throw ContainerdError.unavailable("the connection broke") }
      seen.append(1)
      return try await base.next()
    }
    func cancel() async { await base.cancel() }
  }
}
