import ConformanceKit
import ConformanceSuites
import Hashing
import Protocols

/// Faults of metadata stores: namespaces, images, containers, leases, collections, and the events about them.
enum MetadataMutants {
  static let all: [Mutant] = names + holds + garbage + told + controls

  static func mutant(
    _ id: String, _ sentence: String, in group: CaseGroup = .metadata, on base: String = "inproc:fake", kills: [String], symptom: String = "",
    threads: [String] = [], _ change: @escaping @Sendable (inout MetadataWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: group, on: base, kills: kills, symptom: symptom, threads: threads) {
      $0.wrap(MetadataSubject.self) { $0.store = MetadataWrapper($0.store, change) }
    }
  }

  static let controls: [Mutant] = [
    mutant("identity-metadata", "every call of a metadata store is handed on unchanged", kills: []) { wrapper in
      wrapper.wrapNamespaces = { NamespaceStoreWrapper($0) { _ in } }
      wrapper.wrapImages = { images, _, _ in ImageStoreWrapper(images) { _ in } }
      wrapper.wrapContainers = { containers, _ in ContainerStoreWrapper(containers) { _ in } }
      wrapper.wrapLeases = { leases, _, _ in LeaseStoreWrapper(leases) { _ in } }
      wrapper.wrapContent = { content, _, _ in ContentStoreWrapper(content) { $0.wrapWriters { _ in } } }
    },
    mutant("identity-leases", "every call of a metadata store is handed on unchanged", in: .leases, kills: []) { wrapper in
      wrapper.onCollect = { try await $0.collectGarbage() }
      wrapper.wrapLeases = { leases, _, _ in LeaseStoreWrapper(leases) { _ in } }
    },
    mutant("wordy-metadata", "a namespace store says more in its errors", kills: []) { wrapper in
      wrapper.wrapNamespaces = {
        NamespaceStoreWrapper($0) {
          $0.onDelete = { base, name in
            do { try await base.delete(name) } catch let error as ContainerdError { throw ContainerdError(error.code, "rpc 9: \(error.message) (see the log)") }
          }
        }
      }
    },
  ]

