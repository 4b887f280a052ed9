import GRPCCore
import Protocols

/// What a daemon in this process is made of, before it listens: where faults are put.
public struct DaemonParts: Sendable {
  public var metadata: any MetadataStore
  public var events: any EventExchange
  public var applier: any LayerApplier
  public var differ: any LayerDiffer
  /// Stand between whoever calls and the services; the first is met first.
  public var interceptors: [any ServerInterceptor] = []

  public init(metadata: any MetadataStore, events: any EventExchange, applier: any LayerApplier, differ: any LayerDiffer) {
    self.metadata = metadata
    self.events = events
    self.applier = applier
    self.differ = differ
  }
}
