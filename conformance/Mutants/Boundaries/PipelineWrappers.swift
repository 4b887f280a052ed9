import ConformanceBoundarySuites
import ConformanceSuites
import Protocols

/// An applier around another.
struct ApplierWrapper: LayerApplier {
  typealias Applying = @Sendable (any LayerApplier, Descriptor, any ContentProvider, [Mount], ApplyOptions) async throws -> Descriptor
  let base: any LayerApplier
  let onApply: Applying

  init(_ base: any LayerApplier, _ onApply: @escaping Applying) { (self.base, self.onApply) = (base, onApply) }

  func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
    try await onApply(base, layer, content, mounts, options)
  }
}

extension PipelineSubject {
  /// Puts something between the pipeline and the parts that it is given, in every act.
  mutating func between(_ change: @escaping @Sendable (inout PipelineParts) throws -> Void) {
    let (fetch, unpack, run) = (fetch, unpack, run)
    @Sendable func changed(_ parts: PipelineParts) throws -> PipelineParts {
      var parts = parts
      try change(&parts)
      return parts
    }
    self.fetch = { try await fetch($0, changed($1)) }
    self.unpack = { try await unpack($0, changed($1)) }
    if let run { self.run = { try await run($0, changed($1)) } }
  }
}
