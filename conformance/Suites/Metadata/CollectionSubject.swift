import Protocols

/// The named collections of a containerd: images, containers and leases of one namespace, and namespaces.
public struct CollectionSubject: Sendable {
  public var images: any ImageStore
  public var containers: any ContainerStore
  public var leases: any LeaseStore
  public var namespaces: any NamespaceStore
  /// What a namespace of the case begins with, where others are beside it.
  public var prefix: String
  /// Whether to ask for a namespace that is not there is answered with one without labels, as by containerd.
  public var emptyNamespaces = false
  /// Whatever must live as long as the stores.
  public var keep: (any Sendable)?

  public init(
    images: any ImageStore, containers: any ContainerStore, leases: any LeaseStore, namespaces: any NamespaceStore, prefix: String = "",
    keep: (any Sendable)? = nil
  ) {
    self.images = images
    self.containers = containers
    self.leases = leases
    self.namespaces = namespaces
    self.prefix = prefix
    self.keep = keep
  }

  public init(_ store: any MetadataStore, namespace: String) throws {
    let scope = Scope(namespace: namespace)
    self.init(
      images: try store.images(in: scope), containers: try store.containers(in: scope), leases: try store.leases(in: scope), namespaces: store.namespaces,
      prefix: "case-")
  }
}
