import Protocols

/// What can be asked of a collection, as a value. Of an image's target, of a container's image, there is a number.
package enum CollectionOperation: Hashable, Sendable, CustomStringConvertible {
  package enum Kind: String, Hashable, Sendable, CaseIterable { case image, container, lease, namespace }

  case create(Kind, String, Labels, Int)
  case get(Kind, String)
  /// Leases cannot be changed.
  case update(Kind, String, Labels, Int, mask: [String])
  case delete(Kind, String)
  case list(Kind)
  case hold(lease: String, Int)
  case letGo(lease: String, Int)
  case held(lease: String)

  package var description: String {
    switch self {
    case .create(let kind, let name, let labels, let value): "create \(kind.rawValue) \(name)\(Self.value(kind, value)) with \(described(labels))"
    case .get(let kind, let name): "get \(kind.rawValue) \(name)"
    case .update(let kind, let name, let labels, let value, let mask):
      "update \(kind.rawValue) \(name) to\(Self.value(kind, value)) \(described(labels)), mask \(mask.isEmpty ? "empty" : mask.joined(separator: ","))"
    case .delete(let kind, let name): "delete \(kind.rawValue) \(name)"
    case .list(let kind): "list \(kind.rawValue)s"
    case .hold(let lease, let blob): "add blob \(blob) to lease \(lease)"
    case .letGo(let lease, let blob): "take blob \(blob) from lease \(lease)"
    case .held(let lease): "resources of lease \(lease)"
    }
  }
  private static func value(_ kind: Kind, _ value: Int) -> String { kind == .image || kind == .container ? " (\(value))" : "" }

  package var verb: String {
    switch self {
    case .hold: "add resource"
    case .letGo: "delete resource"
    case .held: "resources"
    default: String(description.prefix { $0 != " " })
    }
  }

  /// What a call is about: calls that share nothing are judged apart.
  package func keys(of names: [String]) -> [String] {
    switch self {
    case .create(let kind, let name, _, _), .get(let kind, let name), .update(let kind, let name, _, _, _), .delete(let kind, let name):
      ["\(kind.rawValue) \(name)"]
    case .list(let kind): names.map { "\(kind.rawValue) \($0)" }
    case .hold(let lease, _), .letGo(let lease, _), .held(let lease): ["lease \(lease)"]
    }
  }
}

package enum CollectionAnswer: Hashable, Sendable, CustomStringConvertible {
  case done
  case item(CollectionModel.Item)
  case items(Set<CollectionModel.Item>)
  case held(Set<Int>)

  package var description: String {
    switch self {
    case .done: "ok"
    case .item(let item): item.description
    case .items(let all): all.isEmpty ? "none" : all.map(\.description).sorted().joined(separator: "; ")
    case .held(let blobs): blobs.isEmpty ? "no resource" : "blobs \(blobs.sorted())"
    }
  }
}
