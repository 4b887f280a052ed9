import ConformanceKit
import ConformanceModels
import ConformanceSuites
import Protocols

/// Faults of named collections that only sequences of calls, or several clients, show.
enum CollectionSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD41", "a lease made anew holds what the one of its name held before", symptom: "resources of lease") { subject in
      let before = Memory<[String: [LeaseResource]]>([:])
      subject.leases = LeaseStoreWrapper(subject.leases) { leases in
        leases.onDelete = { base, id in
          let held = try await base.resources(of: id)
          try await base.delete(id)
          before.with { $0[id] = held }
        }
        leases.onCreate = { base, lease in
          let made = try await base.create(lease)
          for resource in before.with({ $0.removeValue(forKey: lease.id) }) ?? [] { try await base.addResource(resource, to: lease.id) }
          return made
        }
      }
    },
    mutant("MD42", "the second update of a container's image takes its labels too", symptom: "update container") { subject in
      let updated = Memory<Set<String>>([])
      subject.containers = ContainerStoreWrapper(subject.containers) { containers in
        containers.onUpdate = { base, container, fields in
          let first = updated.with { $0.insert(container.id).inserted }
          if first || !fields.paths.contains("image") { return try await base.update(container, fields: fields) }
          return try await base.update(container, fields: ["labels", "image"])
        }
      }
    },
    mutant("MD43", "labels of a deleted namespace are there again when it is", symptom: "namespace") { subject in
      let before = Memory<[String: Labels]>([:])
      subject.namespaces = NamespaceStoreWrapper(subject.namespaces) { namespaces in
        namespaces.onDelete = { base, name in
          let labels = try await base.get(name).labels
          try await base.delete(name)
          before.with { $0[name] = labels }
        }
        namespaces.onCreate = { base, namespace in
          var namespace = namespace
          namespace.labels.merge(before.with { $0.removeValue(forKey: namespace.name) } ?? [:]) { new, _ in new }
          return try await base.create(namespace)
        }
      }
    },
  ]

  private static func mutant(_ id: String, _ sentence: String, symptom: String, _ change: @escaping @Sendable (inout CollectionSubject) -> Void) -> Mutant {
    Mutant(id, sentence, in: .metadata, kills: ["metadata.model.names"], symptom: symptom, scope: ["metadata.model"]) {
      $0.wrap(CollectionSubject.self) { change(&$0) }
    }
  }
}

enum CollectionRaceMutants {
  static let all: [Mutant] = [
    mutant("MD44", "an image's update reads, waits and writes everything: of two at the same time one is lost") { subject in
      subject.images = ImageStoreWrapper(subject.images) { images in
        images.onUpdate = { base, image, fields in
          var whole = try await base.get(image.name)
          if fields.paths.isEmpty || fields.paths.contains("target") { whole.target = image.target }
          if fields.paths != ["target"] { whole.labels = FieldMask(fields.paths.filter { $0 != "target" }).updatedLabels(of: whole.labels, from: image.labels) }
          await SnapshotRaceMutants.pause()
          return try await base.update(whole, fields: .all)
        }
      }
    },
    mutant("MD45", "two that make one lease at the same time both get it") { subject in
      let making = Memory<[String: Int]>([:])
      subject.leases = LeaseStoreWrapper(subject.leases) { leases in
        leases.onCreate = { base, lease in
          making.with { $0[lease.id, default: 0] += 1 }
          defer { making.with { $0[lease.id, default: 1] -= 1 } }
          await SnapshotRaceMutants.pause()
          do { return try await base.create(lease) } catch let error as ContainerdError {
            if error.code == .alreadyExists, making.value[lease.id, default: 0] > 1 { return lease }
            throw error
          }
        }
      }
    },
    mutant("MD46", "an update of a container's labels writes back the image that it had read before") { subject in
      subject.containers = ContainerStoreWrapper(subject.containers) { containers in
        containers.onUpdate = { base, container, fields in
          if fields.paths.isEmpty || fields.paths.contains("image") { return try await base.update(container, fields: fields) }
          var whole = container
          whole.image = try await base.get(container.id).image
          await SnapshotRaceMutants.pause()
          return try await base.update(whole, fields: FieldMask(fields.paths + ["image"]))
        }
      }
    },
    mutant("MD47", "a resource that is added while another is added to the same lease is forgotten") { subject in
      let adding = Memory<[String: Int]>([:])
      subject.leases = LeaseStoreWrapper(subject.leases) { leases in
        leases.onAdd = { base, resource, lease in
          let others = adding.with { adding in
            adding[lease, default: 0] += 1
            return adding[lease, default: 0] > 1
          }
          defer { adding.with { $0[lease, default: 1] -= 1 } }
          await SnapshotRaceMutants.pause()
          if others, try await !base.list(FilterSet(parsing: ["id==\(lease)"])).isEmpty { return }
          try await base.addResource(resource, to: lease)
        }
      }
    },
    mutant("MD48", "of two deletions of one namespace at the same time both succeed") { subject in
      let deleting = Memory<[String: Int]>([:])
      subject.namespaces = NamespaceStoreWrapper(subject.namespaces) { namespaces in
        namespaces.onDelete = { base, name in
          deleting.with { $0[name, default: 0] += 1 }
          await SnapshotRaceMutants.pause()
          let alone = deleting.value[name, default: 0] < 2
          defer { deleting.with { $0[name, default: 1] -= 1 } }
          do { try await base.delete(name) } catch { if alone { throw error } }
        }
      }
    },
  ]

  private static func mutant(_ id: String, _ sentence: String, _ change: @escaping @Sendable (inout CollectionSubject) -> Void) -> Mutant {
    Mutant(
      id, sentence, in: .concurrency, kills: ["metadata.model.linearizable"], symptom: "answers that some order", scope: ["metadata.model"]
    ) { $0.wrap(CollectionSubject.self) { change(&$0) } }
  }
}
