import CLinux
import ConformanceBoundarySuites
import ConformanceKit
import ConformanceSuites
import InMemoryFakes
import Protocols
import SystemKit

extension BoundaryMutants {
  /// Names that only this client knows.
  private static func renamed(_ wrapper: inout SnapshotterWrapper) {
    @Sendable func own(_ name: String) -> String { name.hasPrefix("sha256:") ? "image-\(name)" : name }
    wrapper.onStat = { try await $0.stat(own($1)) }
    wrapper.onPrepare = { try await $0.prepare($1, parent: $2.map(own), labels: $3) }
    wrapper.onCommit = { try await $0.commit(own($1), key: $2, labels: $3) }
  }

  // MARK: steps in another order, or left out

  static let orders: [Mutant] = [
    snapshots("LB30", "every layer is unpacked on nothing", kills: ["order.bottom-first"], symptom: "was prepared on") {
      $0.onPrepare = { base, key, _, labels in try await base.prepare(key, parent: nil, labels: labels) }
    },
    applier("LB31", "a layer is committed that was never applied", kills: ["order.applied-before-commit"], symptom: "without a successful apply") {
      _, layer, _, _, options in
      Descriptor(mediaType: layer.mediaType, digest: options.diffID ?? layer.digest, size: layer.size)
    },
    applier("LB32", "what the applier finds is not compared with the config", kills: ["order.applier-not-believed"], symptom: "it was committed") {
      base, layer, content, mounts, options in
      var applied = try await base.apply(layer, from: content, to: mounts, options: options)
      applied.digest = options.diffID ?? applied.digest
      return applied
    },
    applier("LB33", "no DiffID is verified", kills: ["order.wrong-diff-id"], symptom: "expected a failure, but it succeeded") {
      base, layer, content, mounts, options in
      var applied = try await base.apply(layer, from: content, to: mounts, options: ApplyOptions(sync: options.sync))
      applied.digest = options.diffID ?? applied.digest
      return applied
    },
    snapshots("LB34", "snapshots get names of the client's own", kills: ["order.diff-id-under-chain-id"], symptom: "the name is the ChainID of no layer") {
      renamed(&$0)
    },
    snapshots("LB35", "snapshots of the client's own names", kills: ["swap.same-snapshots"], symptom: "not there, expected Committed") { renamed(&$0) },
    snapshots("LB36", "a committed key is asked about once more", kills: ["order.committed-is-over"], symptom: "came after") {
      $0.onCommit = { base, name, key, labels in
        try await base.commit(name, key: key, labels: labels)
        do { _ = try await base.usage(key) } catch let error as ContainerdError where error.code == .notFound {}
      }
    },
    snapshots(
      "M122", "a pull asks for the mounts of the committed parent, to read it", kills: ["order.no-mounts-of-committed"],
      symptom: "asks for a committed snapshot"
    ) {
      $0.onPrepare = { base, key, parent, labels in
        if let parent { do { _ = try await base.mounts(parent) } catch let error as ContainerdError where error.code == .failedPrecondition {} }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
    },
    snapshots("LB37", "a snapshot is prepared for a look, and forgotten", kills: ["order.every-key-ends"], symptom: "neither committed nor removed") {
      $0.onCommit = { base, name, key, labels in
        try await base.commit(name, key: key, labels: labels)
        _ = try await base.prepare("look at \(name)", parent: name, labels: [:])
      }
    },
    mutant(
      "LB38", "layers are unpacked while their blobs are not yet in the store", kills: ["order.blob-before-apply"], symptom: "before its blob was committed"
    ) {
      subject in
      let unpack = subject.unpack
      subject.unpack = { reference, parts in
        var own = parts
        let store = InMemoryContentStore()
        own.content = store
        try await unpack(reference, own)
        let stored = Gathered<ContentInfo>()
        try await store.walk(.all) { stored.append($0) }
        for info in stored.items {
          let reader = try await store.reader(info.digest)
          let bytes = try await reader.read(at: 0, count: Int(info.size))
          await reader.close()
          let writer = try await parts.content.writer(ref: "late \(info.digest)", expected: IngestExpectation(digest: info.digest))
          try await writer.write(bytes, at: 0)
          _ = try await writer.commit(IngestExpectation(size: info.size, digest: info.digest), labels: info.labels)
        }
      }
    },
    snapshots("LB39", "a layer is prepared without looking whether it is there", kills: ["order.looks-first"], symptom: "came before any stat") {
      let prepared = Kept<Set<String>>([])
      $0.onPrepare = { base, key, parent, labels in
        if let name = labels["containerd.io/snapshot.ref"] { prepared.with { _ = $0.insert(name) } }
        return try await base.prepare(key, parent: parent, labels: labels)
      }
      $0.onStat = { base, key in
        if prepared.now.contains(key) { return try await base.stat(key) }
        throw ContainerdError.notFound("snapshot \(key)")
      }
    },
    snapshots("LB40", "who has a layer already is not believed", kills: ["order.there-without-us"], symptom: "must succeed failed") {
      $0.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          throw ContainerdError(.unknown, error.message)
        }
      }
    },
    snapshots("LB41", "a layer that somebody else has committed is an error", kills: ["order.somebody-was-faster"], symptom: "must succeed failed") {
      $0.onCommit = { base, name, key, labels in
        do { try await base.commit(name, key: key, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          throw ContainerdError(.unknown, error.message)
        }
      }
    },
    snapshots(
      "LB42", "whoever unpacks says more to a real backend", kills: ["swap.same-conversation"], symptom: "step"
    ) {
      $0.onPrepare = { base, key, parent, labels in
        let mounts = try await base.prepare(key, parent: parent, labels: labels)
        if mounts.first?.type != "fake" { _ = try await base.mounts(key) }
        return mounts
      }
    },
  ]

