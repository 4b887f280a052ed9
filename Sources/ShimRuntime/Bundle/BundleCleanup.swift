import BlockingIO
import Logging
import Protocols

/// Ends whatever of a container a shim has left behind and removes the bundle. Everything is best effort and told: the next
/// start of the daemon tries again.
struct BundleCleanup: Sendable {
  var bundle: Bundle
  var binary: String
  var context: ShimContext

  /// How the container ended, if `<shim> delete` could tell.
  @discardableResult
  func run() async -> ExitStatus? {
    let command = ShimCommand(binary: binary, bundle: bundle, configuration: context.configuration)
    let bundle = bundle
    var status: ExitStatus?
    await context.attempt("shim cannot delete", for: bundle.key) {
      status = try await context.pool.run { try command.delete() }
    }
    await context.attempt("socket is left behind", for: bundle.key) {
      try await context.pool.run { if let endpoint = try bundle.endpoint() { try StaleSocket.remove(endpoint.socketPath) } }
    }
    await context.attempt("bundle is left behind", for: bundle.key, level: .error) {
      try await context.pool.run { try bundle.remove() }
    }
    return status
  }
}
