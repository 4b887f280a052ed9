import CLinux
import Protocols
import SystemKit

extension ContainerdError {
  init(_ error: SystemError, _ object: String) {
    let code: Code =
      switch error.errno {
      case ENOENT, ENOTDIR: .notFound
      case EISDIR: .invalidArgument
      case ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM: .resourceExhausted
      case EACCES, EPERM, EROFS: .permissionDenied
      default: .unknown
      }
    self.init(code, "\(object): \(error.reason)")
  }
}

extension Digest {
  /// The hash itself.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    var digits = Array(hex.utf8)[...]
    func value(_ digit: UInt8) -> UInt8 { digit < 0x3A ? digit - 0x30 : digit - 0x57 }
    while let high = digits.popFirst(), let low = digits.popFirst() { bytes.append(value(high) << 4 | value(low)) }
    return bytes
  }
}
