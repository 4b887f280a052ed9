import GRPCCore
import Logging
import Protocols
import WireMapping

/// Around every call: reads the headers into `RequestScope`, turns thrown errors into statuses, and logs what failed.
///
/// The body of a streaming call runs when its response is produced, after the interceptor has returned: there too.
public struct ContainerdInterceptor: ServerInterceptor {
  private let logger: Logger

  public init(logger: Logger) { self.logger = logger }

  public func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    let headers = RequestScope.headers(request.metadata)
    let method = context.descriptor.fullyQualifiedMethod
    var response = try await mapped(method, headers) {
      try await RequestScope.$current.withValue(headers) { try await next(request, context) }
    }
    if case .success(var contents) = response.accepted {
      let produce = contents.producer
      contents.producer = { writer in
        try await self.mapped(method, headers) {
          try await RequestScope.$current.withValue(headers) { try await produce(writer) }
        }
      }
      response.accepted = .success(contents)
    }
    return response
  }

  private func mapped<Value>(_ method: String, _ headers: RequestScope.Headers, _ body: () async throws -> Value) async throws -> Value {
    do {
      return try await body()
    } catch {
      let status = RPCError(containerd: error)
      // What the client could not have known is the operator's business.
      let ours = [.internalError, .unknown, .dataLoss].contains(status.code)
      logger.log(
        level: ours ? .error : .debug, "\(method): \(status.code): \(status.message)", metadata: headers.namespace.map { ["namespace": "\($0)"] })
      throw status
    }
  }
}
