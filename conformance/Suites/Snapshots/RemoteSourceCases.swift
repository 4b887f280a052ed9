import Protocols

/// Where a remote snapshotter gets its layers from, in the hands of the case.
public struct RemoteSource: Sendable {
  /// Lets it be reached, or not.
  public var reach: @Sendable (Bool) -> Void
  /// How often it has been asked so far.
  public var requests: @Sendable () -> Int

  public init(reach: @escaping @Sendable (Bool) -> Void, requests: @escaping @Sendable () -> Int) {
    self.reach = reach
    self.requests = requests
  }
}

extension Capability {
  /// The case can take a remote snapshotter's source away, and see how often it is asked.
  public static let source = Capability("source")
}

/// What a remote snapshotter does while the registry behind it is away.
extension RemoteSnapshotSuite {
  public static let sourceCases: [ContractCase<RemoteSnapshotSubject>] = [
    source(
      "remote.source.unreachable", "while the source is away a layer is declined or told as unavailable, and nothing else waits for it",
      "REM-01; SNAP-10; SR-07",
      why: "A registry that is down must cost the pull of an image, not the start of every container of the node.",
      threads: ["containerd/stargz-snapshotter#134"]
    ) { subject, source in
      let layer = subject.layers[0]
      try await subject.snapshotter.prepare("base", parent: nil, labels: [:]).expectSome()
      source.reach(false)
      async let others: Void = inTime("prepare, stat and mounts of other keys while the source is away", seconds: 5) {
        _ = try await subject.snapshotter.prepare("other", parent: nil, labels: [:])
        _ = try await subject.snapshotter.stat("base")
        _ = try await subject.snapshotter.mounts("base")
      }
      let asked = try await inTime("prepare for a layer while its source is away", seconds: 15) { () -> Result<[Mount], ContainerdError> in
        do { return .success(try await subject.ask(layer, key: "a", on: nil)) } catch let error as ContainerdError { return .failure(error) }
      }
      try await others
      switch asked {
      case .success(let mounts):
        try SnapshotterSuite.checkMounts(mounts, writable: true)
        try expectEqual(try await subject.snapshotter.stat("a").kind, .active, "kind of what was prepared instead")
      case .failure(let error):
        try expectEqual(error.code, .unavailable, "what a client is told of a layer whose source is away: \(error)")
        try await expectError(.notFound, from: "stat of the key of the refused prepare") { _ = try await subject.snapshotter.stat("a") }
      }
      try await expectError(.notFound, from: "stat of the layer whose source is away") { _ = try await subject.snapshotter.stat(layer) }
    },
    source(
      "remote.source.returns", "when the source is back its layers are taken again", "REM-01; SR-07, SR-08",
      why: "A short break of the network would make every later pull on the node a slow one, until somebody restarts the snapshotter."
    ) { subject, source in
      source.reach(false)
      // Whatever it answers: the case before this one judges that.
      _ = try await inTime("prepare for a layer while its source is away", seconds: 15) {
        do { _ = try await subject.ask(subject.layers[0], key: "a", on: nil) } catch is ContainerdError {}
      }
      source.reach(true)
      try await subject.take(subject.layers[0], on: nil)
      try await subject.take(subject.layers[1], on: subject.layers[0])
    },
    source(
      "remote.source.not-asked", "stat, walk, usage and views of what is there do not ask the source, and work while it is away",
      "Snapshotter.stat, walk, usage; SR-16; SNAP-07, SNAP-14, SNAP-20",
      why: "Daemons list their snapshots at every collection: one that goes to the network for each makes the node hang with the registry.",
      threads: ["containerd/nydus-snapshotter#144"]
    ) { subject, source in
      try await subject.take(subject.layers[0], on: nil)
      source.reach(false)
      let before = source.requests()
      try await inTime("stat, walk, usage and a view while the source is away", seconds: 10) {
        _ = try await subject.stat(subject.layers[0])
        _ = try await subject.names
        _ = try await subject.snapshotter.usage(subject.layers[0])
        _ = try await subject.snapshotter.view("v", parent: subject.layers[0], labels: [:])
      }
      try expectEqual(source.requests() - before, 0, "requests to the source by stat, walk, usage and view")
    },
  ]

  private static func source(
    _ id: String, _ sentence: String, _ statement: String, why: String, threads: [String] = [],
    _ body: @escaping @Sendable (RemoteSnapshotSubject, RemoteSource) async throws -> Void
  ) -> ContractCase<RemoteSnapshotSubject> {
    ContractCase(id, sentence, statement, needs: [.remote, .source], why: why, threads: threads) { subject in
      guard let source = subject.source else { throw CaseSkipped(.capability, "the target has no source that can be taken away") }
      try await body(subject, source)
      source.reach(true)
    }
  }
}

extension [Mount] {
  fileprivate func expectSome() throws { try expect(!isEmpty, "prepare gave no mounts") }
}
