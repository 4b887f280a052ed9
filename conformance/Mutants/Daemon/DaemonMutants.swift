import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import GRPCCore
import Protocols

/// Faults of a whole daemon, put behind its services or before them.
enum DaemonMutants {
  static let all: [Mutant] = leases + garbage + names + [events] + controls

  static func mutant(
    _ id: String, _ sentence: String, in group: CaseGroup = .leases, on base: String = "inproc:daemon", kills: [String], symptom: String = "",
    threads: [String] = [], _ change: @escaping @Sendable (inout DaemonParts) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: group, on: base, kills: kills, symptom: symptom, scope: kills.isEmpty ? ["daemon.*"] : [], threads: threads) {
      $0.wrap(DaemonParts.self) { change(&$0) }
    }
  }
  static func metadata(
    _ id: String, _ sentence: String, in group: CaseGroup = .leases, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout MetadataWrapper) -> Void
  ) -> Mutant {
    mutant(id, sentence, in: group, kills: kills, symptom: symptom, threads: threads) { $0.metadata = MetadataWrapper($0.metadata, change) }
  }
  private static func leases(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout LeaseStoreWrapper) -> Void
  ) -> Mutant {
    metadata(id, sentence, kills: kills, symptom: symptom) { $0.wrapLeases = { leases, _, _ in LeaseStoreWrapper(leases, change) } }
  }
  /// Leases that lose a label when they are made.
  private static func leases(_ id: String, _ sentence: String, without label: String, kills: [String], symptom: String) -> Mutant {
    leases(id, sentence, kills: kills, symptom: symptom) {
      $0.onCreate = { base, lease in try await base.create(LeaseRecord(id: lease.id, labels: lease.labels.filter { $0.key != label })) }
    }
  }

  private static let leases: [Mutant] = [
    leases("DM01", "the lease that is there is given to whoever makes it again", kills: ["daemon.lease.life"], symptom: "a second lease of the same id") {
      $0.onCreate = { base, lease in
        do { return try await base.create(lease) } catch let error as ContainerdError where error.code == .alreadyExists { return lease }
      }
    },
    metadata(
      "DM02", "the header with the lease is passed over", kills: ["daemon.lease.holds"], symptom: "the lease does not list",
      threads: ["containerd/containerd#2382"]
    ) { $0.onScope = { Scope(namespace: $0.namespace) } },
    leases("DM03", "what is taken from a lease stays in it", kills: ["daemon.lease.resources"], symptom: "that no lease holds any more") {
      $0.onRemove = { _, _, _ in }
    },
    metadata(
      "DM04", "a blob that is there already is not added to the lease of who asks for it", kills: ["daemon.lease.existing-blob"],
      symptom: "the blob that the second lease met", threads: ["containerd/containerd#2696"]
    ) {
      $0.wrapContent = { content, store, scope in
        ContentStoreWrapper(content) {
          $0.onWriter = { base, ref, expected in
            if expected.digest != nil { _ = try await store.content(in: Scope(namespace: scope.namespace)).writer(ref: ref, expected: expected) }
            return try await base.writer(ref: ref, expected: expected)
          }
        }
      }
    },
    leases(
      "DM05", "leases never run out", without: "containerd.io/gc.expire", kills: ["daemon.lease.expires"], symptom: "the blob of the lease that is over"),
  ]

  private static let garbage: [Mutant] = [
    metadata(
      "DM06", "references with a name behind are not followed", kills: ["daemon.gc.references"], symptom: "expected it to be kept",
      threads: ["containerd/containerd#10720"], MetadataMutants.forgetting { $0.hasPrefix("containerd.io/gc.ref.content.") ? nil : $0 }),
    metadata(
      "DM07", "the label of a root holds nothing", kills: ["daemon.gc.root-label"], symptom: "the pinned blob",
      MetadataMutants.forgetting { $0 == "containerd.io/gc.root" ? nil : $0 }),
    metadata(
      "DM08", "content does not hold the snapshots that it refers to", kills: ["daemon.gc.snapshots"], symptom: "while the config refers to it",
      MetadataMutants.forgetting { $0.hasPrefix("containerd.io/gc.ref.snapshot.") ? nil : $0 }),
    metadata(
      "DM09", "a collection never looks at snapshots", kills: ["daemon.gc.snapshots"], symptom: "after what held it is gone",
      threads: ["containerd/containerd#5564"]
    ) {
      $0.wrapSnapshots = { snapshots, _, _ in
        SnapshotterWrapper(snapshots) {
          $0.onCommit = { base, name, key, labels in
            try await base.commit(name, key: key, labels: labels.merging(["containerd.io/gc.root": "2026-01-01T00:00:00Z"]) { $1 })
          }
        }
      }
    },
    leases("DM10", "a flat lease follows references", without: "containerd.io/gc.flat", kills: ["daemon.gc.flat"], symptom: "what that refers to"),
  ]

  private static let names: [Mutant] = [
    metadata(
      "DM11", "all namespaces are one", in: .metadata, kills: ["daemon.namespace.apart"], symptom: "images of the other namespace",
      threads: ["containerd/containerd#2889"]
    ) {
      $0.onScope = { scope in
        var scope = scope
        scope.namespace = "one"
        return scope
      }
    },
    metadata(
      "DM12", "a namespace is deleted with everything in it", in: .metadata, kills: ["daemon.namespace.not-empty"],
      symptom: "deletion of a namespace with an image"
    ) {
      $0.wrapNamespaces = {
        NamespaceStoreWrapper($0) {
          $0.onDelete = { base, name in
            do { try await base.delete(name) } catch let error as ContainerdError where error.code == .failedPrecondition {}
          }
        }
      }
    },
    mutant(
      "DM13", "a call without a namespace goes to a default one", in: .metadata, kills: ["daemon.namespace.required"], symptom: "images without a namespace"
    ) {
      $0.interceptors.append(
        ChangedHeaders { headers in
          if headers[stringValues: "containerd-namespace"].first(where: { !$0.isEmpty }) == nil { headers.addString("default", forKey: "containerd-namespace") }
        })
    },
    metadata(
      "DM14", "what cannot be changed of an image is passed over in silence", in: .metadata, kills: ["daemon.image.immutable"], symptom: "update of the name"
    ) {
      $0.wrapImages = { images, _, _ in
        ImageStoreWrapper(images) {
          $0.onUpdate = { base, image, fields in
            let kept = fields.paths.filter { $0 == "target" || $0 == "labels" || $0.hasPrefix("labels.") }
            if kept.isEmpty { return try await base.get(image.name) }
            return try await base.update(image, fields: FieldMask(kept))
          }
        }
      }
    },
  ]

  private static let events = mutant(
    "DM15", "subscribers hear of each change twice", in: .events, kills: ["daemon.events.images"], symptom: "topics"
  ) {
    $0.events = ExchangeWrapper($0.events) {
      $0.onSubscribe = { base in
        let (stream, more) = AsyncStream.makeStream(of: EventEnvelope.self)
        let handing = Task {
          for await envelope in base.subscribe() { for _ in 0..<2 { more.yield(envelope) } }
          more.finish()
        }
        more.onTermination = { _ in handing.cancel() }
        return stream
      }
    }
  }

  private static let controls: [Mutant] = [
    mutant("identity-daemon", "everything behind a daemon's services is handed on unchanged", kills: []) { parts in
      parts.metadata = MetadataWrapper(parts.metadata) { wrapper in
        wrapper.wrapNamespaces = { NamespaceStoreWrapper($0) { _ in } }
        wrapper.wrapImages = { images, _, _ in ImageStoreWrapper(images) { _ in } }
        wrapper.wrapLeases = { leases, _, _ in LeaseStoreWrapper(leases) { _ in } }
        wrapper.wrapContent = { content, _, _ in ContentStoreWrapper(content) { $0.wrapWriters { _ in } } }
        wrapper.wrapSnapshots = { snapshots, _, _ in SnapshotterWrapper(snapshots) { _ in } }
      }
      parts.events = ExchangeWrapper(parts.events) { _ in }
      parts.interceptors.append(ChangedHeaders { _ in })
    }
  ]
}

/// A server that reads other headers than were sent.
struct ChangedHeaders: ServerInterceptor {
  let change: @Sendable (inout GRPCCore.Metadata) -> Void

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    var request = request
    change(&request.metadata)
    return try await next(request, context)
  }
}
