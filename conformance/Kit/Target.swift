import ConformanceSuites

/// What is judged: an address, and for every kind of subject it can give, how to make a fresh one.
///
/// Mutants and recorders are made by wrapping an offer:
///
///     target.wrap(SnapshotSubject.self) { $0.snapshotter = Forgetful($0.snapshotter) }
public struct Target: Sendable {
  /// Makes a fresh subject, once per case. A `CaseSkipped` says that this machine cannot.
  public typealias Offer<Subject: Sendable> = @Sendable (Workspace) async throws -> Subject

  public let address: String
  public var capabilities: Set<Capability>
  /// Removes what workers have left in the backend that were killed: everything whose name begins with this mark.
  public var sweep: (@Sendable (_ mark: String) async throws -> Void)?
  private var offers: [ObjectIdentifier: any Sendable] = [:]

  public init(address: String, capabilities: Set<Capability> = []) {
    self.address = address
    self.capabilities = capabilities
  }

  public subscript<Subject: Sendable>(_ type: Subject.Type) -> Offer<Subject>? {
    get {
      if let derived = offers[ObjectIdentifier(type)] as? Derived<Subject> { return derived(self) }
      return offers[ObjectIdentifier(type)] as? Offer<Subject>
    }
    set { offers[ObjectIdentifier(type)] = newValue }
  }

  private typealias Derived<Subject: Sendable> = @Sendable (Target) -> Offer<Subject>?

  /// Offers what is made of something else that the target offers, as that is when it is asked for: who wraps the part has changed the whole.
  public mutating func derive<Subject: Sendable, Part: Sendable>(
    _ type: Subject.Type, from part: Part.Type, _ make: @escaping @Sendable (Part, Workspace) async throws -> Subject
  ) {
    let derived: Derived<Subject> = { target in
      guard let offer = target[part] else { return nil }
      return { workspace in try await make(try await offer(workspace), workspace) }
    }
    offers[ObjectIdentifier(type)] = derived
  }

  /// Changes every subject of the kind that the target will give. Nothing happens where the target does not offer it.
  public mutating func wrap<Subject: Sendable>(_ type: Subject.Type, _ change: @escaping @Sendable (inout Subject) throws -> Void) {
    guard let offer = self[type] else { return }
    self[type] = { workspace in
      var subject = try await offer(workspace)
      try change(&subject)
      return subject
    }
  }
}
