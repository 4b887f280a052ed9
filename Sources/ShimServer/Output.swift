import CLinux

/// Standard output; a reader that has gone away is ignored.
enum Output {
  static func write(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { CLinux.write(1, $0.baseAddress!, $0.count) }
      if count > 0 { rest = rest.dropFirst(count) } else if clinux_errno() != EINTR { return }
    }
  }
}
