import Protocols
import Synchronization

extension InMemoryMetadataStore {
  @discardableResult
  public func collectGarbage() async throws -> GarbageReport {
    let after = try await instrument.enter("collectGarbage")
    let report = try await turn.pass {
      let (report, gone) = sweepObjects()
      for (namespace, event) in gone { publish(event, in: namespace) }
      try await sweepContent()
      for (name, backend) in backends { try await sweepSnapshots(name, backend) }
      return report
    }
    try after.finish()
    return report
  }

  private func sweepObjects() -> (GarbageReport, [(String, Event)]) {
    let time = now()
    return state.withLock { state in
      var report = GarbageReport()
      var gone: [(String, Event)] = []
      for (namespace, var objects) in state.namespaces {
        for (id, lease) in objects.leases where isExpired(lease.labels, at: time) {
          objects.leases[id] = nil
          objects.held[id] = nil
          report.leases += 1
        }
        let alive = ReachableObjects(objects, at: time)
        for name in alive.expiredImages where !alive.contains("images", name) {
          objects.images[name] = nil
          gone.append((namespace, .imageDelete(name: name)))
        }
        for digest in objects.content.keys where !alive.contains("content", digest.description) {
          objects.content[digest] = nil
          objects.release("content", digest.description)
          report.content += 1
          gone.append((namespace, .contentDelete(digest: digest)))
        }
        for (name, snapshots) in objects.snapshots {
          for key in snapshots.keys where !alive.contains("snapshots/\(name)", key) {
            objects.snapshots[name]?[key] = nil
            objects.release("snapshots/\(name)", key)
            report.snapshots += 1
            gone.append((namespace, .snapshotRemove(key: key, snapshotter: name)))
          }
        }
        state.namespaces[namespace] = objects
      }
      return (report, gone)
    }
  }

  /// Deletes the bytes that no namespace names.
  private func sweepContent() async throws {
    let named = state.withLock { state in Set(state.namespaces.values.flatMap(\.content.keys)) }
    let present = Mutex<[Digest]>([])
    try await backendContent.walk(.all) { info in present.withLock { $0.append(info.digest) } }
    for digest in present.withLock({ $0 }) where !named.contains(digest) { try await backendContent.delete(digest) }
  }

  /// Removes the trees that no namespace names, children first.
  private func sweepSnapshots(_ name: String, _ backend: any Snapshotter) async throws {
    let named = state.withLock { state in Set(state.namespaces.values.flatMap { ($0.snapshots[name] ?? [:]).values.map(\.backendKey) }) }
    let present = Mutex<[String: String]>([:])
    try await backend.walk(.all) { info in present.withLock { $0[info.name] = info.parent ?? "" } }
    var left = present.withLock { $0 }
    while let leaf = left.keys.first(where: { key in !named.contains(key) && !left.values.contains(key) }) {
      try await backend.remove(leaf)
      left[leaf] = nil
    }
    try await backend.cleanup()
  }
}

/// Past its `containerd.io/gc.expire`. What is no time expires never.
private func isExpired(_ labels: Labels, at time: Timestamp) -> Bool {
  labels["containerd.io/gc.expire"].flatMap { Timestamp(rfc3339: $0) }.map { $0 < time } ?? false
}

/// What the roots of one namespace reach.
private struct ReachableObjects {
  private var alive: Set<LeaseResource> = []
  private(set) var expiredImages: [String] = []

  func contains(_ type: String, _ id: String) -> Bool { alive.contains(LeaseResource(type: type, id: id)) }

  init(_ objects: NamespaceObjects, at time: Timestamp) {
    var roots: [LeaseResource] = []
    var flatRoots: [LeaseResource] = []
    for (id, lease) in objects.leases {
      let held = objects.held[id] ?? []
      if lease.labels["containerd.io/gc.flat"] == nil { roots += held } else { flatRoots += held }
      roots += Self.references(lease.labels)
    }
    for (name, image) in objects.images {
      if isExpired(image.labels, at: time) { expiredImages.append(name) } else { roots.append(LeaseResource(type: "images", id: name)) }
    }
    for container in objects.containers.values {
      roots += Self.references(container.labels)
      if !container.snapshotKey.isEmpty { roots.append(LeaseResource(type: "snapshots/\(container.snapshotter)", id: container.snapshotKey)) }
    }
    for (digest, info) in objects.content where Self.isRoot(info.labels) { roots.append(LeaseResource(type: "content", id: digest.description)) }
    for (name, snapshots) in objects.snapshots {
      for (key, snapshot) in snapshots where Self.isRoot(snapshot.info.labels) { roots.append(LeaseResource(type: "snapshots/\(name)", id: key)) }
    }
    roots += objects.ingests.values.compactMap(\.expected).map { LeaseResource(type: "content", id: $0.description) }
    mark(roots, objects, labels: true)
    // A flat lease holds what these need to exist, and nothing that they merely refer to.
    mark(flatRoots, objects, labels: false)
  }

  private mutating func mark(_ roots: [LeaseResource], _ objects: NamespaceObjects, labels: Bool) {
    var pending = roots
    while let node = pending.popLast() {
      guard alive.insert(node).inserted else { continue }
      let (needed, referring) = Self.edges(node, objects)
      if let needed { pending.append(needed) }
      if labels { pending += Self.references(referring) }
    }
  }

  private static func edges(_ node: LeaseResource, _ objects: NamespaceObjects) -> (needed: LeaseResource?, labels: Labels) {
    switch node.type {
    case "images":
      guard let image = objects.images[node.id] else { return (nil, [:]) }
      return (LeaseResource(type: "content", id: image.target.digest.description), image.labels)
    case "content":
      let info = objects.content.first { $0.key.description == node.id }
      return (nil, info?.value.labels ?? [:])
    case let type where type.hasPrefix("snapshots/"):
      guard let info = objects.snapshots[String(type.dropFirst("snapshots/".count))]?[node.id]?.info else { return (nil, [:]) }
      return (info.parent.map { LeaseResource(type: type, id: $0) }, info.labels)
    default: return (nil, [:])
    }
  }

  private static func isRoot(_ labels: Labels) -> Bool { labels["containerd.io/gc.root"].map { !$0.isEmpty } ?? false }

  /// `containerd.io/gc.ref.content[.x|/x]`, `containerd.io/gc.ref.snapshot.NAME[/x]`, `containerd.io/gc.ref.image[.x|/x]`
  private static func references(_ labels: Labels) -> [LeaseResource] {
    labels.compactMap { key, value in
      func rest(_ prefix: String) -> Substring? {
        guard key.hasPrefix(prefix) else { return nil }
        let rest = key.dropFirst(prefix.count)
        return rest.isEmpty || rest.hasPrefix(".") || rest.hasPrefix("/") ? rest : nil
      }
      if rest("containerd.io/gc.ref.content") != nil { return LeaseResource(type: "content", id: value) }
      if rest("containerd.io/gc.ref.image") != nil { return LeaseResource(type: "images", id: value) }
      if let name = rest("containerd.io/gc.ref.snapshot")?.dropFirst().split(separator: "/").first {
        return LeaseResource(type: "snapshots/\(name)", id: value)
      }
      return nil
    }
  }
}
