import Protocols

/// Any applier, with its calls recorded as those of `InMemoryLayerApplier` are: the layer, and where the first mount comes from.
public struct TracedLayerApplier: LayerApplier {
  private let applier: any LayerApplier
  private let recorder: Recorder

  public init(_ applier: any LayerApplier, trace: CallTrace, component: String = "applier") {
    self.applier = applier
    self.recorder = Recorder(component: component, trace: trace)
  }

  public func apply(
    _ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions
  ) async throws -> Descriptor {
    recorder("apply", "\(layer.digest)", mounts.first?.source ?? "")
    return try await applier.apply(layer, from: content, to: mounts, options: options)
  }
}
