import GRPCCore
import Protocols

/// The one place where containerd's error classes become gRPC statuses, and back.
extension ContainerdError.Code {
  package var rpcCode: RPCError.Code {
    switch self {
    case .invalidArgument: .invalidArgument
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .failedPrecondition: .failedPrecondition
    case .unavailable: .unavailable
    case .notImplemented: .unimplemented
    case .permissionDenied: .permissionDenied
    case .resourceExhausted: .resourceExhausted
    case .aborted: .aborted
    case .outOfRange: .outOfRange
    case .canceled: .cancelled
    case .deadlineExceeded: .deadlineExceeded
    case .unauthenticated: .unauthenticated
    case .internalError: .internalError
    case .dataLoss: .dataLoss
    case .unknown: .unknown
    }
  }

  package init(_ code: RPCError.Code) {
    self = Self.allCases.first { $0.rpcCode == code } ?? .unknown
  }
}

extension RPCError {
  /// Go clients recognise the class by the code and strip the class's words from the end of the message.
  package init(containerd error: any Error) {
    switch error {
    case let error as RPCError: self = error
    case let error as ContainerdError:
      let plain = error.code == .unknown || error.code == .internalError
      self.init(code: error.code.rpcCode, message: plain ? error.message : error.description)
    case is CancellationError: self.init(code: .cancelled, message: "context canceled")
    default: self.init(code: .unknown, message: String(describing: error))
    }
  }
}

extension ContainerdError {
  /// A status as our own class again, without the class's words that the message ends with.
  package init(_ error: RPCError) {
    let code = Code(error.code)
    let suffix = ": \(code.rawValue)"
    self.init(code, error.message.hasSuffix(suffix) ? String(error.message.dropLast(suffix.count)) : error.message)
  }
}
