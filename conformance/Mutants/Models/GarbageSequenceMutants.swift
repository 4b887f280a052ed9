import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of collectors that only some graphs show.
enum GarbageSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD31", "a collector follows references of references no further", symptom: "left after the") { wrapper in
      wrapper.onCollect = { base in
        let report = try await base.collectGarbage()
        let scope = Scope(namespace: "n", lease: nil)
        let content = try base.content(in: scope)
        let roots = Set(try await base.images(in: scope).list(.all).map(\.target.digest.description))
        let seen = Memory<[String: Labels]>([:])
        try await content.walk(.all) { info in seen.with { $0[info.digest.description] = info.labels } }
        let blobs = seen.value
        func children(_ digests: Set<String>) -> Set<String> {
          Set(
            digests.flatMap { digest in (blobs[digest] ?? [:]).filter { $0.key.hasPrefix("containerd.io/gc.ref.content") }.map(\.value) })
        }
        let second = children(roots)
        for digest in children(second) where !roots.contains(digest) && !second.contains(digest) && blobs[digest] != nil {
          try await content.delete(try Digest(parsing: digest))
        }
        return report
      }
    },
    mutant("MD32", "after an image was deleted the next collection does nothing", symptom: "left after the") { wrapper in
      let deleted = Memory(false)
      wrapper.wrapImages = { base, _, _ in
        ImageStoreWrapper(base) { images in
          images.onDelete = { base, name in
            try await base.delete(name)
            deleted.with { $0 = true }
          }
        }
      }
      wrapper.onCollect = { base in
        if deleted.with({ was in
          defer { was = false }
          return was
        }) {
          return GarbageReport()
        }
        return try await base.collectGarbage()
      }
    },
    mutant("MD33", "what two leases held is let go with the first of them", symptom: "left after the") { wrapper in
      let held = Memory<[String: Set<LeaseResource>]>([:])
      wrapper.wrapLeases = { base, _, _ in
        LeaseStoreWrapper(base) { leases in
          leases.onAdd = { base, resource, lease in
            try await base.addResource(resource, to: lease)
            held.with { _ = $0[lease, default: []].insert(resource) }
          }
          leases.onDelete = { base, lease in
            try await base.delete(lease)
            let gone = held.with { $0.removeValue(forKey: lease) } ?? []
            for other in try await base.list(.all) {
              for resource in gone where try await base.resources(of: other.id).contains(resource) {
                try await base.deleteResource(resource, from: other.id)
              }
            }
          }
        }
      }
    },
  ]

  static func mutant(_ id: String, _ sentence: String, symptom: String, _ change: @escaping @Sendable (inout MetadataWrapper) -> Void) -> Mutant {
    Mutant(id, sentence, in: .leases, kills: ["metadata.model.gc"], symptom: symptom, scope: ["metadata.model"]) {
      $0.wrap(MetadataSubject.self) { $0.store = MetadataWrapper($0.store, change) }
    }
  }
}
