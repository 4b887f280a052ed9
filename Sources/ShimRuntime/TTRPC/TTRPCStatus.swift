import ContainerdAPI
import Protocols
import SwiftProtobuf

/// containerd's error classes as the numbers of `google.rpc.Status`, and back.
enum TTRPCStatus {
  private static let numbers: [(ContainerdError.Code, Int32)] = [
    (.canceled, 1), (.unknown, 2), (.invalidArgument, 3), (.deadlineExceeded, 4), (.notFound, 5), (.alreadyExists, 6),
    (.permissionDenied, 7), (.resourceExhausted, 8), (.failedPrecondition, 9), (.aborted, 10), (.outOfRange, 11),
    (.notImplemented, 12), (.internalError, 13), (.unavailable, 14), (.dataLoss, 15), (.unauthenticated, 16),
  ]

  static func number(_ code: ContainerdError.Code) -> Int32 {
    numbers.first { $0.0 == code }?.1 ?? 2
  }

  static func code(_ number: Int32) -> ContainerdError.Code {
    numbers.first { $0.1 == number }?.0 ?? .unknown
  }

  /// The status that says success is also said by leaving the field out.
  static func error(_ status: Google_Rpc_Status) -> ContainerdError? {
    if status.code == 0 { return nil }
    let code = code(status.code)
    // The class's words are appended again wherever the error is shown.
    let suffix = ": \(code.rawValue)"
    let message = status.message.hasSuffix(suffix) ? String(status.message.dropLast(suffix.count)) : status.message
    return ContainerdError(code, message)
  }

  static func status(_ error: any Error) -> Google_Rpc_Status {
    var status = Google_Rpc_Status()
    if let error = error as? ContainerdError {
      status.code = number(error.code)
      status.message = error.description
    } else {
      status.code = number(.unknown)
      status.message = "\(error)"
    }
    return status
  }
}
