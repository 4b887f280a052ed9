import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

struct DiffService: Containerd_Services_Diff_V1_Diff.SimpleServiceProtocol {
  let metadata: any MetadataStore
  let applier: any LayerApplier
  let differ: any LayerDiffer

  func apply(request: Containerd_Services_Diff_V1_ApplyRequest, context: ServerContext) async throws -> Containerd_Services_Diff_V1_ApplyResponse {
    let content = try metadata.content(in: RequestScope.required())
    // Flushed always: a snapshot that is committed next must not name bytes that a power cut can take away.
    let applied = try await applier.apply(
      Descriptor(wire: request.diff), from: content, to: request.mounts.map(Mount.init(wire:)), options: ApplyOptions(sync: true))
    return .with { $0.applied = applied.wire }
  }

  func diff(request: Containerd_Services_Diff_V1_DiffRequest, context: ServerContext) async throws -> Containerd_Services_Diff_V1_DiffResponse {
    let content = try metadata.content(in: RequestScope.required())
    let descriptor = try await differ.diff(
      from: request.left.map(Mount.init(wire:)), to: request.right.map(Mount.init(wire:)), into: content,
      options: DiffOptions(mediaType: request.mediaType, ref: request.ref, labels: request.labels))
    return .with { $0.diff = descriptor.wire }
  }
}
