/// A request as the registry saw it.
public struct RegistryRequest: Sendable {
  public enum Kind: Hashable, Sendable {
    case ping
    case manifest(String)
    case blob(String)
    case token
    case other
  }
  public var method: String
  /// Path and query.
  public var target: String
  /// Names in lower case.
  public var headers: [String: String]
  public var kind: Kind
  /// How many requests of this kind with this method have come, this one included.
  public var number: Int

  /// Where a ranged request wants to begin.
  public var start: Int {
    guard let range = headers["range"], range.hasPrefix("bytes=") else { return 0 }
    return Int(range.dropFirst(6).prefix { $0 != "-" }) ?? 0
  }
  public var isManifest: Bool { if case .manifest = kind { true } else { false } }
  public var isBlob: Bool { if case .blob = kind { true } else { false } }
  public var token: String? { headers["authorization"].flatMap { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : nil } }
}

/// What the registry answers, faults included: the alphabet of which cases make their scripts.
public struct RegistryReply: Sendable {
  public enum Length: Sendable {
    case exact
    /// `Transfer-Encoding: chunked`.
    case chunked
    /// Neither length nor chunks: the end of the connection ends the body.
    case untilClose
    /// A length that need not be true.
    case claimed(Int)
  }
  public var status: Int
  public var headers: [(String, String)]
  public var body: [UInt8]
  public var length = Length.exact
  /// The connection ends after so many bytes of the body.
  public var cutAfter: Int?
  /// Where it is cut, by RST and not by FIN.
  public var reset = false
  /// After these bytes nothing more comes, and the connection stays.
  public var stallAfter: Int?
  /// How the body is dealt out: pieces of so many bytes, so many milliseconds apart.
  public var pace: (bytes: Int, milliseconds: Int64)?

  public init(_ status: Int = 200, _ headers: [(String, String)] = [], _ body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  public static func text(_ status: Int, _ type: String, _ text: String, _ headers: [(String, String)] = []) -> RegistryReply {
    RegistryReply(status, [("Content-Type", type)] + headers, Array(text.utf8))
  }
  /// An error as the distribution specification writes it.
  public static func error(_ status: Int, _ code: String, _ headers: [(String, String)] = []) -> RegistryReply {
    text(status, "application/json", #"{"errors":[{"code":"\#(code)","message":"as the case wants it"}]}"#, headers)
  }
  public static func redirect(to location: String) -> RegistryReply { RegistryReply(307, [("Location", location)]) }
}
