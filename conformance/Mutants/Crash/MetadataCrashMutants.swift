import CLinux
import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

extension CrashMutants {
  /// Faults of metadata stores that were killed over a call, or ended.
  static let metadataFaults: [Mutant] = [
    metadata(
      "CR60", "an update of an image that is killed has changed its labels and not its target", kills: ["crash.metadata.images"], symptom: "image standing"
    ) {
      wrapper, ghosts, _ in
      wrapper.wrapImages = { images, _, _ in
        ImageStoreWrapper(images) {
          $0.onUpdate = { base, image, fields in
            do { return try await base.update(image, fields: fields) } catch {
              ghosts.interrupted.with { $0[image.name] = image.labels }
              throw error
            }
          }
          $0.onList = { base, filters in
            try await base.list(filters).map { image in
              var image = image
              if let labels = ghosts.interrupted.now[image.name], image.labels != labels { image.labels = labels }
              return image
            }
          }
        }
      }
    },
    metadata("CR61", "an id whose container was not made because of a kill is taken", kills: ["crash.metadata.containers"], symptom: "already exists") {
      wrapper, ghosts, _ in
      wrapper.wrapContainers = { containers, _ in
        ContainerStoreWrapper(containers) {
          $0.onCreate = { base, container in
            if ghosts.refs.now.contains(container.id) { throw ContainerdError.alreadyExists("container \(container.id)") }
            do { return try await base.create(container) } catch {
              ghosts.refs.with { _ = $0.insert(container.id) }
              throw error
            }
          }
        }
      }
    },
    metadata("CR62", "a lease is lost when a change of what it holds is killed", kills: ["crash.metadata.leases"], symptom: "lease second") {
      wrapper, ghosts, _ in
      wrapper.wrapLeases = { leases, _, _ in
        LeaseStoreWrapper(leases) {
          $0.onAdd = { base, resource, lease in
            do { try await base.addResource(resource, to: lease) } catch {
              ghosts.refs.with { _ = $0.insert(lease) }
              throw error
            }
          }
          $0.onList = { base, filters in try await base.list(filters).filter { !ghosts.refs.now.contains($0.id) } }
        }
      }
    },
    metadata("CR63", "an update of a namespace that is killed has changed half of its labels", kills: ["crash.metadata.namespaces"], symptom: "namespace n") {
      wrapper, ghosts, _ in
      wrapper.wrapNamespaces = { namespaces in
        NamespaceStoreWrapper(namespaces) {
          $0.onUpdate = { base, space, fields in
            do { return try await base.update(space, fields: fields) } catch {
              ghosts.interrupted.with { $0[space.name] = ["l": space.labels["l"] ?? ""] }
              throw error
            }
          }
          $0.onList = { base in try await base.list().map { NamespaceRecord(name: $0.name, labels: ghosts.interrupted.now[$0.name] ?? $0.labels) } }
        }
      }
    },
    metadata("CR64", "an update of a blob that is killed has changed half of its labels", kills: ["crash.metadata.blobs"], symptom: "blob") {
      wrapper, ghosts, _ in
      wrapper.wrapContent = { content, _, _ in
        ContentStoreWrapper(content) {
          $0.onUpdate = { base, info, fields in
            do { return try await base.update(info, fields: fields) } catch {
              ghosts.blobs.with { $0[info.digest] = info }
              throw error
            }
          }
          $0.onWalk = { base, filters, visit in
            try await base.walk(filters) { info in
              var info = info
              if ghosts.blobs.now[info.digest] != nil { info.labels = ["l": "2"] }
              try await visit(info)
            }
          }
        }
      }
    },
    metadata(
      "CR65", "a commit that is killed leaves both the active snapshot and the layer", kills: ["crash.metadata.snapshots"], symptom: "growing",
      threads: ["containerd/containerd#3671"]
    ) { wrapper, ghosts, _ in
      wrapper.wrapSnapshots = { snapshots, _, _ in
        SnapshotterWrapper(snapshots) {
          $0.onCommit = { base, name, key, labels in
            do { try await base.commit(name, key: key, labels: labels) } catch {
              ghosts.interrupted.with { $0[name] = ["key": key] }
              throw error
            }
          }
          $0.onWalk = { base, filters, visit in
            try await base.walk(filters) { info in
              try await visit(info)
              if let key = ghosts.interrupted.now[info.name]?["key"] {
                try await visit(SnapshotInfo(kind: .active, name: key, parent: info.parent, labels: ["old": "1"]))
              }
            }
          }
        }
      }
    },
    Mutant(
      "CR66", "after a collection that was killed something is gone that was in use", in: .crash, on: "inproc:metadata", kills: ["crash.metadata.collection"],
      symptom: "blob", scope: ["crash.metadata.collection"]
    ) { target in
      target.wrap(RestartMetadataSubject.self) { subject in
        let open = subject.open
        let killed = Kept(false)
        subject.process = ProcessWrapper(
          subject.process,
          .init(afterAgain: { _ in
            if !killed.now { return }
            killed.set(false)
            let store = try await open()
            try await store.store.content(in: Scope(namespace: "n")).delete(store.digest(Array("spare".utf8)))
          }))
        subject.open = {
          var store = try await open()
          store.store = MetadataWrapper(store.store) {
            $0.wrapLeases = { leases, _, _ in
              LeaseStoreWrapper(leases) {
                $0.onDelete = { base, id in
                  do { try await base.delete(id) } catch {
                    killed.set(true)
                    throw error
                  }
                }
              }
            }
          }
          return store
        }
      }
    },
    metadata("CR67", "a restart forgets the labels of images", kills: ["restart.metadata.everything"], symptom: "image image 0") { wrapper, _, process in
      wrapper.wrapImages = { images, _, _ in
        ImageStoreWrapper(images) {
          $0.onList = { base, filters in
            try await base.list(filters).map { image in
              var image = image
              if process.starts.now > 1 { image.labels = [:] }
              return image
            }
          }
        }
      }
    },
    anew("CR68", "a damaged database is replaced by an empty one", kills: ["restart.metadata.corrupt-database"], symptom: "0 of the"),
    anew("CR69", "a database of a later version is replaced by one of ours", kills: ["restart.metadata.newer-database"], symptom: "succeeded"),
  ]

  private static func metadata(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout MetadataWrapper, ContentGhosts, ProcessWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .crash, on: "inproc:metadata", kills: kills, symptom: symptom, scope: kills, threads: threads) { target in
      target.wrap(RestartMetadataSubject.self) { subject in
        let process = ProcessWrapper(subject.process)
        let ghosts = ContentGhosts()
        let open = subject.open
        subject.process = process
        subject.open = {
          var store = try await open()
          store.store = MetadataWrapper(store.store) { change(&$0, ghosts, process) }
          return store
        }
      }
    }
  }

  /// A start that is refused is made to succeed, on nothing.
  private static func anew(_ id: String, _ sentence: String, kills: [String], symptom: String) -> Mutant {
    Mutant(id, sentence, in: .crash, on: "inproc:metadata", kills: kills, symptom: symptom, scope: kills) { target in
      target.wrap(RestartMetadataSubject.self) { subject in
        subject.process = ProcessWrapper(
          subject.process,
          .init(onRefused: { process, start, refused in
            if refused.end == .killed(by: SIGKILL) { throw refused }
            for name in try Files.names(in: process.root) { try Files.removeTree("\(process.root)/\(name)") }
            try await process.start(start)
          }))
      }
    }
  }
}
