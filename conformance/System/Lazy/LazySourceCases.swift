import ConformanceSuites
import Dispatch
import Protocols
import Synchronization

/// What becomes of reads while the registry is not what it should be, and when it is well again.
extension LazySuite {
  static let sources: [ContractCase<LazySubject>] = [
    lazy(
      "lazy.source.gone", "a read of what cannot be fetched ends in time, and with an error of input and output", "LAZ-02, LAZ-03; SR-08",
      why: "A process that waits for ever in the kernel cannot even be killed with its container; one that gets zeros for bytes carries on with them.",
      threads: ["containerd/stargz-snapshotter#318", "containerd/stargz-snapshotter#1905", "dragonflyoss/nydus#142"]
    ) { subject in
      let (registry, stall) = (subject.registry, subject.stall)
      try await subject.inside("reads while the source is away, which may take \(Int(stall)) s each", seconds: Int(3 * stall) + 15) { tree in
        registry.trouble(.away)
        for (path, offset, count) in [(LazyImage.large, 4 * mebibyte, 4096), ("replaced", 0, 4096)] {
          let began = ContinuousClock.now
          try tree.expectRightOrError(path, at: offset, count: count, "while the source is away")
          let took = began.duration(to: .now)
          try expect(took <= .seconds(stall), "a read of \(path) took \(took) while the source is away, the backend says at most \(stall) s")
        }
      }
    },
    lazy(
      "lazy.source.short-break", "a read that meets a short break of the source waits, and has its bytes", "LAZ-04; SR-08",
      why: "Registries are restarted and connections reset every day: programs do not try a page of their own code again.",
      threads: ["dragonflyoss/nydus#148"]
    ) { subject in
      let registry = subject.registry
      let pause = min(1, subject.stall / 3)
      try await subject.inside("a read over a break of \(pause) s") { tree in
        registry.trouble(.away)
        DispatchQueue.global().asyncAfter(deadline: .now() + pause) { registry.trouble(nil) }
        try tree.expectPart(LazyImage.large, at: 4 * mebibyte, count: 4096, "over a break of the source of \(pause) s")
        registry.trouble(nil)
      }
    },
    lazy(
      "lazy.source.back", "when the source is back, what could not be read can be read: in the same mount", "LAZ-04; SR-08",
      why: "Containers would have to be started anew, on every node, after a registry was down.",
      threads: ["containerd/stargz-snapshotter#1905", "containerd/stargz-snapshotter#318"]
    ) { subject in
      let (registry, stall) = (subject.registry, subject.stall)
      try await subject.inside("reads before, during and after a break", seconds: Int(2 * stall) + 25) { tree in
        registry.trouble(.away)
        try tree.expectRightOrError(LazyImage.large, at: 4 * mebibyte, count: 4096, "while the source is away")
        registry.trouble(nil)
        try tree.expectPart(LazyImage.large, at: 4 * mebibyte, count: 4096, "after the source came back")
        try tree.expectWhole("small/77", "after the source came back")
      }
    },
    lazy(
      "lazy.source.slow", "over a slow line, a read overtakes what is fetched in the background", "LAZ-12, LAZ-03",
      why: "Layers that are being filled take the line for minutes: a program that needs a page of its own now would start when everything is here."
    ) { given in
      let subject = try await given.filling?() ?? given
      guard let limit = subject.registry.limit else { throw CaseSkipped(.capability, "the registry of the target cannot be slowed down") }
      let most = Duration.seconds(3)
      limit(subject.registry.size / 6)
      defer { limit(nil) }
      try await subject.take()
      let mounts = try await subject.container()
      // What is fetched in the background has begun.
      try await Task.sleep(for: .milliseconds(1200))
      try await subject.inside(mounts, "reads over a slow line") { tree in
        for (path, offset) in [("replaced", 100_000), (LazyImage.large, 11 * mebibyte)] {
          let began = ContinuousClock.now
          try tree.expectPart(path, at: offset, count: 4096, "over a slow line")
          let took = began.duration(to: .now)
          try expect(took <= most, "over a slow line a read of \(path) took \(took), at most \(most) expected: all of the image takes 6 s")
        }
      }
    },
    lazy(
      "lazy.source.others", "while a read waits for the source, calls are answered", "LAZ-03; REM-01, SNAP-07; REF-S07",
      why: "One image whose registry is down must not keep the node from starting, listing or removing anything else.",
      threads: ["containerd/stargz-snapshotter#134", "containerd/nydus-snapshotter#144"]
    ) { subject in
      try await subject.take()
      let mounts = try await subject.container()
      let (registry, trees, snapshotter) = (subject.registry, subject.trees, subject.snapshotter)
      let (begun, tellBegun) = AsyncStream.makeStream(of: Void.self)
      let reading = Task {
        try await trees.enter(mounts) { tree in
          registry.trouble(.away)
          tellBegun.finish()
          try tree.expectRightOrError(LazyImage.large, at: 4 * mebibyte, count: 4096, "while the source is away")
        }
      }
      for await _ in begun {}
      try await Task.sleep(for: .milliseconds(100))
      let limit = max(1, Int(subject.stall * 0.75))
      try await inTime("prepare, stat, mounts, walk and remove while a read waits", seconds: limit) {
        _ = try await snapshotter.prepare("other", parent: nil, labels: [:])
        _ = try await snapshotter.stat("container")
        _ = try await snapshotter.mounts("container")
        try await snapshotter.walk(.all) { _ in }
        try await snapshotter.remove("other")
      }
      registry.trouble(nil)
      try await inTime("the read that waited", seconds: Int(subject.stall) + 10) { try await reading.value }
    },
  ]

