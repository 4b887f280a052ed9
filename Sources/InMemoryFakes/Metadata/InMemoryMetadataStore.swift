import Protocols
import Synchronization

/// The metadata store of the contract, in memory, over one content store and any number of snapshotters.
///
/// Simple where a real one is clever: bytes that another namespace has are uploaded again and then shared; whoever makes backend objects
/// does so alone, and a collection waits for him. Trace and fault names: `metadata.images.create`, `metadata.content.commit`,
/// `metadata.snapshots.prepare`, `metadata.collectGarbage`, …; the backends record on their own.
public final class InMemoryMetadataStore: MetadataStore {
  let backendContent: any ContentStore
  let backends: [String: any Snapshotter]
  let events: (any EventPublisher)?
  let now: @Sendable () -> Timestamp
  let instrument: Instrument
  let state = Mutex(Objects())
  /// Held while backend objects are made or collected: what has bytes and no row yet is never taken for garbage.
  let turn = Turnstile()

  public init(
    content: any ContentStore, snapshotters: [String: any Snapshotter], events: (any EventPublisher)? = nil, trace: CallTrace = CallTrace(),
    faults: FaultPlan = FaultPlan(), now: @escaping @Sendable () -> Timestamp = Timestamp.now
  ) {
    self.backendContent = content
    self.backends = snapshotters
    self.events = events
    self.now = now
    self.instrument = Instrument(component: "metadata", trace: trace, faults: faults)
  }

  public var namespaces: any NamespaceStore { InMemoryNamespaceStore(store: self) }
  public func images(in scope: Scope) throws -> any ImageStore { InMemoryImageStore(store: self, scope: try checked(scope)) }
  public func containers(in scope: Scope) throws -> any ContainerStore { InMemoryContainerStore(store: self, scope: try checked(scope)) }
  public func leases(in scope: Scope) throws -> any LeaseStore { InMemoryLeaseStore(store: self, scope: try checked(scope)) }
  public func content(in scope: Scope) throws -> any ContentStore { InMemoryNamespacedContent(store: self, scope: try checked(scope)) }

  public func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter {
    guard let backend = backends[name] else { throw ContainerdError.invalidArgument("snapshotter not loaded: \(name)") }
    return InMemoryNamespacedSnapshotter(store: self, scope: try checked(scope), name: name, backend: backend)
  }

  public var snapshotterNames: [String] { backends.keys.sorted() }

  private func checked(_ scope: Scope) throws -> Scope {
    try Identifiers.validate(scope.namespace, kind: "namespace")
    return scope
  }

  /// Looks at one namespace; one that does not exist is empty.
  func read<Value: Sendable>(_ namespace: String, _ body: (NamespaceObjects) throws -> Value) throws -> Value {
    try state.withLock { try body($0.namespaces[namespace] ?? NamespaceObjects()) }
  }

  /// Changes one namespace, making it where it does not exist; a throw undoes the change.
  func write<Value: Sendable>(_ namespace: String, _ body: (inout NamespaceObjects) throws -> Value) throws -> Value {
    try state.withLock { state in
      var objects = state.namespaces[namespace] ?? NamespaceObjects()
      let value = try body(&objects)
      state.namespaces[namespace] = objects
      return value
    }
  }

  func nextNumber() -> Int {
    state.withLock { state in
      state.lastNumber += 1
      return state.lastNumber
    }
  }

  func publish(_ event: Event, in namespace: String) {
    events?.publish(EventEnvelope(timestamp: now(), namespace: namespace, event: event))
  }
}

/// One at a time, in the order of arrival.
actor Turnstile {
  private var busy = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  private func enter() async {
    if busy { await withCheckedContinuation { waiting.append($0) } } else { busy = true }
  }

  private func leave() {
    if waiting.isEmpty { busy = false } else { waiting.removeFirst().resume() }
  }

  nonisolated func pass<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
    await enter()
    do {
      let value = try await body()
      await leave()
      return value
    } catch {
      await leave()
      throw error
    }
  }
}
