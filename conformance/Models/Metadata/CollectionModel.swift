import Protocols

/// Images, containers, leases and namespaces by their names: what the collections of a metadata store must answer.
package struct CollectionModel: SequentialModel {
  package typealias Kind = CollectionOperation.Kind
  package struct Item: Hashable, Sendable, CustomStringConvertible {
    package var name: String
    package var labels: Labels
    /// What an image stands for, or which image a container has; 0 for others.
    package var value: Int
    package var description: String { "\"\(name)\"\(value == 0 ? "" : " (\(value))")\(labels.isEmpty ? "" : " " + described(labels))" }
  }
  package private(set) var items: [Kind: [String: Item]] = [:]
  /// Blobs by lease.
  package private(set) var held: [String: Set<Int>] = [:]
  private let emptyNamespaces: Bool
  package init(emptyNamespaces: Bool = false) { self.emptyNamespaces = emptyNamespaces }

  package func names(_ kind: Kind) -> [String] { (items[kind] ?? [:]).keys.sorted() }

  package mutating func expects(_ operation: CollectionOperation) -> Expectation<CollectionAnswer> {
    switch operation {
    case .create(let kind, let name, let labels, let value):
      if items[kind]?[name] != nil { return .failure([.alreadyExists]) }
      let item = Item(name: name, labels: labels, value: Self.hasValue(kind) ? value : 0)
      items[kind, default: [:]][name] = item
      return .answer(.item(item))
    case .get(let kind, let name): return items[kind]?[name].map { .answer(.item($0)) } ?? .failure([.notFound])
    case .update(let kind, let name, let labels, let value, let mask):
      guard var item = items[kind]?[name] else { return .failure([.notFound]) }
      if mask != [Self.field] { item.labels = FieldMask(mask.filter { $0 != Self.field }).updatedLabels(of: item.labels, from: labels) }
      if Self.hasValue(kind), mask.isEmpty || mask.contains(Self.field) { item.value = value }
      items[kind]?[name] = item
      return .answer(.item(item))
    case .delete(let kind, let name):
      if items[kind]?.removeValue(forKey: name) == nil { return .failure([.notFound]) }
      if kind == .lease { held[name] = nil }
      return .answer(.done)
    case .list(let kind): return .answer(.items(Set((items[kind] ?? [:]).values)))
    case .hold(let lease, let blob):
      if items[.lease]?[lease] == nil { return .failure([.notFound]) }
      held[lease, default: []].insert(blob)
      return .answer(.done)
    case .letGo(let lease, let blob):
      if items[.lease]?[lease] == nil { return .failure([.notFound]) }
      held[lease]?.remove(blob)
      if held[lease]?.isEmpty == true { held[lease] = nil }
      return .answer(.done)
    case .held(let lease):
      if items[.lease]?[lease] == nil { return .failure([.notFound]) }
      return .answer(.held(held[lease] ?? []))
    }
  }

  /// To label a namespace that is not there may make it; to ask for it may be answered as if it were there, without labels.
  package func outcomes(of operation: CollectionOperation) -> [Outcome<Self>] {
    var plain = self
    var all = [Outcome(plain.expects(operation), plain)]
    if emptyNamespaces, case .get(.namespace, let name) = operation, items[.namespace]?[name] == nil {
      all.append(Outcome(.answer(.item(Item(name: name, labels: [:], value: 0))), self))
    }
    if case .update(.namespace, let name, let labels, _, let mask) = operation, items[.namespace]?[name] == nil {
      var made = self
      let item = Item(name: name, labels: FieldMask(mask).updatedLabels(of: [:], from: labels), value: 0)
      made.items[.namespace, default: [:]][name] = item
      all.append(Outcome(.answer(.item(item)), made))
    }
    return all
  }

  /// The path in masks that stands for the number: the driver says what it is called.
  package static let field = "value"
  private static func hasValue(_ kind: Kind) -> Bool { kind == .image || kind == .container }
}
