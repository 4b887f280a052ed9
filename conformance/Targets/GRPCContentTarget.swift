import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdClient
import Hashing
import Protocols

extension Target {
  /// The content service of a containerd: each case has a namespace of its own, under a lease, and everything is removed afterwards.
  ///
  /// The wire cuts an ingest to nothing or not at all, and its readers ask for each piece by the blob's name: those cases are skipped.
  static func content(_ address: String, socket: String) -> Target {
    var target = Target(address: address, capabilities: [.sha512])
    target.offerContent(socket: socket)
    target.sweep = { try await Namespaces.sweep($0, socket: socket, snapshotter: "overlayfs") }
    return target
  }

  mutating func offerContent(socket: String) {
    @Sendable func subject(_ namespace: String, _ workspace: Workspace) async throws -> ContentSubject {
      let plain = try await Connection.open(socket: socket, namespace: namespace, in: workspace)
      let client = try await Namespaces.lease(plain, namespace, socket: socket, in: workspace)
      workspace.endings.add { try await emptyContent(plain.content) }
      return ContentSubject(
        store: RecordingContentStore(
          base: client.content, record: workspace.record, tool: ["ctr", "--address", socket, "-n", namespace, "content"], answers: Answers()),
        rules: .service
      ) { Digest.of($0, $1) }
    }
    self[ContentSubject.self] = { workspace in try await subject(Namespaces.fresh(in: workspace), workspace) }
    self[WireContentSubject.self] = { workspace in
      let namespace = Namespaces.fresh(in: workspace)
      return WireContentSubject(socket: socket, namespace: namespace, content: try await subject(namespace, workspace)).recorded(in: workspace)
    }
  }
}

/// Removes every blob and every ingest of a namespace.
func emptyContent(_ content: any ContentStore) async throws {
  for ingest in try await content.statuses(.all) {
    do { try await content.abort(ref: ingest.ref) } catch let error as ContainerdError where error.code == .notFound {}
  }
  let left = Gathering<Digest>()
  try await content.walk(.all) { await left.append($0.digest) }
  for digest in await left.items {
    do { try await content.delete(digest) } catch let error as ContainerdError where error.code == .notFound {}
  }
}
