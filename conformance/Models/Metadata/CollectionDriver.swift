import ConformanceSuites
import Protocols

/// Does operations with real collections.
package struct CollectionDriver: Sendable {
  private let subject: CollectionSubject
  package init(_ subject: CollectionSubject) { self.subject = subject }

  package func perform(_ operation: CollectionOperation) async throws -> Came<CollectionAnswer> {
    try await Came<CollectionAnswer> { try await answer(operation) }
  }

  private func answer(_ operation: CollectionOperation) async throws -> CollectionAnswer {
    switch operation {
    case .create(.image, let name, let labels, let value): return .item(item(try await subject.images.create(image(name, labels, value))))
    case .create(.container, let name, let labels, let value): return .item(item(try await subject.containers.create(container(name, labels, value))))
    case .create(.lease, let name, let labels, _): return .item(item(try await subject.leases.create(LeaseRecord(id: name, labels: labels))))
    case .create(.namespace, let name, let labels, _):
      return .item(item(try await subject.namespaces.create(NamespaceRecord(name: subject.prefix + name, labels: labels))))
    case .get(.image, let name): return .item(item(try await subject.images.get(name)))
    case .get(.container, let name): return .item(item(try await subject.containers.get(name)))
    case .get(.lease, let name):
      guard let lease = try await subject.leases.list(FilterSet(parsing: ["id==\(name)"])).first else { throw ContainerdError.notFound("lease \(name)") }
      return .item(item(lease))
    case .get(.namespace, let name): return .item(item(try await subject.namespaces.get(subject.prefix + name)))
    case .update(.image, let name, let labels, let value, let mask):
      return .item(item(try await subject.images.update(image(name, labels, value), fields: fields(mask, "target"))))
    case .update(.container, let name, let labels, let value, let mask):
      return .item(item(try await subject.containers.update(container(name, labels, value), fields: fields(mask, "image"))))
    case .update(_, let name, let labels, _, let mask):
      return .item(item(try await subject.namespaces.update(NamespaceRecord(name: subject.prefix + name, labels: labels), fields: FieldMask(mask))))
    case .delete(.image, let name): try await subject.images.delete(name)
    case .delete(.container, let name): try await subject.containers.delete(name)
    case .delete(.lease, let name): try await subject.leases.delete(name)
    case .delete(.namespace, let name): try await subject.namespaces.delete(subject.prefix + name)
    case .list(.image): return .items(Set(try await subject.images.list(.all).map(item)))
    case .list(.container): return .items(Set(try await subject.containers.list(.all).map(item)))
    // What holds the case's namespace together is not the case's.
    case .list(.lease): return .items(Set(try await subject.leases.list(.all).map(item).filter { $0.name.utf8.count == 1 }))
    case .list(.namespace):
      return .items(Set(try await subject.namespaces.list().filter { $0.name.hasPrefix(subject.prefix) }.map(item).filter { $0.name.utf8.count == 1 }))
    case .hold(let lease, let blob): try await subject.leases.addResource(resource(blob), to: lease)
    case .letGo(let lease, let blob): try await subject.leases.deleteResource(resource(blob), from: lease)
    case .held(let lease):
      let held = try await subject.leases.resources(of: lease)
      return .held(Set(Self.numbers.filter { held.contains(resource($0)) }))
    }
    return .done
  }

  // MARK: numbers

  static let numbers = 1...3
  private func digest(_ number: Int) -> Digest { ContentModel.digest("number \(number)") }
  private func resource(_ number: Int) -> LeaseResource { LeaseResource(type: "content", id: digest(number).description) }
  private func fields(_ mask: [String], _ field: String) -> FieldMask { FieldMask(mask.map { $0 == CollectionModel.field ? field : $0 }) }

  private func image(_ name: String, _ labels: Labels, _ value: Int) -> ImageRecord {
    ImageRecord(
      name: name, labels: labels, target: Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digest(value), size: Int64(value)))
  }
  private func item(_ image: ImageRecord) -> CollectionModel.Item {
    .init(name: image.name, labels: image.labels, value: Self.numbers.first { digest($0) == image.target.digest } ?? -1)
  }
  private func container(_ name: String, _ labels: Labels, _ value: Int) -> ContainerRecord {
    ContainerRecord(
      id: name, labels: labels, image: "image \(value)", runtime: "io.containerd.runc.v2",
      spec: TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: bytes("{}")))
  }
  private func item(_ container: ContainerRecord) -> CollectionModel.Item {
    .init(name: container.id, labels: container.labels, value: Self.numbers.first { container.image == "image \($0)" } ?? -1)
  }
  private func item(_ lease: LeaseRecord) -> CollectionModel.Item { .init(name: lease.id, labels: lease.labels, value: 0) }
  private func item(_ namespace: NamespaceRecord) -> CollectionModel.Item {
    .init(name: String(namespace.name.dropFirst(subject.prefix.count)), labels: namespace.labels, value: 0)
  }
}
