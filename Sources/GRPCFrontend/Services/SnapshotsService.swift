import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct SnapshotsService: Containerd_Services_Snapshots_V1_Snapshots.SimpleServiceProtocol {
  /// By the name that the request has.
  let backend: @Sendable (String) throws -> any Snapshotter
  let scheduleCollection: @Sendable () -> Void

  /// A daemon's: many snapshotters, each for a namespace.
  init(metadata: any MetadataStore, scheduleCollection: @escaping @Sendable () -> Void) {
    self.scheduleCollection = scheduleCollection
    backend = { name in
      if name.isEmpty { throw ContainerdError.invalidArgument("snapshotter argument missing") }
      return try metadata.snapshotter(name, in: RequestScope.required())
    }
  }

  /// A plugin's: one, whatever it is called in the daemon's configuration; the keys that the daemon gives carry the namespace.
  init(snapshotter: any Snapshotter) {
    scheduleCollection = {}
    backend = { _ in snapshotter }
  }

  func prepare(
    request: Containerd_Services_Snapshots_V1_PrepareSnapshotRequest, context: ServerContext
  ) async throws -> Containerd_Services_Snapshots_V1_PrepareSnapshotResponse {
    let mounts = try await backend(request.snapshotter).prepare(request.key, parent: optional(request.parent), labels: request.labels)
    return .with { $0.mounts = mounts.map(\.wire) }
  }

  func view(
    request: Containerd_Services_Snapshots_V1_ViewSnapshotRequest, context: ServerContext
  ) async throws -> Containerd_Services_Snapshots_V1_ViewSnapshotResponse {
    let mounts = try await backend(request.snapshotter).view(request.key, parent: optional(request.parent), labels: request.labels)
    return .with { $0.mounts = mounts.map(\.wire) }
  }

  func mounts(
    request: Containerd_Services_Snapshots_V1_MountsRequest, context: ServerContext
  ) async throws -> Containerd_Services_Snapshots_V1_MountsResponse {
    let mounts = try await backend(request.snapshotter).mounts(request.key)
    return .with { $0.mounts = mounts.map(\.wire) }
  }

  func commit(request: Containerd_Services_Snapshots_V1_CommitSnapshotRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await backend(request.snapshotter).commit(request.name, key: request.key, labels: request.labels)
    return Google_Protobuf_Empty()
  }

  func remove(request: Containerd_Services_Snapshots_V1_RemoveSnapshotRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await backend(request.snapshotter).remove(request.key)
    scheduleCollection()
    return Google_Protobuf_Empty()
  }

  func stat(
    request: Containerd_Services_Snapshots_V1_StatSnapshotRequest, context: ServerContext
  ) async throws -> Containerd_Services_Snapshots_V1_StatSnapshotResponse {
    let info = try await backend(request.snapshotter).stat(request.key)
    return .with { $0.info = info.wire }
  }

  func update(
    request: Containerd_Services_Snapshots_V1_UpdateSnapshotRequest, context: ServerContext
  ) async throws -> Containerd_Services_Snapshots_V1_UpdateSnapshotResponse {
    let info = try await backend(request.snapshotter).update(SnapshotInfo(wire: request.info), fields: FieldMask(wire: request.updateMask))
    return .with { $0.info = info.wire }
  }

  func list(
    request: Containerd_Services_Snapshots_V1_ListSnapshotsRequest, response: RPCWriter<Containerd_Services_Snapshots_V1_ListSnapshotsResponse>,
    context: ServerContext
  ) async throws {
    let collected = Collected<SnapshotInfo>()
    try await backend(request.snapshotter).walk(FilterSet(parsing: request.filters)) { await collected.append($0) }
    for batch in await collected.items.batches(of: listBatch) { try await response.write(.with { $0.info = batch.map(\.wire) }) }
  }

  func usage(
    request: Containerd_Services_Snapshots_V1_UsageRequest, context: ServerContext
  ) async throws -> Containerd_Services_Snapshots_V1_UsageResponse {
    let usage = try await backend(request.snapshotter).usage(request.key)
    return .with {
      $0.size = usage.size
      $0.inodes = usage.inodes
    }
  }

  func cleanup(request: Containerd_Services_Snapshots_V1_CleanupRequest, context: ServerContext) async throws -> Google_Protobuf_Empty {
    try await backend(request.snapshotter).cleanup()
    return Google_Protobuf_Empty()
  }
}

extension SnapshotInfo {
  init(wire: Containerd_Services_Snapshots_V1_Info) {
    let kind: Kind = wire.kind == .committed ? .committed : wire.kind == .view ? .view : .active
    self.init(kind: kind, name: wire.name, parent: optional(wire.parent), labels: wire.labels)
  }

  var wire: Containerd_Services_Snapshots_V1_Info {
    .with {
      $0.name = name
      $0.parent = parent ?? ""
      $0.kind = kind == .committed ? .committed : kind == .view ? .view : .active
      $0.createdAt = createdAt.wire
      $0.updatedAt = updatedAt.wire
      $0.labels = labels
    }
  }
}
