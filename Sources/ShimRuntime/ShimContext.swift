import BlockingIO
import Logging
import NIOCore
import Protocols

/// What every part of the runtime needs: values and services without any state of their own.
struct ShimContext: Sendable {
  let configuration: ShimRuntime.Configuration
  let events: any EventPublisher
  let logger: Logger
  let group: any EventLoopGroup
  /// For system calls that block and for `<shim> start` and `delete`.
  let pool: BlockingPool

  func logger(for key: TaskKey) -> Logger {
    var logger = logger
    logger[metadataKey: "namespace"] = "\(key.namespace)"
    logger[metadataKey: "id"] = "\(key.id)"
    return logger
  }

  /// Does what is only best effort; a failure is told and the work goes on.
  func attempt(_ what: String, for key: TaskKey, level: Logger.Level = .warning, _ body: () async throws -> Void) async {
    do { try await body() } catch { logger(for: key).log(level: level, "\(what): \(error)") }
  }
}
