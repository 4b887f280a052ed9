import ConformanceSuites
import ContainerdAPI
import ContainerdClient
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// A whole containerd behind a socket, and a namespace of it that only this case uses.
public struct DaemonSubject: Sendable {
  public let namespace: String
  /// Speaks in the namespace.
  public let client: ContainerdClient
  /// For calls that the client has no words for.
  public let wire: WireConnection
  public let snapshotter: String
  /// Writes a step down, with the line of `ctr` behind `ctr --address SOCK` that makes the same.
  public let note: @Sendable (_ text: String, _ words: [String]) -> Void
  public var keep: (any Sendable)?

  public init(
    namespace: String, client: ContainerdClient, wire: WireConnection, snapshotter: String = "overlayfs", keep: (any Sendable)? = nil,
    note: @escaping @Sendable (String, [String]) -> Void
  ) {
    self.namespace = namespace
    self.client = client
    self.wire = wire
    self.snapshotter = snapshotter
    self.keep = keep
    self.note = note
  }

  typealias Leases = Containerd_Services_Leases_V1_Leases
  typealias Images = Containerd_Services_Images_V1_Images
  typealias Spaces = Containerd_Services_Namespaces_V1_Namespaces
  var leases: Leases.Client<WireConnection.Transport> { Leases.Client(wrapping: wire.client) }
  var images: Images.Client<WireConnection.Transport> { Images.Client(wrapping: wire.client) }
  var spaces: Spaces.Client<WireConnection.Transport> { Spaces.Client(wrapping: wire.client) }

  func metadata(_ other: String? = nil) -> Metadata { ["containerd-namespace": "\(other ?? namespace)"] }

  /// Statuses become our error classes.
  func call<Value>(_ body: () async throws -> Value) async throws -> Value {
    do { return try await body() } catch let error as RPCError { throw ContainerdError(error) }
  }

  func lease(_ id: String, labels: Labels = [:]) async throws {
    note("make the lease \(id)", ["leases", "create", "--id", id] + labels.map { "\($0.key)=\($0.value)" })
    _ = try await call {
      try await leases.create(
        .with {
          $0.id = id
          $0.labels = labels
        }, metadata: metadata())
    }
  }
  /// Deletes a lease, and waits for the collection that follows.
  func delete(lease id: String) async throws {
    note("delete the lease \(id), and collect", ["leases", "delete", "--sync", id])
    _ = try await call {
      try await leases.delete(
        .with {
          $0.id = id
          $0.sync = true
        }, metadata: metadata())
    }
  }
  func leaseIDs(_ filters: String...) async throws -> [String] {
    try await call { try await leases.list(.with { $0.filters = filters }, metadata: metadata()).leases.map(\.id).sorted() }
  }
  func held(by lease: String) async throws -> Set<String> {
    Set(try await call { try await leases.listResources(.with { $0.id = lease }, metadata: metadata()).resources.map { "\($0.type) \($0.id)" } })
  }

  /// Lets the daemon collect, and waits for it.
  func collect() async throws {
    try await lease("conformance-collects")
    try await delete(lease: "conformance-collects")
  }

  @discardableResult
  func blob(_ text: String, labels: Labels = [:], lease: String? = nil) async throws -> Digest {
    let content = lease.map { client.holding(lease: $0).content } ?? client.content
    // What no lease and no label holds is collected whenever it pleases the daemon.
    note(
      "store \"\(text)\"\(lease.map { " under the lease \($0)" } ?? "") with the labels \(labels)",
      ["content", "ingest", "--expected-size", "\(text.utf8.count)", text])
    let writer = try await content.writer(ref: "case \(text)", expected: IngestExpectation())
    do {
      try await writer.write(bytes(text), at: nil)
      let digest = try await writer.commit(IngestExpectation(), labels: labels)
      await writer.close()
      return digest
    } catch {
      await writer.close()
      throw error
    }
  }

  func isThere(_ digest: Digest) async throws -> Bool {
    do {
      _ = try await client.content.info(digest)
      return true
    } catch let error as ContainerdError where error.code == .notFound { return false }
  }
  func isThere(snapshot key: String) async throws -> Bool {
    do {
      _ = try await client.snapshotter(snapshotter).stat(key)
      return true
    } catch let error as ContainerdError where error.code == .notFound { return false }
  }

  func image(_ name: String, _ digest: Digest, size: Int64, labels: Labels = [:]) async throws {
    note("make the image \(name) of \(digest)", [])
    _ = try await client.images.create(
      ImageRecord(name: name, labels: labels, target: Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digest, size: size)))
  }
}
