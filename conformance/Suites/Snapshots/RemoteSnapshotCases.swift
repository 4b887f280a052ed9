import Protocols

/// A snapshotter that knows layers before anybody unpacks them, and what it knows.
public struct RemoteSnapshotSubject: Sendable {
  public var snapshotter: any Snapshotter
  /// Names of an image's layers that the snapshotter can provide by itself, lowest first; two at least.
  public var layers: [String]
  /// A name that it cannot provide.
  public var absent: String
  /// Where the layers come from; nil where the case cannot take that away.
  public var source: RemoteSource?
  /// What it needs to be told beside the name.
  public var labels: @Sendable (_ layer: String) -> Labels

  public init(
    snapshotter: any Snapshotter, layers: [String], absent: String, source: RemoteSource? = nil,
    labels: @escaping @Sendable (String) -> Labels = { _ in [:] }
  ) {
    self.snapshotter = snapshotter
    self.layers = layers
    self.absent = absent
    self.source = source
    self.labels = labels
  }

  /// The label that names the layer which the active snapshot is to become.
  static let reference = "containerd.io/snapshot.ref"

  package func ask(_ layer: String, key: String, on parent: String?) async throws -> [Mount] {
    try await snapshotter.prepare(key, parent: parent, labels: labels(layer).merging([Self.reference: layer]) { $1 })
  }

  /// The layer must be taken without unpacking.
  package func take(_ layer: String, on parent: String?) async throws {
    try await expectError(.alreadyExists, from: "prepare for the layer \(layer), which the snapshotter has") {
      _ = try await ask(layer, key: "extract \(layer)", on: parent)
    }
    let info = try await stat(layer)
    try expectEqual(info.kind, .committed, "kind of the layer \(layer) that was said to exist")
    try expectEqual(info.parent, parent, "parent of the layer \(layer)")
  }

  package func stat(_ layer: String) async throws -> SnapshotInfo {
    do { return try await snapshotter.stat(layer) } catch let error as ContainerdError where error.code == .notFound {
      throw Mismatch(description: "prepare said that the layer \(layer) exists, and stat does not find it: the pull fails (\(error))")
    }
  }

  package var names: [String] {
    get async throws {
      let seen = Visited<String>()
      try await snapshotter.walk(.all) { seen.append($0.name) }
      return seen.items.sorted()
    }
  }
}

extension Capability {
  /// Layers are there without being unpacked.
  public static let remote = Capability("remote")
}

