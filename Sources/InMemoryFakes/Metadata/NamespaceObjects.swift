import Protocols

/// All that the metadata store knows.
struct Objects: Sendable {
  var namespaces: [String: NamespaceObjects] = [:]
  var lastNumber = 0
}

/// All that one namespace holds.
struct NamespaceObjects: Sendable {
  struct Snapshot: Sendable {
    var backendKey: String
    var info: SnapshotInfo
  }
  struct Ingest: Sendable {
    var backendRef: String
    var expected: Digest?
  }
  var labels: Labels = [:]
  var images: [String: ImageRecord] = [:]
  var containers: [String: ContainerRecord] = [:]
  var leases: [String: LeaseRecord] = [:]
  var held: [String: Set<LeaseResource>] = [:]
  var content: [Digest: ContentInfo] = [:]
  var ingests: [String: Ingest] = [:]
  /// By snapshotter, then by key.
  var snapshots: [String: [String: Snapshot]] = [:]

  /// Adds a resource to the scope's lease, if it has one; `notFound` if that does not exist.
  mutating func hold(_ type: String, _ id: String, for scope: Scope) throws {
    guard let lease = scope.lease else { return }
    if leases[lease] == nil { throw ContainerdError.notFound("lease \"\(lease)\"") }
    held[lease, default: []].insert(LeaseResource(type: type, id: id))
  }

  /// No lease holds what is no more.
  mutating func release(_ type: String, _ id: String) {
    let resource = LeaseResource(type: type, id: id)
    for lease in held.keys { held[lease]?.remove(resource) }
  }

  /// What keeps the namespace from being deleted.
  var obstacles: [String] {
    var obstacles: [String] = []
    if !images.isEmpty { obstacles.append("images") }
    if !content.isEmpty { obstacles.append("blobs") }
    if !containers.isEmpty { obstacles.append("containers") }
    obstacles += snapshots.filter { !$0.value.isEmpty }.keys.sorted().map { "snapshots on \"\($0)\" snapshotter" }
    return obstacles
  }
}