  // MARK: failures that are told wrongly, or leave something

  static let failures: [Mutant] = [
    between("LB50", "errors of the registry lose their class", kills: ["failures.class-of-registry"], symptom: "class that the caller saw") { parts in
      parts.registry = ResolverWrapper(parts.registry) {
        $0.onFetch = { base, descriptor, offset in
          StreamWrapper(
            base: try await blurred { try await base.fetch(descriptor, from: offset) }, onNext: { stream in try await blurred { try await stream.next() } })
        }
      }
    },
    content("LB51", "errors of the content store lose their class", kills: ["failures.class-of-content"], symptom: "class that the caller saw") {
      $0.onUpdate = { base, info, fields in try await blurred { try await base.update(info, fields: fields) } }
    },
    mutant("LB52", "an error is not told", kills: ["failures.class-of-*", "failures.removes-its-key"], symptom: "the caller was told of success") { subject in
      let unpack = subject.unpack
      subject.unpack = { reference, parts in
        do { try await unpack(reference, parts) } catch let error as ContainerdError where error.code == .permissionDenied {}
      }
    },
    snapshots("LB53", "errors of the snapshotter lose their class", kills: ["failures.class-of-snapshotter"], symptom: "class that the caller saw") {
      $0.onPrepare = { base, key, parent, labels in try await blurred { try await base.prepare(key, parent: parent, labels: labels) } }
      $0.onCommit = { base, name, key, labels in try await blurred { try await base.commit(name, key: key, labels: labels) } }
    },
    applier("LB54", "errors of the applier lose their class", kills: ["failures.class-of-applier"], symptom: "class that the caller saw") {
      base, layer, content, mounts, options in
      try await blurred { try await base.apply(layer, from: content, to: mounts, options: options) }
    },
    content(
      "LB55", "the writer of a blob that failed stays open",
      kills: ["failures.nothing-held-after-registry", "failures.nothing-held-after-content", "failures.cancelled"],
      symptom: "what was opened and not let go of"
    ) { $0.wrapWriters { $0.onClose = { _ in } } },
    between("LB56", "a stream is not stopped when the blob cannot be written", kills: ["failures.nothing-held-after-content"], symptom: "the stream of") {
      parts in
      parts.registry = ResolverWrapper(parts.registry) {
        $0.onFetch = { base, descriptor, offset in StreamWrapper(base: try await base.fetch(descriptor, from: offset), onCancel: { _ in }) }
      }
    },
    snapshots(
      "LB57", "the key of a layer that failed stays",
      kills: [
        "failures.nothing-held-after-snapshotter", "failures.nothing-held-after-applier", "failures.removes-its-key", "order.wrong-diff-id",
        "order.applier-not-believed",
      ], symptom: ""
    ) { $0.onRemove = { _, _ in } },
    snapshots("LB58", "keys that failed stay, and their names are used again", kills: ["retry.after-any-failure"], symptom: "failed again") {
      $0.onPrepare = { base, key, parent, labels in
        try await base.prepare("extract \(labels["containerd.io/snapshot.ref"] ?? key)", parent: parent, labels: labels)
      }
      $0.onCommit = { base, name, _, labels in try await base.commit(name, key: "extract \(name)", labels: labels) }
      $0.onRemove = { _, _ in }
    },
    mutant("LB59", "what went wrong last is told", kills: ["failures.first-cause"], symptom: "class that the caller saw") { subject in
      let unpack = subject.unpack
      subject.unpack = { reference, parts in
        let last = Kept<ContainerdError?>(nil)
        var parts = parts
        parts.snapshotter = SnapshotterWrapper(parts.snapshotter) {
          $0.onRemove = { base, key in
            do { try await base.remove(key) } catch let error as ContainerdError {
              last.set(error)
              throw error
            }
          }
        }
        do { try await unpack(reference, parts) } catch { throw last.now ?? error }
      }
    },
    snapshots(
      "LB60", "what is there is found only by the attempt that was told of its commit", kills: ["failures.lost-answers"],
      symptom: "the next attempt failed"
    ) {
      let told = Kept<Set<String>>([])
      $0.onCommit = { base, name, key, labels in
        try await base.commit(name, key: key, labels: labels)
        told.with { _ = $0.insert(name) }
      }
      $0.onStat = { base, key in
        guard told.now.contains(key) else { throw ContainerdError.notFound("snapshot \(key)") }
        return try await base.stat(key)
      }
    },
    content("LB61", "what has arrived of a blob is thrown away", kills: ["retry.resumes"], symptom: "from its beginning again") {
      $0.onWriter = { base, ref, expected in
        do { try await base.abort(ref: ref) } catch let error as ContainerdError where error.code == .notFound {}
        return try await base.writer(ref: ref, expected: expected)
      }
    },
    content("LB62", "a blob that somebody else is fetching is an error", kills: ["retry.one-for-two"], symptom: "one of two pulls of the same image failed") {
      $0.onWriter = { base, ref, expected in
        do { return try await base.writer(ref: ref, expected: expected) } catch let error as ContainerdError where error.code == .unavailable {
          throw ContainerdError(.aborted, error.message)
        }
      }
    },
    mutant("LB63", "a pull cannot be cancelled", kills: ["failures.cancelled"], symptom: "no answer within") { subject in
      let unpack = subject.unpack
      subject.unpack = { reference, parts in try await Task { try await unpack(reference, parts) }.value }
    },
  ]

  // MARK: what is left of another layer

  static let leftovers: [Mutant] = [
    between("LB70", "a file of the backend stays open", kills: ["leaves.no-descriptors"], symptom: "open after three more unpackings") { parts in
      if let root = parts.snapshotRoot { _ = try Files.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC).release() }
    },
    mutant("LB71", "a mount is left", kills: ["leaves.no-mounts", "leaves.no-mounts-after-failure"], symptom: "that were not there before") { subject in
      let place = subject.directory + "/left-mounted"
      subject.between { parts in
        parts.applier = ApplierWrapper(parts.applier) { base, layer, content, mounts, options in
          try Files.makeDirectories(place)
          try Mounts.mount(type: "tmpfs", source: "left", target: place, options: [])
          return try await base.apply(layer, from: content, to: mounts, options: options)
        }
      }
    },
  ]
}
