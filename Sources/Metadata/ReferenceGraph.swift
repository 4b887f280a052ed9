import GRDB
import Protocols

/// Who holds whom, read from the rows.
///
/// Roots: leases, images and containers; content and snapshots labelled `containerd.io/gc.root`; what an ingest expects. Edges: an image's target, a
/// snapshot's parent, a container's snapshot, and `containerd.io/gc.ref.*` labels. containerd's back references (`gc.bref.*`) and conditions
/// (`gc.cond.*`) are not read.
struct ReferenceGraph {
  struct Node: Hashable {
    var namespace: String
    /// `content`, `snapshots/NAME`, `images` or `containers`.
    var type: String
    var id: String
  }

  private(set) var content: [Node] = []
  private(set) var snapshots: [Node] = []
  /// Images past their `containerd.io/gc.expire`: no roots, but a lease or a label may still hold them.
  private(set) var expiredImages: [Node] = []
  /// What a node is nothing without: an image's target, a snapshot's parent. Held by flat leases too, unlike `edges`.
  private var base: [Node: Node] = [:]
  private var edges: [Node: [Node]] = [:]
  private var roots: [Node] = []
  /// Held by a flat lease: alive, but what they refer to is not held through them.
  private var flatRoots: [Node] = []

  init(_ db: Database, at time: Timestamp) throws {
    for row in try Row.fetchAll(db, sql: "SELECT namespace, digest, labels FROM content") {
      let node = Node(namespace: row["namespace"], type: "content", id: row["digest"])
      content.append(node)
      try addLabels(node, Codec.labels(row["labels"]), canBeRoot: true)
    }
    for row in try Row.fetchAll(db, sql: "SELECT namespace, snapshotter, key, parent, labels FROM snapshot") {
      let type = "snapshots/\(row["snapshotter"] as String)"
      let node = Node(namespace: row["namespace"], type: type, id: row["key"])
      snapshots.append(node)
      let parent: String = row["parent"]
      if !parent.isEmpty { base[node] = Node(namespace: node.namespace, type: type, id: parent) }
      try addLabels(node, Codec.labels(row["labels"]), canBeRoot: true)
    }
    for row in try Row.fetchAll(db, sql: "SELECT namespace, name, digest, labels FROM image") {
      let node = Node(namespace: row["namespace"], type: "images", id: row["name"])
      let labels = try Codec.labels(row["labels"])
      if Expiry.isPast(labels, at: time) { expiredImages.append(node) } else { roots.append(node) }
      base[node] = Node(namespace: node.namespace, type: "content", id: row["digest"])
      addLabels(node, labels, canBeRoot: false)
    }
    for row in try Row.fetchAll(db, sql: "SELECT namespace, id, snapshotter, snapshotKey, labels FROM container") {
      let node = Node(namespace: row["namespace"], type: "containers", id: row["id"])
      roots.append(node)
      let key: String = row["snapshotKey"]
      if !key.isEmpty {
        edges[node, default: []].append(Node(namespace: node.namespace, type: "snapshots/\(row["snapshotter"] as String)", id: key))
      }
      try addLabels(node, Codec.labels(row["labels"]), canBeRoot: false)
    }
    for row in try Row.fetchAll(db, sql: "SELECT namespace, expected FROM ingest WHERE expected IS NOT NULL") {
      roots.append(Node(namespace: row["namespace"], type: "content", id: row["expected"]))
    }
    try addLeases(db)
  }

  private mutating func addLeases(_ db: Database) throws {
    for row in try Row.fetchAll(db, sql: "SELECT namespace, id, labels FROM lease") {
      let namespace: String = row["namespace"]
      let id: String = row["id"]
      let labels = try Codec.labels(row["labels"])
      let flat = labels["containerd.io/gc.flat"] != nil
      let resources = try Row.fetchAll(db, sql: "SELECT type, id FROM leaseResource WHERE namespace = ? AND lease = ?", arguments: [namespace, id])
      for resource in resources {
        let node = Node(namespace: namespace, type: resource["type"], id: resource["id"])
        if flat { flatRoots.append(node) } else { roots.append(node) }
      }
      // A lease may refer like any object: `ctr images mount` holds a snapshot this way.
      let node = Node(namespace: namespace, type: "leases", id: id)
      roots.append(node)
      addLabels(node, labels, canBeRoot: false)
    }
  }

  /// Label keys: `containerd.io/gc.ref.content[.x|/x]`, `containerd.io/gc.ref.snapshot.NAME[/x]`, `containerd.io/gc.root`.
  private mutating func addLabels(_ node: Node, _ labels: Labels, canBeRoot: Bool) {
    for (key, value) in labels {
      if key == "containerd.io/gc.root" {
        if canBeRoot && !value.isEmpty { roots.append(node) }
      } else if let rest = suffix(key, "containerd.io/gc.ref.content"), rest.isEmpty || rest.hasPrefix(".") || rest.hasPrefix("/") {
        edges[node, default: []].append(Node(namespace: node.namespace, type: "content", id: value))
      } else if let rest = suffix(key, "containerd.io/gc.ref.snapshot."), let name = rest.split(separator: "/").first {
        edges[node, default: []].append(Node(namespace: node.namespace, type: "snapshots/\(name)", id: value))
      } else if let rest = suffix(key, "containerd.io/gc.ref.image"), rest.isEmpty || rest.hasPrefix(".") || rest.hasPrefix("/") {
        edges[node, default: []].append(Node(namespace: node.namespace, type: "images", id: value))
      }
    }
  }

  private func suffix(_ text: String, _ prefix: String) -> Substring? { text.hasPrefix(prefix) ? text.dropFirst(prefix.count) : nil }

  func reachable() -> Set<Node> {
    var alive: Set<Node> = []
    var pending = roots
    while let node = pending.popLast() {
      guard alive.insert(node).inserted else { continue }
      pending += edges[node] ?? []
      if let needed = base[node] { pending.append(needed) }
    }
    var flat = flatRoots
    while let node = flat.popLast() {
      if alive.insert(node).inserted, let needed = base[node] { flat.append(needed) }
    }
    return alive
  }
}
