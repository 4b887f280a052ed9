import FoundationEssentials
import NIOHTTP1

/// An answer as a value: what is sent, and with which faults, is decided elsewhere.
struct Response: Sendable {
  enum Body: Sendable {
    case bytes([UInt8])
    case file(BlobFile, Range<Int64>)

    var count: Int64 {
      switch self {
      case .bytes(let bytes): Int64(bytes.count)
      case .file(_, let range): range.upperBound - range.lowerBound
      }
    }
  }

  var status: HTTPResponseStatus
  var headers: HTTPHeaders
  var body: Body

  init(_ status: HTTPResponseStatus, _ headers: [(String, String)] = [], body: Body = .bytes([])) {
    self.status = status
    self.headers = HTTPHeaders(headers)
    self.body = body
  }

  static func json(_ value: some Encodable, status: HTTPResponseStatus = .ok) -> Response {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Our own values of strings, numbers and arrays: encoding them cannot fail.
    let bytes = (try? encoder.encode(value)).map { Array($0) } ?? []
    return Response(status, [("Content-Type", "application/json")], body: .bytes(bytes))
  }
}
