import Protocols

/// Any applier, with all that is asked of it on a tape.
struct RecordedApplier: LayerApplier {
  let base: any LayerApplier
  let tape: Tape

  func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
    let told = ["\(layer.digest)", "\(layer.size)", layer.mediaType, options.diffID?.description ?? ""] + layer.annotations.words
    return try await tape.perform(.applier, "apply", told, mounts: mounts, told: { $1.answer = "\($0.digest)" }) {
      try await base.apply(layer, from: content, to: mounts, options: options)
    }
  }
}
