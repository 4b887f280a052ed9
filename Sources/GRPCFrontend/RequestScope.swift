import GRPCCore
import Protocols
import WireMapping

/// The namespace and lease of the call being served, from containerd's headers.
enum RequestScope {
  static let namespaceHeader = "containerd-namespace"
  static let leaseHeader = "containerd-lease"

  @TaskLocal static var current = Headers()

  struct Headers: Sendable {
    var namespace: String?
    var lease: String?
  }

  static func headers(_ metadata: Metadata) -> Headers {
    Headers(
      namespace: metadata[stringValues: namespaceHeader].first { !$0.isEmpty }, lease: metadata[stringValues: leaseHeader].first { !$0.isEmpty })
  }

  /// `failedPrecondition` without a namespace header; `invalidArgument` for a name that is none.
  static func required() throws -> Scope {
    guard let namespace = current.namespace else { throw ContainerdError.failedPrecondition("namespace is required") }
    try Identifiers.validate(namespace, kind: "namespace")
    return Scope(namespace: namespace, lease: current.lease)
  }
}
