import Protocols

/// Remote snapshotters: a client that prepares a snapshot says by the label `containerd.io/snapshot.ref` what it is going to commit, the *target*, and
/// a backend that has it without the client's help answers `alreadyExists`. Then the target gets a name here too. It is the one way in which
/// namespaces come to share a backend's snapshot.
extension NamespacedSnapshotter {
  static let reference = "containerd.io/snapshot.ref"

  static func target(_ labels: Labels) -> String? { labels[reference].flatMap { $0.isEmpty ? nil : $0 } }

  /// Names the backend's committed snapshot that is the target on this parent. False if the backend has none.
  func link(_ target: String, _ parent: String?, backendParent: String?, _ labels: Labels) async throws -> Bool {
    try await gates.linking.passing {
      guard let found = try await find(target, on: backendParent) else { return false }
      let info = SnapshotInfo(
        kind: .committed, name: target, parent: parent, labels: found.labels.merging(labels) { $1 }, createdAt: found.createdAt, updatedAt: found.updatedAt)
      // If it has been named meanwhile that is as good.
      _ = try await insert(Entry(backendKey: found.name, info: info), backendParent: backendParent)
      return true
    }
  }

  private func find(_ target: String, on parent: String?) async throws -> SnapshotInfo? {
    let parent = parent ?? ""
    let filter = "labels.\"\(Self.reference)\"==\(Self.quoted(target)),parent==\(Self.quoted(parent))"
    let walked = Walked<SnapshotInfo>()
    try await backend.walk(FilterSet(parsing: [filter])) { await walked.append($0) }
    // Not every backend heeds filters.
    let fitting = await walked.items.filter { $0.kind == .committed && $0.labels[Self.reference] == target && ($0.parent ?? "") == parent }
    return fitting.min { ($0.createdAt, $0.name) < ($1.createdAt, $1.name) }
  }

  private static func quoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }
}
