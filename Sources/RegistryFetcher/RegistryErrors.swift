import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Protocols

/// What a registry's refusal means: the class by status, the words from its error document.
enum RegistryErrors {
  static func error(_ response: HTTPClientResponse, _ object: String) async -> ContainerdError {
    // The body is a courtesy: without it the status alone must do.
    let body = (try? await response.body.collect(upTo: 64 << 10)).map { Array($0.readableBytesView) } ?? []
    let message = "\(object): the registry answered \(response.status.code)\(detail(body))"
    return switch response.status {
    case .notFound: .notFound(message)
    case .unauthorized: ContainerdError(.unauthenticated, message)
    case .forbidden: ContainerdError(.permissionDenied, message)
    case .tooManyRequests: .unavailable(message)
    case .badRequest, .unprocessableEntity: .invalidArgument(message)
    case .methodNotAllowed: .notImplemented(message)
    case .conflict, .preconditionFailed: .failedPrecondition(message)
    case .payloadTooLarge: ContainerdError(.resourceExhausted, message)
    default: response.status.code >= 500 ? .unavailable(message) : ContainerdError(.unknown, message)
    }
  }

  private static func detail(_ body: [UInt8]) -> String {
    struct Wire: Decodable {
      struct Item: Decodable {
        var code: String?
        var message: String?
      }
      var errors: [Item]
    }
    guard let errors = try? JSONDecoder().decode(Wire.self, from: Data(body)).errors, !errors.isEmpty else { return "" }
    let sentences = errors.prefix(3).map { [$0.code, $0.message].compactMap { $0 }.joined(separator: ": ") }
    return " (\(printable(sentences.joined(separator: "; "))))"
  }

  /// A stranger's words as they may stand in a log or on a terminal: short, and without control characters.
  static func printable(_ text: String) -> String {
    let safe = String(text.unicodeScalars.prefix(256).map { $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) ? Character(" ") : Character($0) })
    return safe.utf8.count < text.utf8.count ? safe + "…" : safe
  }
}
