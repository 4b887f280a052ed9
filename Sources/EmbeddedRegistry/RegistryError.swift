import FoundationEssentials
import NIOHTTP1

/// A refusal in the distribution-spec's words: its error code, the HTTP status, and a sentence.
struct RegistryError: Error, Sendable {
  enum Code: String, Sendable {
    case blobUnknown = "BLOB_UNKNOWN"
    case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
    case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
    case digestInvalid = "DIGEST_INVALID"
    case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
    case manifestInvalid = "MANIFEST_INVALID"
    case manifestUnknown = "MANIFEST_UNKNOWN"
    case nameInvalid = "NAME_INVALID"
    case nameUnknown = "NAME_UNKNOWN"
    case sizeInvalid = "SIZE_INVALID"
    case unauthorized = "UNAUTHORIZED"
    case denied = "DENIED"
    case unsupported = "UNSUPPORTED"
    case tooManyRequests = "TOOMANYREQUESTS"
    /// Not the specification's: our own disk failed, or a test asked for a failure.
    case unknown = "UNKNOWN"

    var status: HTTPResponseStatus {
      switch self {
      case .blobUnknown, .blobUploadUnknown, .manifestBlobUnknown, .manifestUnknown, .nameUnknown: .notFound
      case .blobUploadInvalid, .digestInvalid, .manifestInvalid, .nameInvalid, .sizeInvalid: .badRequest
      case .unauthorized: .unauthorized
      case .denied: .forbidden
      case .unsupported: .methodNotAllowed
      case .tooManyRequests: .tooManyRequests
      case .unknown: .internalServerError
      }
    }
  }

  var code: Code
  var message: String
  var status: HTTPResponseStatus
  var headers: [(String, String)]

  init(_ code: Code, _ message: String, status: HTTPResponseStatus? = nil, headers: [(String, String)] = []) {
    self.code = code
    self.message = message
    self.status = status ?? code.status
    self.headers = headers
  }

  /// `{"errors":[{"code":…,"message":…}]}`
  var response: Response {
    struct Item: Encodable {
      var code: String
      var message: String
    }
    var response = Response.json(["errors": [Item(code: code.rawValue, message: message)]], status: status)
    for (name, value) in headers { response.headers.replaceOrAdd(name: name, value: value) }
    return response
  }
}
