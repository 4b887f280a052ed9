import ConformanceKit
import ConformanceSuites
import Protocols

extension MetadataMutants {
  static func leases(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout LeaseStoreWrapper) -> Void
  ) -> Mutant {
    mutant(id, sentence, in: .leases, kills: kills, symptom: symptom) { $0.wrapLeases = { leases, _, _ in LeaseStoreWrapper(leases, change) } }
  }

  /// Content whose labels lose something when they are committed.
  static func forgetting(_ lost: @escaping @Sendable (String) -> String?) -> @Sendable (inout MetadataWrapper) -> Void {
    { wrapper in
      let rename: @Sendable (Labels) -> Labels = { labels in
        Labels(labels.compactMap { key, value in lost(key).map { ($0, value) } }, uniquingKeysWith: { first, _ in first })
      }
      wrapper.wrapContent = { content, _, _ in
        ContentStoreWrapper(content) {
          $0.wrapWriters { $0.onCommit = { writer, expected, labels in try await writer.base.commit(expected, labels: rename(labels)) } }
        }
      }
      wrapper.wrapSnapshots = { snapshots, _, _ in
        SnapshotterWrapper(snapshots) { $0.onCommit = { base, name, key, labels in try await base.commit(name, key: key, labels: rename(labels)) } }
      }
    }
  }

  static let holds: [Mutant] = [
    leases("leases-made-twice", "a lease that is there is made again in silence", kills: ["metadata.leases.life"], symptom: "a second creation") {
      $0.onCreate = { base, lease in
        do { return try await base.create(lease) } catch let error as ContainerdError where error.code == .alreadyExists { return lease }
      }
    },
    leases(
      "leases-take-anything", "a lease takes resources of any type, and forgets them", kills: ["metadata.leases.resources"], symptom: "adding an unknown type"
    ) {
      $0.onAdd = { base, resource, lease in
        do { try await base.addResource(resource, to: lease) } catch let error as ContainerdError where error.code == .notImplemented {}
      }
    },
    leases("leases-keep-all", "a resource is never taken away from its lease", kills: ["metadata.leases.resources"], symptom: "after one was taken away") {
      $0.onRemove = { _, _, _ in }
    },
    mutant(
      "leases-ignored", "what is made under a lease is not held by it", in: .leases,
      kills: ["metadata.leases.hold-what-is-made", "metadata.leases.hold-what-is-there"], symptom: "what the lease holds",
      threads: ["containerd/containerd#3787"]
    ) { $0.onScope = { Scope(namespace: $0.namespace) } },
    mutant(
      "leases-miss-existing", "a blob that is there already is not added to the lease", in: .leases, kills: ["metadata.leases.hold-what-is-there"],
      symptom: "what the lease holds", threads: ["containerd/containerd#2696"]
    ) {
      $0.wrapContent = { content, _, _ in
        ContentStoreWrapper(content) {
          $0.onWriter = { base, ref, expected in
            if let digest = expected.digest {
              do { _ = try await base.info(digest) } catch { return try await base.writer(ref: ref, expected: expected) }
              throw ContainerdError.alreadyExists("content \(digest)")
            }
            return try await base.writer(ref: ref, expected: expected)
          }
        }
      }
    },
    mutant(
      "leases-made-by-the-way", "a lease that is not there is made when something is uploaded under it", in: .leases, kills: ["metadata.leases.unknown"],
      symptom: "an upload"
    ) {
      $0.wrapContent = { content, store, scope in
        ContentStoreWrapper(content) {
          $0.onWriter = { base, ref, expected in
            if let lease = scope.lease {
              do { _ = try await store.leases(in: scope).create(LeaseRecord(id: lease)) } catch let there as ContainerdError where there.code == .alreadyExists
              {}
            }
            return try await base.writer(ref: ref, expected: expected)
          }
        }
      }
    },
    mutant(
      "leases-outlived", "an upload whose lease has ended is committed all the same", in: .leases, kills: ["metadata.leases.ends-during-upload"],
      symptom: "the commit"
    ) {
      $0.wrapContent = { content, store, scope in
        ContentStoreWrapper(content) {
          $0.onWriter = { base, ref, expected in
            guard let lease = scope.lease else { return try await base.writer(ref: ref, expected: expected) }
            let free = try await store.content(in: Scope(namespace: scope.namespace)).writer(ref: ref, expected: expected)
            let leases = try store.leases(in: Scope(namespace: scope.namespace))
            try await leases.addResource(LeaseResource(type: "ingests", id: ref), to: lease)
            return ContentWriterWrapper(free, ref: ref, expected: expected, in: base) {
              $0.onCommit = { writer, expected, labels in
                let digest = try await writer.base.commit(expected, labels: labels)
                do { try await leases.addResource(LeaseResource(type: "content", id: "\(digest)"), to: lease) } catch let gone as ContainerdError
                  where gone.code == .notFound
                {}
                return digest
              }
            }
          }
        }
      }
    },
  ]

  static let garbage: [Mutant] = [
    mutant("gc-never", "a collection removes nothing", in: .leases, kills: ["metadata.gc.unreferenced", "metadata.gc.roots"]) {
      $0.onCollect = { _ in GarbageReport() }
    },
    mutant("gc-silent", "a collection does not say what it removed", in: .leases, kills: ["metadata.gc.unreferenced"], symptom: "report") {
      $0.onCollect = {
        _ = try await $0.collectGarbage()
        return GarbageReport()
      }
    },
    mutant(
      "gc-no-root-label", "the label of a root holds nothing", in: .leases, kills: ["metadata.gc.roots"], symptom: "blobs left",
      forgetting { $0 == "containerd.io/gc.root" ? nil : $0 }),
    mutant(
      "gc-container-lets-go", "a container does not hold its snapshot", in: .leases, kills: ["metadata.gc.roots"], symptom: "snapshots left",
      threads: ["containerd/containerd#1682"]
    ) {
      $0.wrapContainers = { containers, _ in
        ContainerStoreWrapper(containers) {
          $0.onCreate = { base, container in
            var container = container
            container.snapshotKey = ""
            return try await base.create(container)
          }
        }
      }
    },
    mutant(
      "gc-one-form", "references with a name behind are not followed", in: .leases, kills: ["metadata.gc.edges"], symptom: "blobs left",
      forgetting { $0.hasPrefix("containerd.io/gc.ref.content.") ? nil : $0 }),
    mutant(
      "gc-no-snapshot-refs", "references to snapshots are not followed", in: .leases, kills: ["metadata.gc.edges"], symptom: "snapshots left",
      forgetting { $0.hasPrefix("containerd.io/gc.ref.snapshot.") ? nil : $0 }),
    mutant(
      "gc-loose-prefix", "a label that only begins like a reference is one", in: .leases, kills: ["metadata.gc.edges"], symptom: "blobs left",
      forgetting { $0 == "containerd.io/gc.ref.contents" ? "containerd.io/gc.ref.content.s" : $0 }),
    mutant("gc-across", "an image holds its target in every namespace", in: .leases, kills: ["metadata.gc.namespaces"], symptom: "blobs left in a") {
      $0.wrapImages = { images, store, scope in
        ImageStoreWrapper(images) {
          $0.onCreate = { base, image in
            let made = try await base.create(image)
            for other in try await store.namespaces.list() where other.name != scope.namespace {
              let leases = try store.leases(in: Scope(namespace: other.name))
              _ = try await leases.create(LeaseRecord(id: "held-\(image.name)"))
              try await leases.addResource(LeaseResource(type: "content", id: "\(image.target.digest)"), to: "held-\(image.name)")
            }
            return made
          }
        }
      }
    },
    leases("gc-leases-forever", "leases never expire", kills: ["metadata.gc.leases-expire"], symptom: "report after the time") {
      $0.onCreate = { base, lease in try await base.create(LeaseRecord(id: lease.id, labels: lease.labels.filter { $0.key != "containerd.io/gc.expire" })) }
    },
    leases("gc-garbled-is-over", "a lease whose time cannot be read has expired", kills: ["metadata.gc.leases-expire"], symptom: "report before the time") {
      $0.onCreate = { base, lease in
        var lease = lease
        if let time = lease.labels["containerd.io/gc.expire"], Timestamp(rfc3339: time) == nil {
          lease.labels["containerd.io/gc.expire"] = "1970-01-01T00:00:01Z"
        }
        return try await base.create(lease)
      }
    },
    leases("gc-never-flat", "a flat lease follows references", kills: ["metadata.gc.flat"], symptom: "blobs left") {
      $0.onCreate = { base, lease in try await base.create(LeaseRecord(id: lease.id, labels: lease.labels.filter { $0.key != "containerd.io/gc.flat" })) }
    },
    mutant(
      "gc-takes-active", "a collection removes active snapshots, leased or not", in: .leases, kills: ["metadata.gc.active-snapshot"], symptom: "not found",
      threads: ["containerd/containerd#13416"]
    ) {
      $0.onCollect = { base in
        let report = try await base.collectGarbage()
        for namespace in try await base.namespaces.list() {
          for name in base.snapshotterNames {
            let snapshots = try base.snapshotter(name, in: Scope(namespace: namespace.name))
            try await snapshots.walk(FilterSet(parsing: ["kind==active"])) { try await snapshots.remove($0.name) }
            try await snapshots.walk(FilterSet(parsing: ["kind==Active"])) { try await snapshots.remove($0.name) }
          }
        }
        return report
      }
    },
    mutant("gc-takes-ingests", "a collection forgets what is being uploaded", in: .leases, kills: ["metadata.gc.during-upload"]) {
      $0.onCollect = { base in
        let report = try await base.collectGarbage()
        for namespace in try await base.namespaces.list() {
          let content = try base.content(in: Scope(namespace: namespace.name))
          for ingest in try await content.statuses(.all) { try await content.abort(ref: ingest.ref) }
        }
        return report
      }
    },
  ]

  private static func telling(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "events", _ change: @escaping @Sendable ([EventEnvelope]) -> [EventEnvelope]
  ) -> Mutant {
    Mutant(id, sentence, in: .metadata, kills: kills, symptom: symptom) {
      $0.wrap(MetadataSubject.self) { subject in
        let published = subject.published
        subject.published = { change(published()) }
      }
    }
  }

  static let told: [Mutant] = [
    telling("told-twice", "each change is told twice", kills: ["metadata.events.told"]) { $0.flatMap { [$0, $0] } },
    telling("told-backwards", "what happened is told in another order", kills: ["metadata.events.told", "metadata.events.namespaces"]) { $0.reversed() },
    telling("told-nowhere", "changes of namespaces are told in no namespace", kills: ["metadata.events.namespaces"], symptom: "namespaces of the events") {
      $0.map { $0.topic.hasPrefix("/namespaces/") ? EventEnvelope(timestamp: $0.timestamp, namespace: "", event: $0.event) : $0 }
    },
    telling("told-without-size", "a new blob is told without its size", kills: ["metadata.events.storage"]) {
      $0.map { envelope in
        var envelope = envelope
        if case .contentCreate(let digest, _, let type) = envelope.event { envelope.event = .contentCreate(digest: digest, size: 0, mediaType: type) }
        return envelope
      }
    },
  ]
}