/// What a client and a remote snapshotter agree on beside the contract of `Snapshotter`.
public enum RemoteSnapshotSuite {
  public static let cases: [ContractCase<RemoteSnapshotSubject>] = [
    remote("remote.ref.accepted", "a layer that is there is told so by \"already exists\", and is committed", "REM-01, REM-02") { subject in
      try await subject.take(subject.layers[0], on: nil)
      try await expectError(.notFound, from: "stat of the key that became the layer") { _ = try await subject.snapshotter.stat("extract \(subject.layers[0])") }
      try expectEqual(try await subject.names, [subject.layers[0]], "snapshots listed")
    },
    remote("remote.ref.chain", "layers that are there form the image's chain", "REM-02; SNAP-12", threads: ["containerd/containerd#13264"]) { subject in
      var parent: String?
      for layer in subject.layers {
        try await subject.take(layer, on: parent)
        parent = layer
      }
      for (number, layer) in subject.layers.enumerated() {
        try expectEqual(try await subject.stat(layer).parent, number == 0 ? nil : subject.layers[number - 1], "parent of \(layer) in the end")
      }
    },
    remote("remote.ref.again", "a layer that was taken is told to exist the next time too", "REM-01") { subject in
      try await subject.take(subject.layers[0], on: nil)
      let first = try await subject.stat(subject.layers[0])
      try await subject.take(subject.layers[0], on: nil)
      try expectEqual(try await subject.stat(subject.layers[0]), first, "info of the layer")
    },
    remote(
      "remote.ref.declined", "a layer that is not there is prepared as any other", "REM-01; SNAP-10", threads: ["containerd/stargz-snapshotter#187"]
    ) { subject in
      let mounts = try await subject.ask(subject.absent, key: "a", on: nil)
      try SnapshotterSuite.checkMounts(mounts, writable: true)
      try expectEqual(try await subject.snapshotter.stat("a").kind, .active, "kind of what was prepared")
      try expectEqual(try await subject.snapshotter.mounts("a"), mounts, "mounts of what was prepared")
      try await subject.snapshotter.commit(subject.absent, key: "a", labels: [:])
      try expectEqual(try await subject.snapshotter.stat(subject.absent).kind, .committed, "kind of what the client unpacked")
    },
    remote("remote.ref.declined-on-top", "a client may go on unpacking on a layer that was there", "REM-02; SNAP-10") { subject in
      try await subject.take(subject.layers[0], on: nil)
      let mounts = try await subject.ask(subject.absent, key: "a", on: subject.layers[0])
      try SnapshotterSuite.checkMounts(mounts, writable: true)
      try await subject.snapshotter.commit(subject.absent, key: "a", labels: [:])
      try expectEqual(try await subject.snapshotter.stat(subject.absent).parent, subject.layers[0], "parent of what the client unpacked")
    },
    remote(
      "remote.ref.parent", "a layer is never put on another parent than it was asked for", "REM-02; SNAP-12", threads: ["containerd/containerd#13264"]
    ) { subject in
      let layer = subject.layers[1]
      do {
        let mounts = try await subject.ask(layer, key: "a", on: nil)
        try SnapshotterSuite.checkMounts(mounts, writable: true)
        try expectEqual(try await subject.snapshotter.stat("a").parent, nil, "parent of what was prepared instead")
      } catch let error as ContainerdError where error.code == .alreadyExists {
        try expectEqual(try await subject.stat(layer).parent, nil, "parent of the layer \(layer), asked for without one")
      }
    },
    remote("remote.ref.missing-parent", "a layer is not made on a parent that is not there", "REM-01; SNAP-10") { subject in
      try await expectError(.notFound, from: "prepare for a layer on a missing parent") {
        _ = try await subject.ask(subject.layers[1], key: "a", on: subject.layers[0])
      }
      try expectEqual(try await subject.names, [], "snapshots listed")
    },
    remote(
      "remote.ref.race", "many pulls of one layer are all told that it exists, and it is there once", "REM-01; Snapshotter, concurrency",
      threads: ["containerd/stargz-snapshotter#187"]
    ) { subject in
      let layer = subject.layers[0]
      let results = try await concurrently(10) { number in try await subject.ask(layer, key: "extract \(number)", on: nil) }
      for result in results {
        switch result {
        case .failure(let error): try expectEqual(error.code, .alreadyExists, "what a pull is told: \(error)")
        case .success(let mounts): throw Mismatch(description: "one of many pulls of a layer that is there got mounts: \(mounts)")
        }
      }
      try expectEqual(try await subject.names, [layer], "snapshots listed")
    },
    remote("remote.ref.labels", "labels that the snapshotter does not know do not keep it from knowing the layer", "REM-03; SNAP-16") { subject in
      let layer = subject.layers[0]
      let more = ["containerd.io/snapshot/unheard.of": "x", "containerd.io/snapshot/cri.image-ref": "registry.test/some/image:1"]
      try await expectError(.alreadyExists, from: "prepare for the layer with more labels") {
        _ = try await subject.snapshotter.prepare(
          "a", parent: nil, labels: subject.labels(layer).merging(more) { $1 }.merging([RemoteSnapshotSubject.reference: layer]) { $1 })
      }
      try expectEqual(try await subject.stat(layer).kind, .committed, "kind of the layer")
    },
    remote("remote.ref.none", "without the label a snapshot is made as any other, whatever its key", "REM-01; SNAP-10") { subject in
      let mounts = try await subject.snapshotter.prepare(subject.layers[0], parent: nil, labels: [:])
      try SnapshotterSuite.checkMounts(mounts, writable: true)
      try expectEqual(try await subject.snapshotter.stat(subject.layers[0]).kind, .active, "kind")
    },
    remote("remote.layer.child", "a container is made on a layer that was there as on any other", "SNAP-10, SNAP-11") { subject in
      try await subject.take(subject.layers[0], on: nil)
      try SnapshotterSuite.checkMounts(try await subject.snapshotter.prepare("a", parent: subject.layers[0], labels: [:]), writable: true)
      try SnapshotterSuite.checkMounts(try await subject.snapshotter.view("v", parent: subject.layers[0], labels: [:]), writable: false)
      try expectEqual(try await subject.snapshotter.stat("a").parent, subject.layers[0], "parent of the container's snapshot")
    },
    remote("remote.layer.asked", "a layer that was there answers as any committed snapshot", "SNAP-07, SNAP-08; Snapshotter.usage") { subject in
      try await subject.take(subject.layers[0], on: nil)
      let usage = try await subject.snapshotter.usage(subject.layers[0])
      try expect(usage.size >= 0 && usage.inodes >= 0, "usage: \(usage)")
      try await expectError(.failedPrecondition, from: "mounts of a layer") { _ = try await subject.snapshotter.mounts(subject.layers[0]) }
    },
    remote("remote.layer.removed", "a layer that was there can be removed, and taken again", "SNAP-04, SNAP-13") { subject in
      for _ in 0..<3 {
        try await subject.take(subject.layers[0], on: nil)
        try await subject.take(subject.layers[1], on: subject.layers[0])
        try await expectError(.failedPrecondition, from: "remove of a layer with a layer on it") { try await subject.snapshotter.remove(subject.layers[0]) }
        try await subject.snapshotter.remove(subject.layers[1])
        try await subject.snapshotter.remove(subject.layers[0])
        try expectEqual(try await subject.names, [], "snapshots listed")
      }
    },
  ]

  private static func remote(
    _ id: String, _ sentence: String, _ statement: String, threads: [String] = [], _ body: @escaping @Sendable (RemoteSnapshotSubject) async throws -> Void
  ) -> ContractCase<RemoteSnapshotSubject> {
    ContractCase(
      id, sentence, statement, needs: [.remote],
      why:
        "A client that is told \"already exists\" fetches and unpacks nothing: what is not there then, or not on the right parent, is an image that cannot start.",
      threads: threads, body: body)
  }
}
