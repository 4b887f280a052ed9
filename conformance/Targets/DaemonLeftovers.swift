import ConformanceWireSuites
import ContainerdAPI
import ContainerdClient
import GRPCCore
import Protocols
import SwiftProtobuf

/// What a case left in its namespace.
struct DaemonLeftovers {
  let client: ContainerdClient
  let wire: WireConnection
  let namespace: String
  let snapshotter: String

  func remove() async throws {
    let metadata: Metadata = ["containerd-namespace": "\(namespace)"]
    for image in try await client.images.list(.all) { try await client.images.delete(image.name) }
    for container in try await client.containers.list(.all) { try await client.containers.delete(container.id) }
    let leases = Containerd_Services_Leases_V1_Leases.Client(wrapping: wire.client)
    for lease in try await leases.list(.init(), metadata: metadata).leases { _ = try await leases.delete(.with { $0.id = lease.id }, metadata: metadata) }
    let spaces = Containerd_Services_Namespaces_V1_Namespaces.Client(wrapping: wire.client)
    for space in try await spaces.list(.init()).namespaces where space.name.hasPrefix("\(namespace)-") {
      _ = try await spaces.delete(.with { $0.name = space.name })
    }
    try await empty(client.snapshotter(snapshotter))
    try await emptyContent(client.content)
  }
}
