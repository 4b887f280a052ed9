import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of remote snapshotters.
enum RemoteSnapshotMutants {
  private static let reference = "containerd.io/snapshot.ref"

  static let all: [Mutant] = [
    mutant("M067", "a layer is said to exist that is not there", kills: ["remote.ref.accepted", "remote.ref.labels"], symptom: "stat does not find it") {
      $0.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          if let layer = labels[reference] { try await base.remove(layer) }
          throw error
        }
      }
    },
    mutant("M068", "a layer is put on the lowest layer, wherever it was asked for", kills: ["remote.ref.chain", "remote.ref.parent"], symptom: "parent of") {
      let first = Kept<String?>(nil)
      $0.onPrepare = { base, key, parent, labels in
        guard let layer = labels[reference], layer != "sha256:unknown" else { return try await base.prepare(key, parent: parent, labels: labels) }
        let lowest = first.with { first -> String in
          first = first ?? layer
          return first ?? layer
        }
        if layer == lowest, layer == "sha256:chain-1" { return try await base.prepare(key, parent: parent, labels: labels) }
        // On the lowest layer, made where it is missing.
        do { _ = try await base.prepare("extract lowest", parent: nil, labels: [reference: "sha256:chain-1"]) } catch {}
        _ = try await base.prepare(key, parent: "sha256:chain-1", labels: [:])
        try await base.commit(layer, key: key, labels: labels)
        throw ContainerdError.alreadyExists("target snapshot \(layer)")
      }
    },
    mutant("SR01", "a layer that is there is told by another class", kills: ["remote.ref.accepted", "remote.ref.chain"], symptom: "internal") {
      $0.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          throw labels[reference] == nil ? error : ContainerdError.internalError(error.message)
        }
      }
    },
    mutant("SR02", "the key stays beside the layer that it became", kills: ["remote.ref.accepted", "remote.ref.race", "remote.layer.removed"]) {
      $0.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          if labels[reference] != nil { _ = try await base.prepare(key, parent: nil, labels: [:]) }
          throw error
        }
      }
    },
    mutant("SR03", "a layer that is not there is an error", kills: ["remote.ref.declined", "remote.ref.declined-on-top"], symptom: "manifest") {
      $0.onPrepare = { base, key, parent, labels in
        if labels[reference] == "sha256:unknown" { throw ContainerdError.notFound("manifest of \(key)") }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
    mutant("SR04", "a layer that was taken is unpacked the next time", kills: ["remote.ref.again", "remote.ref.race"]) {
      let taken = Kept<Set<String>>([])
      $0.onPrepare = { base, key, parent, labels in
        guard let layer = labels[reference] else { return try await base.prepare(key, parent: parent, labels: labels) }
        let again = taken.with { !$0.insert(layer).inserted }
        return try await base.prepare(key, parent: parent, labels: again ? [:] : labels)
      }
    },
    mutant("SR05", "a label that is not known makes the snapshotter decline", kills: ["remote.ref.labels"], symptom: "succeeded") {
      $0.onPrepare = { base, key, parent, labels in
        let known = labels.keys.allSatisfy { $0 == reference }
        return try await base.prepare(key, parent: parent, labels: known ? labels : [:])
      }
    },
    mutant("SR06", "a key that is a layer's name is taken for the layer", kills: ["remote.ref.none"], symptom: "already exists") {
      $0.onPrepare = { base, key, parent, labels in
        try await base.prepare(key, parent: parent, labels: key.hasPrefix("sha256:chain") ? labels.merging([reference: key]) { $1 } : labels)
      }
    },
    mutant("SR07", "a container on a layer cannot write", kills: ["remote.layer.child"], symptom: "read-only", threads: ["containerd/stargz-snapshotter#187"]) {
      $0.onPrepare = { base, key, parent, labels in
        let mounts = try await base.prepare(key, parent: parent, labels: labels)
        return parent == nil ? mounts : mounts.map { Mount(type: $0.type, source: $0.source, options: $0.options.map { $0 == "rw" ? "ro" : $0 }) }
      }
    },
    mutant("SR08", "a layer that was not unpacked has no usage", kills: ["remote.layer.asked"], symptom: "not found") {
      $0.onUsage = { base, key in
        if key.hasPrefix("sha256:chain") { throw ContainerdError.notFound("usage of \(key)") }
        return try await base.usage(key)
      }
    },
    mutant("SR09", "a missing parent is no hindrance", kills: ["remote.ref.missing-parent"], symptom: "") {
      $0.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .notFound {
          return try await base.prepare(key, parent: nil, labels: labels)
        }
      }
    },
    mutant("SR10", "a layer is said to be busy when it is removed", kills: ["remote.layer.removed"], symptom: "in use") {
      $0.onRemove = { base, key in
        if key.hasPrefix("sha256:chain-2") { throw ContainerdError.failedPrecondition("\(key) is in use") }
        try await base.remove(key)
      }
    },
    away("SR11", "prepare waits for a source that is away", kills: ["remote.source.unreachable", "remote.source.returns"], symptom: "no answer within") {
      wrapper, isAway, _ in
      wrapper.onPrepare = { base, key, parent, labels in
        if labels[reference] != nil, isAway.now { try await Task.sleep(for: .seconds(100)) }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
    away("SR12", "a source that is away is told as an internal error", kills: ["remote.source.unreachable"], symptom: "whose source is away") {
      wrapper, isAway, _ in
      wrapper.onPrepare = { base, key, parent, labels in
        if labels[reference] != nil, isAway.now { throw ContainerdError.internalError("dial tcp: connection refused") }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
    away("SR13", "a source that was away once is never asked again", kills: ["remote.source.returns"], symptom: "it succeeded") { wrapper, isAway, _ in
      let gaveUp = Kept(false)
      wrapper.onPrepare = { base, key, parent, labels in
        if labels[reference] != nil, isAway.now { gaveUp.set(true) }
        return try await base.prepare(key, parent: parent, labels: gaveUp.now ? [:] : labels)
      }
    },
    away("SR14", "usage asks the source", kills: ["remote.source.not-asked"], symptom: "requests to the source") { wrapper, _, more in
      wrapper.onUsage = { base, key in
        more.with { $0 += 1 }
        return try await base.usage(key)
      }
    },
    mutant("identity-remote", "every call is handed on unchanged", kills: []) { _ in },
  ]

  /// A fault that shows when the source is away. It is told whether that is so, and may count requests of its own.
  private static func away(
    _ id: String, _ sentence: String, kills: [String], symptom: String,
    _ change: @escaping @Sendable (inout SnapshotterWrapper, _ isAway: Kept<Bool>, _ more: Kept<Int>) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .remoteSnapshots, on: "inproc:fake-remote", kills: kills, symptom: symptom, scope: ["remote.*"]) {
      $0.wrap(RemoteSnapshotSubject.self) { subject in
        let (isAway, more) = (Kept(false), Kept(0))
        if let source = subject.source {
          subject.source = RemoteSource(
            reach: {
              isAway.set(!$0)
              source.reach($0)
            }, requests: { source.requests() + more.now })
        }
        subject.snapshotter = SnapshotterWrapper(subject.snapshotter) { change(&$0, isAway, more) }
      }
    }
  }

  private static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .remoteSnapshots, on: "inproc:fake-remote", kills: kills, symptom: symptom, scope: ["remote.*"], threads: threads) {
      $0.wrap(RemoteSnapshotSubject.self) { $0.snapshotter = SnapshotterWrapper($0.snapshotter, change) }
    }
  }
}
