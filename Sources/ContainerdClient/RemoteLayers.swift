import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// The applier of a daemon: it reads from that daemon's own content store.
struct RemoteApplier: LayerApplier {
  let connection: ContainerdClient

  func apply(
    _ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions
  ) async throws -> Descriptor {
    let api = Containerd_Services_Diff_V1_Diff.Client(wrapping: connection.client)
    let applied = try await connection.call {
      try Descriptor(
        wire: await api.apply(
          .with {
            $0.diff = layer.wire
            $0.mounts = mounts.map(\.wire)
            $0.syncFs = options.sync
          }, metadata: connection.metadata
        ).applied)
    }
    if let diffID = options.diffID, diffID != applied.digest {
      throw ContainerdError.failedPrecondition("layer \(layer.digest): unpacked digest \(applied.digest) is not the expected DiffID \(diffID)")
    }
    return applied
  }
}

/// The differ of a daemon: it writes into that daemon's own content store.
struct RemoteDiffer: LayerDiffer {
  let connection: ContainerdClient

  func diff(from lower: [Mount], to upper: [Mount], into content: any ContentStore, options: DiffOptions) async throws -> Descriptor {
    let api = Containerd_Services_Diff_V1_Diff.Client(wrapping: connection.client)
    return try await connection.call {
      try Descriptor(
        wire: await api.diff(
          .with {
            $0.left = lower.map(\.wire)
            $0.right = upper.map(\.wire)
            $0.mediaType = options.mediaType
            $0.ref = options.ref
            $0.labels = options.labels
          }, metadata: connection.metadata
        ).diff)
    }
  }
}
