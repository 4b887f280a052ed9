import LinuxRuntime
import ShimWire
import SystemKit

/// What a call fails with: a gRPC status code and a message that names the object and the cause.
struct ServiceError: Error {
  enum Code: Int32 {
    case unknown = 2
    case invalidArgument = 3
    case notFound = 5
    case alreadyExists = 6
    case resourceExhausted = 8
    case failedPrecondition = 9
    case unimplemented = 12
  }
  let code: Code
  let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  init(_ error: RuntimeError) {
    let code: Code =
      switch error.kind {
      case .invalid: .invalidArgument
      case .notFound: .notFound
      case .alreadyExists: .alreadyExists
      case .wrongState: .failedPrecondition
      case .system: .unknown
      }
    self.init(code, error.message)
  }

  var status: Status { Status(code: code.rawValue, message: message) }
}

/// Runs a step of the runtime as part of a call.
func runtime<T>(_ body: () throws(RuntimeError) -> T) throws(ServiceError) -> T {
  do { return try body() } catch { throw ServiceError(error) }
}
