import BlockingIO
import CLinux
import ConformanceSuites
import Protocols
import SystemKit

extension BoundarySuite {
  static let pulling: [ContractCase<PipelineSubject>] = [
    ContractCase(
      "boundaries.pull.registry-and-content-alone", "a pull talks to the registry and the content store, and to nobody else", "\(law) 2; LB-01; LAW-02",
      why: "images cannot be fetched where there is no storage backend: on a build server, before the backend is up, for another machine"
    ) { subject in
      try await subject.scene { scene in
        try await scene.fetch()
        let strangers = scene.tape.calls.filter { ![.registry, .content].contains($0.part) }
        try expect(strangers.isEmpty, "a pull called \(strangers.prefix(3).map(\.description).joined(separator: "; "))")
        let holdings = try await scene.holdings()
        for descriptor in scene.image.descriptors { try expect(holdings.blobs["\(descriptor.digest)"] != nil, "the store has no \(descriptor.digest)") }
        try expectEqual(holdings.snapshots, [:], "snapshots after a pull")
      }
    },
    ContractCase(
      "boundaries.pull.storage-invisible", "a pull succeeds where the snapshotter's directory is not to be seen", "\(law) 2; LB-01; LAW-02", needs: [.files],
      why: "a pull that needs the backend's directory cannot run in another container, or as another user, than the backend"
    ) { subject in
      try await subject.scene(PipelineChoice(registry: .real, content: .real, snapshots: .real, applier: .real)) { scene in
        let root = try storage(of: scene)
        try await scene.raw.snapshotter.commit("there before", key: try await prepared("before", in: scene), labels: [:])
        try await DedicatedThread.run { try Mounts.mount(type: "tmpfs", source: "nothing", target: root, options: ["ro", "size=4k", "mode=000"]) }
        let failure: ContainerdError?
        do { failure = try await scene.failure { try await scene.fetch() } } catch {
          try Mounts.unmount(root)
          throw error
        }
        try Mounts.unmount(root)
        try expect(
          failure == nil, "with an empty read-only file system over \(root) the pull failed: \(failure?.description ?? "")")
        let holdings = try await scene.holdings()
        for descriptor in scene.image.descriptors { try expect(holdings.blobs["\(descriptor.digest)"] != nil, "the store has no \(descriptor.digest)") }
      }
    },
    ContractCase(
      "boundaries.pull.storage-not-looked-at", "a pull opens nothing in the snapshotter's directory", "\(law) 2; LB-01, LB-02; LAW-02", needs: [.files],
      why: "whoever reads a backend's directory depends on its layout: the next backend, or the next version, breaks every pull"
    ) { subject in
      try await subject.scene(PipelineChoice(snapshots: .real, applier: .real)) { scene in
        let root = try storage(of: scene)
        try await scene.raw.snapshotter.commit("there before", key: try await prepared("before", in: scene), labels: [:])
        let watched = try await DedicatedThread.run { try WatchedDirectory([root]) }
        try await scene.fetch()
        let seen = try watched.seen()
        try expect(seen.isEmpty, "during a pull \(seen.prefix(4).joined(separator: ", "))")
      }
    },
    ContractCase(
      "boundaries.pull.blob-by-blob", "each blob is opened in the store, then fetched, then committed; and fetched once",
      "\(law) 2; ContentStore; LAW-02, CON-01",
      needs: [.inProcess], why: "a blob that is fetched before the store wants it is fetched in vain; one fetched twice costs twice"
    ) { subject in
      try await subject.scene { scene in
        try await scene.fetch()
        let calls = scene.tape.calls
        for descriptor in scene.image.descriptors {
          let digest = "\(descriptor.digest)"
          let fetches = calls.filter { $0.name == "registry.fetch" && $0.arguments[0] == digest }
          try expectEqual(fetches.count, 1, "how often \(digest) was fetched")
          let opened = calls.first { $0.name == "content.writer" && $0.arguments.contains(digest) }
          let committed = calls.first { $0.name == "content.commit" && ($0.answer == digest) }
          guard let opened, let committed else { throw Mismatch(description: "\(digest) was never opened and committed in the content store") }
          try expect(opened.isBefore(fetches[0]), "\(digest) was fetched before the store was asked for a writer")
          try expect(fetches[0].isBefore(committed), "\(digest) was committed before it was fetched")
        }
      }
    },
    ContractCase(
      "boundaries.pull.references-first", "what a manifest refers to is labelled before the first of it is fetched", "\(law) 8; gc.ref.content; GC-02; LAW-08",
      needs: [.inProcess], why: "a collection in the middle of a pull removes what has just arrived", threads: ["containerd/containerd#10720"]
    ) { subject in
      try await subject.scene { scene in
        try await scene.fetch()
        let calls = scene.tape.calls
        let manifest = "\(scene.image.manifest.descriptor.digest)"
        let labelled = calls.first { $0.name == "content.update" && $0.arguments[0] == manifest && $0.arguments.contains { $0.contains("gc.ref.content") } }
        guard let labelled else { throw Mismatch(description: "the manifest never got labels containerd.io/gc.ref.content") }
        for descriptor in scene.image.descriptors.dropFirst() {
          let held = labelled.arguments.contains { $0.hasSuffix("=\(descriptor.digest)") }
          try expect(held, "no label of the manifest refers to \(descriptor.digest) (\(descriptor.mediaType))")
          let fetched = calls.first { $0.name == "registry.fetch" && $0.arguments[0] == "\(descriptor.digest)" }
          try expect(fetched.map(labelled.isBefore) ?? true, "\(descriptor.digest) was fetched before the manifest's label referred to it")
        }
      }
    },
    ContractCase(
      "boundaries.pull.opens-no-layer", "a pull never reads a layer back", "\(law) 2; LAW-02",
      why: "a pull that looks into layers needs to know every form of them, also those that only the snapshotter understands"
    ) { subject in
      try await subject.scene { scene in
        try await scene.fetch()
        let layers = Set(scene.image.layers.map { "\($0.descriptor.digest)" })
        let read = scene.tape.calls.filter { $0.name == "content.reader" && layers.contains($0.arguments[0]) }
        try expect(read.isEmpty, "the pull opened layers: \(read.map(\.description).joined(separator: "; "))")
      }
    },
    ContractCase(
      "boundaries.pull.distant-content", "a pull works with a content store in another process with which it shares no files",
      "\(law) 1, 2; LB-06; LAW-01, LAW-02",
      needs: [.inProcess, .files], why: "a client on the other side of a socket, in a container or a virtual machine, could not pull"
    ) { subject in
      guard let open = subject.distantContent else { throw CaseSkipped(.tool, "there is no program that serves a content store") }
      let content = try await open()
      // A store that lives longer than this case must not have the image already.
      let image = PipelineImage(salt: Int.random(in: 2...Int.max / 4))
      try await subject.scene(image: image, change: { $0.content = content }) { scene in
        try await scene.fetch()
        for (descriptor, bytes) in scene.image.blobs {
          let reader = try await content.reader(descriptor.digest)
          let found = try await reader.read(at: 0, count: Int(descriptor.size))
          await reader.close()
          try expect(found == bytes, "of \(descriptor.digest) the distant store has \(found.count) bytes that are not the blob's")
        }
      }
    },
  ]

  static func storage(of scene: BoundaryScene) throws -> String {
    guard let root = scene.raw.snapshotRoot else { throw CaseSkipped(.capability, "the snapshotter has no directory that the suite knows") }
    return root
  }

  private static func prepared(_ key: String, in scene: BoundaryScene) async throws -> String {
    _ = try await scene.raw.snapshotter.prepare(key, parent: nil, labels: [:])
    return key
  }
}