  static let names: [Mutant] = [
    mutant("namespaces-unsorted", "namespaces are listed in no order", kills: ["metadata.namespaces.life"], symptom: "names, sorted") {
      $0.wrapNamespaces = { NamespaceStoreWrapper($0) { $0.onList = { try await $0.list().reversed() } } }
    },
    mutant("namespaces-cut", "a namespace's name is cut to what fits", kills: ["metadata.namespaces.bad-names"], symptom: "it succeeded") {
      $0.wrapNamespaces = {
        NamespaceStoreWrapper($0) {
          $0.onCreate = { base, record in try await base.create(NamespaceRecord(name: String(record.name.prefix(76)), labels: record.labels)) }
        }
      }
    },
    mutant("namespaces-mask-all", "a mask of one label replaces all labels of a namespace", kills: ["metadata.namespaces.masks"], symptom: "labels") {
      $0.wrapNamespaces = {
        NamespaceStoreWrapper($0) {
          $0.onUpdate = { base, record, fields in
            try await base.update(record, fields: FieldMask(fields.paths.map { $0.hasPrefix("labels.") ? "labels" : $0 }))
          }
        }
      }
    },
    mutant("namespaces-forced", "a namespace is deleted with everything in it", kills: ["metadata.namespaces.held"], symptom: "it succeeded") {
      $0.wrapNamespaces = {
        NamespaceStoreWrapper($0) {
          $0.onDelete = { base, name in
            do { try await base.delete(name) } catch let error as ContainerdError where error.code == .failedPrecondition {}
          }
        }
      }
    },
    mutant("namespaces-mute", "a namespace that is not empty does not say what is in it", kills: ["metadata.namespaces.held"], symptom: "names neither") {
      $0.wrapNamespaces = {
        NamespaceStoreWrapper($0) {
          $0.onDelete = { base, name in
            do { try await base.delete(name) } catch let error as ContainerdError where error.code == .failedPrecondition {
              throw ContainerdError.failedPrecondition("namespace must be empty")
            }
          }
        }
      }
    },
    images("images-delete-nothing", "deleting an image that is not there succeeds", kills: ["metadata.images.life"], symptom: "a second deletion") {
      $0.onDelete = { base, name in do { try await base.delete(name) } catch let error as ContainerdError where error.code == .notFound {} }
    },
    images("images-no-size", "an image's target may be of no size", kills: ["metadata.images.bad"], symptom: "no size") {
      $0.onCreate = { base, image in
        var image = image
        if image.target.size == 0 { image.target.size = 1 }
        return try await base.create(image)
      }
    },
    images("images-list-all", "images are listed whatever the filter", kills: ["metadata.images.filters"], symptom: "images that match") {
      $0.onList = { base, _ in try await base.list(.all) }
    },
    images("images-target-too", "an update of labels moves the target too", kills: ["metadata.images.masks"], symptom: "target that the mask does not name") {
      $0.onUpdate = { base, image, fields in
        try await base.update(image, fields: FieldMask(fields.paths + (fields.paths.contains { $0.hasPrefix("labels") } ? ["target"] : [])))
      }
    },
    containers("containers-bare", "extensions of a container are lost", kills: ["metadata.containers.life"], symptom: "what create returns") {
      $0.onCreate = { base, container in
        var container = container
        container.extensions = [:]
        return try await base.create(container)
      }
    },
    containers("containers-no-spec", "a container needs no spec", kills: ["metadata.containers.bad"], symptom: "it succeeded") {
      $0.onCreate = { base, container in
        var container = container
        container.spec = container.spec ?? TypedValue(typeURL: "none", value: [])
        return try await base.create(container)
      }
    },
    containers("containers-runtime-moves", "an update of the runtime is passed over in silence", kills: ["metadata.containers.masks"], symptom: "it succeeded")
    {
      $0.onUpdate = { base, container, fields in
        let allowed = ["labels", "spec", "extensions", "image", "snapshotkey"]
        let kept = fields.paths.filter { path in allowed.contains { path == $0 || path.hasPrefix($0 + ".") } }
        if kept.isEmpty && !fields.isEmpty { return try await base.get(container.id) }
        return try await base.update(container, fields: FieldMask(kept))
      }
    },
    mutant(
      "M098", "whoever knows a digest reads a blob of another namespace", kills: ["metadata.scopes.apart"], symptom: "reader",
      threads: ["containerd/containerd#2889"]
    ) {
      $0.wrapContent = { content, store, scope in
        ContentStoreWrapper(content) {
          $0.onReader = { base, digest in
            do { return try await base.reader(digest) } catch let error as ContainerdError where error.code == .notFound {
              for other in try await store.namespaces.list() where other.name != scope.namespace {
                do { return try await store.content(in: Scope(namespace: other.name)).reader(digest) } catch let absent as ContainerdError
                  where absent.code == .notFound
                {}
              }
              throw error
            }
          }
        }
      }
    },
    mutant("scopes-delete-everywhere", "a blob that one namespace deletes is gone in all", kills: ["metadata.scopes.apart"], symptom: "blobs in one") {
      $0.wrapContent = { content, store, scope in
        ContentStoreWrapper(content) {
          $0.onDelete = { base, digest in
            try await base.delete(digest)
            for other in try await store.namespaces.list() where other.name != scope.namespace {
              do { try await store.content(in: Scope(namespace: other.name)).delete(digest) } catch let absent as ContainerdError where absent.code == .notFound
              {}
            }
          }
        }
      }
    },
    mutant("scopes-default-snapshotter", "an unknown snapshotter is the first one", kills: ["metadata.scopes.unknown-snapshotter"], symptom: "it succeeded") {
      $0.onSnapshotter = { base, name, scope in
        try base.snapshotter(base.snapshotterNames.contains(name) ? name : base.snapshotterNames.first ?? name, in: scope)
      }
    },
    mutant("scopes-default-namespace", "no namespace is a default one", kills: ["metadata.scopes.bad-namespace"], symptom: "it succeeded") {
      $0.onScope = { scope in
        var scope = scope
        if scope.namespace.isEmpty { scope.namespace = "default" }
        return scope
      }
    },
  ]

  static func images(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout ImageStoreWrapper) -> Void
  ) -> Mutant {
    mutant(id, sentence, kills: kills, symptom: symptom) { $0.wrapImages = { images, _, _ in ImageStoreWrapper(images, change) } }
  }

  static func containers(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout ContainerStoreWrapper) -> Void
  ) -> Mutant {
    mutant(id, sentence, kills: kills, symptom: symptom) { $0.wrapContainers = { containers, _ in ContainerStoreWrapper(containers, change) } }
  }
}
