import CLinux
import ConformanceBoundarySuites
import ConformanceKit
import ConformanceSuites
import InMemoryFakes
import Protocols
import SystemKit

/// Pipelines that know, touch or leave what is none of theirs.
enum BoundaryMutants {
  static let all: [Mutant] = pulls + knowledge + mounts + orders + failures + leftovers + controls

  static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout PipelineSubject) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .boundaries, on: "inproc:pipeline", kills: kills.map { "boundaries.\($0)" }, symptom: symptom, threads: threads) {
      $0.wrap(PipelineSubject.self) { change(&$0) }
    }
  }

  /// Something stands between the pipeline and its parts.
  static func between(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout PipelineParts) throws -> Void
  ) -> Mutant {
    mutant(id, sentence, kills: kills, symptom: symptom, threads: threads) { $0.between(change) }
  }

  static func snapshots(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void
  ) -> Mutant {
    between(id, sentence, kills: kills, symptom: symptom, threads: threads) { $0.snapshotter = SnapshotterWrapper($0.snapshotter, change) }
  }

  static func content(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout ContentStoreWrapper) -> Void
  ) -> Mutant {
    between(id, sentence, kills: kills, symptom: symptom, threads: threads) { $0.content = ContentStoreWrapper($0.content, change) }
  }

  static func applier(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [], _ apply: @escaping ApplierWrapper.Applying
  ) -> Mutant {
    between(id, sentence, kills: kills, symptom: symptom, threads: threads) { $0.applier = ApplierWrapper($0.applier, apply) }
  }

  /// Every error of the body becomes one that says nothing.
  static func blurred<Value>(_ body: () async throws -> Value) async throws -> Value {
    do { return try await body() } catch let error as ContainerdError where error.code != .notFound && error.code != .alreadyExists {
      throw ContainerdError(.unknown, "something went wrong: \(error.message)")
    }
  }

  // MARK: pulls that reach into storage

  private static func fetching(_ subject: inout PipelineSubject, _ before: @escaping @Sendable (PipelineParts) async throws -> Void) {
    let fetch = subject.fetch
    subject.fetch = { reference, parts in
      try await before(parts)
      try await fetch(reference, parts)
    }
  }

  private static let pulls: [Mutant] = [
    mutant(
      "LB01", "a pull asks the snapshotter whether the image is there already", kills: ["pull.registry-and-content-alone"],
      symptom: "a pull called snapshots.stat"
    ) {
      fetching(&$0) { parts in
        do { _ = try await parts.snapshotter.stat("the image") } catch let error as ContainerdError where error.code == .notFound {}
      }
    },
    mutant(
      "LB02", "a pull wants to see the backend's directory", kills: ["pull.storage-invisible"], symptom: "with an empty read-only file system over"
    ) {
      fetching(&$0) { parts in
        if let root = parts.snapshotRoot, !Files.exists(root + "/snapshots") { throw ContainerdError.failedPrecondition("\(root) is no storage") }
      }
    },
    mutant("LB03", "a pull lists the backend's directory", kills: ["pull.storage-not-looked-at"], symptom: "was opened") {
      fetching(&$0) { parts in if let root = parts.snapshotRoot { _ = try Files.names(in: root) } }
    },
    mutant("LB04", "a pull tidies the backend's directory up", kills: ["pull.storage-not-looked-at"], symptom: "was") {
      fetching(&$0) { parts in
        if let root = parts.snapshotRoot { try Files.writeAtomically(Array("pulled".utf8), to: root + "/snapshots/last-pull") }
      }
    },
    between("LB05", "a blob is asked for twice", kills: ["pull.blob-by-blob"], symptom: "was fetched") { parts in
      parts.registry = ResolverWrapper(parts.registry) {
        $0.onFetch = { base, descriptor, offset in
          await (try await base.fetch(descriptor, from: offset)).cancel()
          return try await base.fetch(descriptor, from: offset)
        }
      }
    },
    content("LB06", "what a manifest refers to is not labelled", kills: ["pull.references-first"], symptom: "never got labels") {
      $0.onUpdate = { base, info, fields in
        if info.labels.keys.contains(where: { $0.contains("gc.ref.content") }) { return try await base.info(info.digest) }
        return try await base.update(info, fields: fields)
      }
    },
    content("LB07", "a manifest's labels leave out one layer", kills: ["pull.references-first"], symptom: "no label of the manifest refers to") {
      $0.onUpdate = { base, info, fields in
        var info = info
        info.labels["containerd.io/gc.ref.content.l.1"] = nil
        return try await base.update(info, fields: FieldMask(fields.paths.filter { $0 != "labels.containerd.io/gc.ref.content.l.1" }))
      }
    },
    mutant("LB08", "a pull looks into what it has stored", kills: ["pull.opens-no-layer"], symptom: "the pull opened layers") { subject in
      let fetch = subject.fetch
      subject.fetch = { reference, parts in
        try await fetch(reference, parts)
        let stored = Gathered<Digest>()
        try await parts.content.walk(.all) { stored.append($0.digest) }
        for digest in stored.items { await (try await parts.content.reader(digest)).close() }
      }
    },
    mutant(
      "LB09", "a pull keeps the blobs beside itself, and not in the store that it was given",
      kills: ["pull.distant-content", "pull.registry-and-content-alone"],
      symptom: ""
    ) { $0.between { $0.content = InMemoryContentStore() } },
  ]

  // MARK: parts that are told too much

  private static let knowledge: [Mutant] = [
    between("LB10", "the registry is told where the tree will be", kills: ["knows.registry"], symptom: "the registry was told") { parts in
      parts.registry = ResolverWrapper(parts.registry) {
        $0.onFetch = { base, descriptor, offset in
          var descriptor = descriptor
          descriptor.annotations["target"] = "/var/lib/containerd/snapshots/1/fs"
          return try await base.fetch(descriptor, from: offset)
        }
      }
    },
    content("LB11", "the content store is told paths", kills: ["knows.content"], symptom: "the content store was told the path") {
      $0.onWriter = { base, ref, expected in try await base.writer(ref: "/var/lib/containerd/ingest/\(ref)", expected: expected) }
    },
    between("LB12", "the content store is told the keys of snapshots", kills: ["knows.content"], symptom: "the content store was told") { parts in
      let key = Kept("")
      let content = parts.content
      parts.snapshotter = SnapshotterWrapper(parts.snapshotter) {
        $0.onPrepare = { base, name, parent, labels in
          key.set(name)
          return try await base.prepare(name, parent: parent, labels: labels)
        }
      }
      parts.applier = ApplierWrapper(parts.applier) { base, layer, provider, mounts, options in
        _ = try await content.update(ContentInfo(digest: layer.digest, labels: ["unpacked-by": key.now]), fields: ["labels.unpacked-by"])
        return try await base.apply(layer, from: provider, to: mounts, options: options)
      }
    },
    snapshots("LB13", "the snapshotter is told which image it serves", kills: ["knows.snapshotter"], symptom: "the snapshotter was told") {
      $0.onPrepare = { base, key, parent, labels in
        try await base.prepare(key, parent: parent, labels: labels.merging(["media-type": "application/vnd.oci.image.layer.v1.tar+gzip"]) { $1 })
      }
    },
    between("LB14", "the applier is told the snapshot's key", kills: ["knows.applier"], symptom: "the applier was told") { parts in
      let key = Kept("")
      parts.snapshotter = SnapshotterWrapper(parts.snapshotter) {
        $0.onPrepare = { base, name, parent, labels in
          key.set(name)
          return try await base.prepare(name, parent: parent, labels: labels)
        }
      }
      parts.applier = ApplierWrapper(parts.applier) { base, layer, content, mounts, options in
        var layer = layer
        layer.annotations["key"] = key.now
        return try await base.apply(layer, from: content, to: mounts, options: options)
      }
    },
    content("LB15", "what is there is fetched again", kills: ["knows.unpack-without-registry", "retry.nothing-twice"], symptom: "registry.fetch") {
      $0.onWriter = { base, ref, expected in
        if let digest = expected.digest {
          do { try await base.delete(digest) } catch let error as ContainerdError where error.code == .notFound {}
        }
        return try await base.writer(ref: ref, expected: expected)
      }
    },
  ]

  private static func upper(_ mounts: [Mount]) -> String? {
    mounts.first?.options.first { $0.hasPrefix("upperdir=") }.map { String($0.dropFirst("upperdir=".count)) }
  }

  // MARK: mounts that are read

  private static let mounts: [Mutant] = [
    applier(
      "LB20", "whoever unpacks takes the directory out of `upperdir=`", kills: ["mounts.unread", "swap.same-tree"], symptom: ""
    ) { base, layer, content, mounts, options in
      let seen = upper(mounts).map { [Mount(type: "bind", source: $0, options: ["rbind", "rw"])] } ?? mounts
      return try await base.apply(layer, from: content, to: seen, options: options)
    },
    applier("LB21", "an option of the mounts is dropped", kills: ["mounts.unread"], symptom: "the mounts that the applier got") {
      base, layer, content, mounts, options in
      let fewer = mounts.map { mount in
        var mount = mount
        mount.options.removeAll { $0.hasPrefix("workdir=") }
        return mount
      }
      return try await base.apply(layer, from: content, to: fewer, options: options)
    },
    applier("LB22", "whoever unpacks looks into `upperdir=` first", kills: ["mounts.options-not-followed"], symptom: "was opened") {
      base, layer, content, mounts, options in
      if let upper = upper(mounts) { _ = try Files.names(in: upper) }
      return try await base.apply(layer, from: content, to: mounts, options: options)
    },
    applier("LB23", "only the first of several mounts is handed on", kills: ["mounts.whole"], symptom: "the mounts that the applier got") {
      base, layer, content, mounts, options in
      try await base.apply(layer, from: content, to: Array(mounts.prefix(1)), options: options)
    },
    applier("LB24", "several mounts are handed on in another order", kills: ["mounts.whole"], symptom: "the mounts that the applier got") {
      base, layer, content, mounts, options in
      try await base.apply(layer, from: content, to: mounts.reversed(), options: options)
    },
    applier("LB19", "a mount's place below the root is forgotten", kills: ["mounts.targets"], symptom: "the targets of the mounts") {
      base, layer, content, mounts, options in
      let flat = mounts.map { Mount(type: $0.type, source: $0.source, options: $0.options) }
      return try await base.apply(layer, from: content, to: flat, options: options)
    },
    between("LB25", "the daemon takes the mounts and gives the runtime a directory", kills: ["mounts.run-hands-on"], symptom: "the mounts that the runtime got")
    {
      parts in
      parts.runtime = RuntimeWrapper(parts.runtime) {
        $0.onCreate = { base, request in
          var request = request
          request.rootfs = [Mount(type: "bind", source: "/run/containerd/mounted", options: ["rbind"])]
          return try await base.create(request)
        }
      }
    },
    mutant("LB26", "the daemon performs a mount before it calls the runtime", kills: ["mounts.run-hands-on"], symptom: "mounts that were there") { subject in
      let place = subject.directory + "/performed"
      subject.between { parts in
        parts.runtime = RuntimeWrapper(parts.runtime) {
          $0.onCreate = { base, request in
            try Files.makeDirectories(place)
            try Mounts.mount(type: "tmpfs", source: "rootfs", target: place, options: [])
            do {
              let task = try await base.create(request)
              try Mounts.unmount(place)
              return task
            } catch {
              try Mounts.unmount(place)
              throw error
            }
          }
        }
      }
    },
    mutant("LB27", "the runtime is told the image's snapshot", kills: ["mounts.run-knows-nothing-else"], symptom: "the runtime was told") { subject in
      guard let run = subject.run else { return }
      subject.run = { snapshot, parts in
        var parts = parts
        parts.runtime = RuntimeWrapper(parts.runtime) {
          $0.onCreate = { base, request in
            var request = request
            request.runtime += "?snapshot=\(snapshot)"
            return try await base.create(request)
          }
        }
        try await run(snapshot, parts)
      }
    },
    mutant("LB28", "the snapshot of a container that is gone stays", kills: ["mounts.run-knows-nothing-else"], symptom: "active snapshots after") { subject in
      guard let run = subject.run else { return }
      subject.run = { snapshot, parts in
        var parts = parts
        parts.snapshotter = SnapshotterWrapper(parts.snapshotter) { $0.onRemove = { _, _ in } }
        try await run(snapshot, parts)
      }
    },
    between(
      "M121", "the applier guesses where the tree is, and writes there", kills: ["mounts.applier-writes-where-told", "swap.same-tree"],
      symptom: "the tree lacks"
    ) { parts in
      guard let root = parts.snapshotRoot else { return }
      let number = Kept(0)
      parts.applier = ApplierWrapper(parts.applier) { base, layer, content, _, options in
        number.set(number.now + 1)
        let place = "\(root)/snapshots/guess-\(number.now)/fs"
        try Files.makeDirectories(place)
        return try await base.apply(layer, from: content, to: [Mount(type: "bind", source: place, options: ["rbind", "rw"])], options: options)
      }
    },
    between(
      "LB29", "whoever unpacks notes in the backend's directory what it has done", kills: ["mounts.changes-are-attributable"], symptom: "appeared before"
    ) { parts in
      guard let root = parts.snapshotRoot else { return }
      parts.content = ContentStoreWrapper(parts.content) {
        $0.onUpdate = { base, info, fields in
          try Files.writeAtomically(Array("done".utf8), to: "\(root)/snapshots/\(info.digest.hex)")
          return try await base.update(info, fields: fields)
        }
      }
    },
  ]

  private static let controls: [Mutant] = [
    Mutant("identity-pipeline", "every part is handed on through a wrapper", in: .boundaries, on: "inproc:pipeline", kills: []) {
      $0.wrap(PipelineSubject.self) {
        $0.between { parts in
          parts.registry = ResolverWrapper(parts.registry) { $0.onFetch = { StreamWrapper(base: try await $0.fetch($1, from: $2)) } }
          parts.content = ContentStoreWrapper(parts.content)
          parts.snapshotter = SnapshotterWrapper(parts.snapshotter)
          parts.applier = ApplierWrapper(parts.applier) { try await $0.apply($1, from: $2, to: $3, options: $4) }
        }
      }
    },
    Mutant("slow-pipeline", "every commit takes its time", in: .boundaries, on: "inproc:pipeline", kills: [], scope: ["boundaries.order", "boundaries.knows"]) {
      $0.wrap(PipelineSubject.self) {
        $0.between { parts in
          parts.snapshotter = SnapshotterWrapper(parts.snapshotter) {
            $0.onCommit = { base, name, key, labels in
              try await Task.sleep(for: .milliseconds(30))
              try await base.commit(name, key: key, labels: labels)
            }
          }
        }
      }
    },
    Mutant(
      "extra-labels-pipeline", "snapshots get a label more, and blobs are asked about once more", in: .boundaries, on: "inproc:pipeline", kills: [],
      scope: ["boundaries.order", "boundaries.knows", "boundaries.mounts", "boundaries.pull"]
    ) {
      $0.wrap(PipelineSubject.self) {
        $0.between { parts in
          parts.snapshotter = SnapshotterWrapper(parts.snapshotter) {
            $0.onPrepare = { base, key, parent, labels in try await base.prepare(key, parent: parent, labels: labels.merging(["note": "extra"]) { $1 }) }
          }
          parts.content = ContentStoreWrapper(parts.content) {
            $0.onUpdate = { base, info, fields in
              _ = try await base.info(info.digest)
              return try await base.update(info, fields: fields)
            }
          }
        }
      }
    },
  ]
}