  static let answers: [ContractCase<LazySubject>] = [
    answer(
      "lazy.answer.wrong", .wrongBytes, "bytes that are not the layer's are never served", "LAZ-02, LAZ-04; SR-09",
      why: "The digest of an image is all that stands between a node and whoever can answer for its registry: unchecked, any of them can run code."),
    answer(
      "lazy.answer.short", .shortened, "an answer that is too short is no end of file", "LAZ-02, LAZ-04; DS-02",
      why: "Proxies cut answers: a library whose second half is missing, or zeros, is loaded all the same."),
    answer(
      "lazy.answer.refused", .refused, "a range that the registry refuses is no end of file", "LAZ-02, LAZ-04",
      why: "Caches in front of registries refuse ranges now and then: taken for an end, files are empty."),
    lazy(
      "lazy.answer.broken-off", "an answer that breaks off is asked for again: whoever reads notices nothing", "LAZ-04; DS-02",
      why: "Connections break in the middle all the time: each would be a program that ends with a bus error."
    ) { subject in
      let registry = subject.registry
      try await subject.inside("a read whose answers break off") { tree in
        registry.trouble(.brokenOff)
        try tree.expectPart(LazyImage.large, at: 4 * mebibyte, count: mebibyte, "when the answers broke off")
      }
    },
    lazy(
      "lazy.credentials.renewed", "credentials that ran out are renewed: whoever reads notices nothing", "LAZ-07; SR-10", needs: [.credentials],
      why: "Tokens live for minutes, containers for months: each page that is read later would be an error.",
      threads: ["containerd/nydus-snapshotter#690", "containerd/stargz-snapshotter#703"]
    ) { subject in
      guard let expire = subject.registry.expire else { throw CaseSkipped(.capability, "the registry of the target asks for no credentials") }
      try await subject.inside("reads before and after credentials ran out") { tree in
        try tree.expectPart(LazyImage.large, at: 0, count: 4096)
        expire()
        try tree.expectPart(LazyImage.large, at: 4 * mebibyte, count: 4096, "after its credentials ran out")
        expire()
        try tree.expectWhole("replaced", "after its credentials ran out twice")
      }
    },
    lazy(
      "lazy.credentials.not-logged", "what is shown to the registry is not in what is logged", "LAZ-07; SR-17", needs: [.visibleLog],
      why: "Logs are gathered, kept and read by many: a password there is everybody's.", threads: ["awslabs/soci-snapshotter#664"]
    ) { subject in
      guard let log = subject.log else { throw CaseSkipped(.capability, "the target cannot show what is logged") }
      let (registry, stall) = (subject.registry, subject.stall)
      try await subject.inside("reads that succeed and fail", seconds: Int(3 * stall) + 30) { tree in
        try tree.expectPart(LazyImage.large, at: 0, count: 4096)
        registry.expire?()
        for (number, trouble) in [LazyRegistry.Trouble.away, .refused, .wrongBytes].enumerated() {
          registry.trouble(trouble)
          try tree.expectRightOrError(LazyImage.large, at: (4 + 2 * number) * mebibyte, count: 4096, "while the registry has trouble (\(trouble))")
        }
        registry.trouble(nil)
      }
      let text = try log()
      try expect(!text.isEmpty, "the log says nothing of reads that failed")
      for secret in subject.secrets where text.contains(secret) {
        throw Mismatch(description: "the log has a secret that was shown to the registry", expected: "a log without secrets", actual: "one with a secret")
      }
    },
  ]

  private static func answer(
    _ id: String, _ trouble: LazyRegistry.Trouble, _ sentence: String, _ statement: String, why: String
  ) -> ContractCase<LazySubject> {
    lazy(id, "\(sentence); when answers are right again, so is what is read", statement, why: why) { subject in
      let (registry, stall) = (subject.registry, subject.stall)
      try await subject.inside("reads of what the registry answers wrongly", seconds: Int(3 * stall) + 25) { tree in
        // Something is right before: the mount works.
        try tree.expectPart(LazyImage.large, at: 0, count: 4096)
        registry.trouble(trouble)
        let when = "while the registry has trouble (\(trouble))"
        try tree.expectRightOrError(LazyImage.large, at: 5 * mebibyte, count: 100_000, when)
        try tree.expectRightOrError("replaced", at: 0, count: 200_000, when)
        registry.trouble(nil)
        try tree.expectPart(LazyImage.large, at: 5 * mebibyte, count: 100_000, "after the trouble (\(trouble))")
        try tree.expectWhole("replaced", "after the trouble (\(trouble))")
      }
    }
  }
}
