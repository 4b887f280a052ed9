import CLinux
import SystemKit

/// Where a standard stream of a process leads, as a client says it.
enum StreamTarget {
  case null
  case fifo(String)
  case file(String)

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
    let path = String(text[separator.upperBound...].prefix { $0 != "?" })
    switch scheme {
    case "fifo": self = try Self.named(path)
    case "file":
      guard path.hasPrefix("/") else { throw ServiceError(.invalidArgument, "stream \(text): the path is not absolute") }
      self = .file(path)
    default: throw ServiceError(.unimplemented, "stream \(text): the scheme \(scheme) is not supported")
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
}
