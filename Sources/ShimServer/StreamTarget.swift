import CLinux
import SystemKit

/// Where a standard stream of a process leads, as a client says it.
enum StreamTarget {
  case null
  case fifo(String)
  case file(String)
  /// Takes output and error output together.
  case program(String, arguments: [String])

  init(_ text: String) throws(ServiceError) {
    guard !text.isEmpty else {
      self = .null
      return
    }
    guard let separator = text.firstRange(of: "://") else {
      self = try Self.named(text)
      return
    }
    let scheme = text[..<separator.lowerBound]
    let rest = text[separator.upperBound...]
    let path = try Self.decoded(rest.prefix { $0 != "?" }, of: text)
    switch scheme {
    case "fifo": self = try Self.named(path)
    case "file": self = .file(try Self.absolute(path, of: text))
    case "binary":
      let query = rest.drop { $0 != "?" }.dropFirst()
      self = .program(try Self.absolute(path, of: text), arguments: try Self.arguments(query, of: text))
    default: throw ServiceError(.unimplemented, "stream \(text): unknown STDIO scheme \(scheme)")
    }
  }

  private static func named(_ path: String) throws(ServiceError) -> StreamTarget {
    var info = stat()
    guard stat(path, &info) == 0 else {
      let failure = SystemError.last("stat", path)
      throw ServiceError(failure.errno == ENOENT ? .notFound : .unknown, "stream: \(failure)")
    }
    return info.st_mode & mode_t(S_IFMT) == mode_t(S_IFIFO) ? .fifo(path) : .file(path)
  }

  private static func absolute(_ path: String, of text: String) throws(ServiceError) -> String {
    guard path.hasPrefix("/") else { throw ServiceError(.invalidArgument, "stream \(text): the path is not absolute") }
    return path
  }

  /// `name=value&name`: each name followed by its value, which may be empty.
  private static func arguments(_ query: Substring, of text: String) throws(ServiceError) -> [String] {
    var arguments: [String] = []
    for pair in query.split(separator: "&") {
      let name = pair.prefix { $0 != "=" }
      arguments.append(try decoded(Substring(name.replacing("+", with: " ")), of: text))
      let value = pair.dropFirst(name.count + 1)
      arguments.append(try decoded(Substring(value.replacing("+", with: " ")), of: text))
    }
    return arguments
  }

  /// %XX to bytes.
  private static func decoded(_ part: Substring, of text: String) throws(ServiceError) -> String {
    guard part.utf8.contains(UInt8(ascii: "%")) else { return String(part) }
    var bytes: [UInt8] = []
    var rest = Array(part.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), value != 0 else {
        throw ServiceError(.invalidArgument, "stream \(text): % is not followed by two hexadecimal digits")
      }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
