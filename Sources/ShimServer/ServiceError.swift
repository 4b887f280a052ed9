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

/// Runs the step that makes or starts a process. What the program or its surroundings lack is no missing container: clients
/// take "not found" for one, so such failures have no class, and they begin as containerd's do.
func runtime<T>(_ verb: String, _ body: () throws(RuntimeError) -> T) throws(ServiceError) -> T {
  do { return try body() } catch {
    switch error.kind {
    case .notFound, .system: throw ServiceError(.unknown, "OCI runtime \(verb) failed: \(error.message)")
    case .invalid: throw ServiceError(.invalidArgument, "OCI runtime \(verb) failed: \(error.message)")
    case .alreadyExists, .wrongState: throw ServiceError(error)
    }
  }
}

/// Runs a step of the runtime as part of a call.
func runtime<T>(_ body: () throws(RuntimeError) -> T) throws(ServiceError) -> T {
  do { return try body() } catch { throw ServiceError(error) }
}
