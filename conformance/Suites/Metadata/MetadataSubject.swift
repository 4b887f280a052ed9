import Protocols

/// An empty metadata store over backends of its own.
public struct MetadataSubject: Sendable {
  public var store: any MetadataStore
  /// A snapshotter that is registered with it.
  public var snapshotter: String
  /// Every envelope that the store has published so far.
  public var published: @Sendable () -> [EventEnvelope]
  /// Lets time pass for the store: by moving its clock, or by waiting.
  public var advance: @Sendable (_ seconds: Int64) async throws -> Void
  public var now: @Sendable () -> Timestamp
  public var digest: @Sendable ([UInt8]) -> Digest
  public var keep: (any Sendable)?

  public init(
    store: any MetadataStore, snapshotter: String, keep: (any Sendable)? = nil, published: @escaping @Sendable () -> [EventEnvelope],
    now: @escaping @Sendable () -> Timestamp,
    advance: @escaping @Sendable (Int64) async throws -> Void, digest: @escaping @Sendable ([UInt8]) -> Digest
  ) {
    self.store = store
    self.snapshotter = snapshotter
    self.keep = keep
    self.published = published
    self.now = now
    self.advance = advance
    self.digest = digest
  }

  package func scope(_ lease: String? = nil, in namespace: String = "n") -> Scope { Scope(namespace: namespace, lease: lease) }
  package func images(in namespace: String = "n") throws -> any ImageStore { try store.images(in: scope(in: namespace)) }
  package func containers(in namespace: String = "n") throws -> any ContainerStore { try store.containers(in: scope(in: namespace)) }
  package func leases(in namespace: String = "n") throws -> any LeaseStore { try store.leases(in: scope(in: namespace)) }
  package func content(lease: String? = nil, in namespace: String = "n") throws -> any ContentStore { try store.content(in: scope(lease, in: namespace)) }
  package func snapshots(lease: String? = nil, in namespace: String = "n") throws -> any Snapshotter {
    try store.snapshotter(snapshotter, in: scope(lease, in: namespace))
  }

  @discardableResult
  package func blob(_ text: String, labels: Labels = [:], lease: String? = nil, in namespace: String = "n") async throws -> Digest {
    let writer = try await content(lease: lease, in: namespace).writer(ref: "upload \(text)", expected: IngestExpectation())
    try await writer.write(bytes(text), at: nil)
    let digest = try await writer.commit(IngestExpectation(), labels: labels)
    await writer.close()
    return digest
  }

  package func layer(_ name: String, on parent: String? = nil, labels: Labels = [:], lease: String? = nil, in namespace: String = "n") async throws {
    let snapshots = try snapshots(lease: lease, in: namespace)
    _ = try await snapshots.prepare("making \(name)", parent: parent, labels: [:])
    try await snapshots.commit(name, key: "making \(name)", labels: labels)
  }

  @discardableResult
  package func image(_ name: String, _ target: Digest, labels: Labels = [:], in namespace: String = "n") async throws -> ImageRecord {
    try await images(in: namespace).create(
      ImageRecord(name: name, labels: labels, target: Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: target, size: 5)))
  }

  package func lease(_ id: String, labels: Labels = [:], in namespace: String = "n") async throws {
    _ = try await leases(in: namespace).create(LeaseRecord(id: id, labels: labels))
  }

  package func container(_ id: String, labels: Labels = [:], snapshotKey: String = "") -> ContainerRecord {
    ContainerRecord(
      id: id, labels: labels, image: "image", runtime: "io.containerd.ref.v2", runtimeOptions: TypedValue(typeURL: "o", value: [0, 255]),
      spec: TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: bytes("{}")),
      snapshotter: snapshotKey.isEmpty ? "" : snapshotter, snapshotKey: snapshotKey, extensions: ["x": TypedValue(typeURL: "t", value: [1, 2])])
  }

  package func digests(in namespace: String = "n") async throws -> Set<Digest> {
    let seen = Visited<Digest>()
    try await content(in: namespace).walk(.all) { seen.append($0.digest) }
    return Set(seen.items)
  }

  package func keys(in namespace: String = "n") async throws -> [String] {
    let seen = Visited<String>()
    try await snapshots(in: namespace).walk(.all) { seen.append($0.name) }
    return seen.items.sorted()
  }

  package func held(by lease: String, in namespace: String = "n") async throws -> Set<String> {
    Set(try await leases(in: namespace).resources(of: lease).map { "\($0.type) \($0.id)" })
  }
}

extension Capability {
  /// Nobody else uses the store: it collects only when it is told to, says what it has collected, and what it publishes can be counted.
  public static let alone = Capability("alone")
}

/// The contracts of `MetadataStore` and the stores in it. Its content and snapshotters also keep `ContentStoreSuite` and `SnapshotterSuite`.
public enum MetadataSuite {
  public static let cases = namespaces + images + containers + leases + scopes + garbage + events
}
