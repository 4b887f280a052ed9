import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// A snapshotter at the other end of a socket: a daemon's, or a proxy plugin.
struct RemoteSnapshotter: Snapshotter {
  typealias API = Containerd_Services_Snapshots_V1_Snapshots
  let connection: ContainerdClient
  let name: String

  private var api: API.Client<ContainerdClient.Transport> { API.Client(wrapping: connection.client) }
  private var metadata: Metadata { connection.metadata }

  func stat(_ key: String) async throws -> SnapshotInfo {
    try await connection.call {
      try SnapshotInfo(
        wire: await api.stat(
          .with {
            $0.snapshotter = name
            $0.key = key
          }, metadata: metadata
        ).info)
    }
  }

  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    try await connection.call {
      try SnapshotInfo(
        wire: await api.update(
          .with {
            $0.snapshotter = name
            $0.info.name = info.name
            $0.info.labels = info.labels
            $0.updateMask.paths = fields.paths
          }, metadata: metadata
        ).info)
    }
  }

  func usage(_ key: String) async throws -> SnapshotUsage {
    let usage = try await connection.call {
      try await api.usage(
        .with {
          $0.snapshotter = name
          $0.key = key
        }, metadata: metadata)
    }
    return SnapshotUsage(inodes: usage.inodes, size: usage.size)
  }

  func mounts(_ key: String) async throws -> [Mount] {
    try await connection.call {
      try await api.mounts(
        .with {
          $0.snapshotter = name
          $0.key = key
        }, metadata: metadata
      ).mounts.map(Mount.init(wire:))
    }
  }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await connection.call {
      try await api.prepare(
        .with {
          $0.snapshotter = name
          $0.key = key
          $0.parent = parent ?? ""
          $0.labels = labels
        }, metadata: metadata
      ).mounts.map(Mount.init(wire:))
    }
  }

  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await connection.call {
      try await api.view(
        .with {
          $0.snapshotter = name
          $0.key = key
          $0.parent = parent ?? ""
          $0.labels = labels
        }, metadata: metadata
      ).mounts.map(Mount.init(wire:))
    }
  }

  func commit(_ newName: String, key: String, labels: Labels) async throws {
    _ = try await connection.call {
      try await api.commit(
        .with {
          $0.snapshotter = name
          $0.name = newName
          $0.key = key
          $0.labels = labels
        }, metadata: metadata)
    }
  }

  func remove(_ key: String) async throws {
    _ = try await connection.call {
      try await api.remove(
        .with {
          $0.snapshotter = name
          $0.key = key
        }, metadata: metadata)
    }
  }

  /// The other end filters.
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    let gathered = Gathered<SnapshotInfo>()
    try await connection.call {
      try await api.list(
        .with {
          $0.snapshotter = name
          $0.filters = filters.texts
        }, metadata: metadata
      ) { response in
        for try await message in response.messages { await gathered.append(contentsOf: try message.info.map(SnapshotInfo.init(wire:))) }
      }
    }
    for info in await gathered.items { try await visit(info) }
  }

  func cleanup() async throws {
    _ = try await connection.call { try await api.cleanup(.with { $0.snapshotter = name }, metadata: metadata) }
  }

  /// The other end lives on.
  func close() async throws {}
}

extension SnapshotInfo {
  /// A kind that is none of the three is nothing to guess at: what is taken for active is written to, what is taken for committed is stood on.
  init(wire: Containerd_Services_Snapshots_V1_Info) throws(ContainerdError) {
    let kind: Kind
    switch wire.kind {
    case .view: kind = .view
    case .active: kind = .active
    case .committed: kind = .committed
    case .unknown, .UNRECOGNIZED: throw .internalError("snapshot \(wire.name): the other end gives the kind \(wire.kind.rawValue), which is none")
    }
    self.init(
      kind: kind, name: wire.name, parent: optional(wire.parent), labels: wire.labels, createdAt: Timestamp(wire: wire.createdAt),
      updatedAt: Timestamp(wire: wire.updatedAt))
  }
}
