import NIOHTTP1
import OCI
import Protocols

/// What a path of the distribution-spec names. Every name and digest in it has been checked.
enum Route: Sendable {
  case ping
  case catalog
  case tags(String)
  case manifest(String, ManifestReference)
  case blob(String, Digest)
  case uploads(String)
  case upload(String, id: String)
  case referrers(String, Digest)
  case token

  enum ManifestReference: Hashable, Sendable {
    case tag(String)
    case digest(Digest)
  }

  /// The repository that the route is about.
  var repository: String? {
    switch self {
    case .ping, .catalog, .token: nil
    case .tags(let name), .manifest(let name, _), .blob(let name, _), .uploads(let name), .upload(let name, _), .referrers(let name, _): name
    }
  }

  /// `path` without the query.
  static func parse(_ path: String) throws(RegistryError) -> Route {
    if path == "/token" { return .token }
    if path == "/v2" || path == "/v2/" { return .ping }
    guard path.hasPrefix("/v2/") else { throw RegistryError(.unsupported, "\(path): nothing is here, the registry is at /v2/", status: .notFound) }
    var parts: [String] = []
    for part in path.dropFirst(4).split(separator: "/", omittingEmptySubsequences: false) {
      guard let text = Query.decode(part) else { throw RegistryError(.nameInvalid, "\(path): broken percent-encoding") }
      parts.append(text)
    }
    if parts == ["_catalog"] { return .catalog }
    let last = parts.removeLast()
    guard let kind = parts.popLast() else { throw unknown(path) }
    switch (kind, last) {
    case ("tags", "list"): return .tags(try name(parts))
    case ("manifests", _): return .manifest(try name(parts), try reference(last))
    case ("referrers", _): return .referrers(try name(parts), try digest(last))
    case ("uploads", _) where parts.last == "blobs":
      let name = try name(parts.dropLast())
      if last.isEmpty { return .uploads(name) }
      guard Names.isUpload(last) else { throw RegistryError(.blobUploadUnknown, "upload \"\(last)\"") }
      return .upload(name, id: last)
    case ("blobs", "uploads"): return .uploads(try name(parts))
    case ("blobs", _): return .blob(try name(parts), try digest(last))
    default: throw unknown(path)
    }
  }

  private static func unknown(_ path: String) -> RegistryError {
    RegistryError(.unsupported, "\(path): no endpoint of the distribution-spec", status: .notFound)
  }

  private static func name(_ parts: some Sequence<String>) throws(RegistryError) -> String {
    let text = parts.joined(separator: "/")
    guard RepositoryName.isRepository(text) else { throw RegistryError(.nameInvalid, "repository name \"\(text)\"") }
    return text
  }

  private static func reference(_ text: String) throws(RegistryError) -> ManifestReference {
    if text.contains(":") { return .digest(try digest(text)) }
    guard RepositoryName.isTag(text) else { throw RegistryError(.manifestInvalid, "tag \"\(text)\"") }
    return .tag(text)
  }

  static func digest(_ text: String) throws(RegistryError) -> Digest {
    do { return try Digest(parsing: text) } catch { throw RegistryError(.digestInvalid, error.message) }
  }
}

/// The query of a request.
struct Query: Sendable {
  private var values: [String: String] = [:]

  init(_ uri: String) {
    guard let mark = uri.firstIndex(of: "?") else { return }
    for pair in uri[uri.index(after: mark)...].split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      // A pair that cannot be decoded says nothing.
      guard let name = Self.decode(parts[0]), let value = parts.count > 1 ? Self.decode(parts[1]) : "" else { continue }
      if values[name] == nil { values[name] = value }
    }
  }

  subscript(_ name: String) -> String? { values[name] }

  /// Everything but letters, digits and `-._~` as its percent-encoding.
  static func encode(_ text: String) -> String {
    text.utf8.map { byte in
      let isPlain = (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
      if isPlain { return String(UnicodeScalar(byte)) }
      return (byte < 0x10 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }

  static func decode(_ text: Substring) -> String? {
    if !text.utf8.contains(0x25) { return String(text) }
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == 0x25 else {
        bytes.append(byte)
        continue
      }
      guard let high = rest.popFirst(), let low = rest.popFirst(),
        let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
      else { return nil }
      bytes.append(value)
    }
    return String(validating: bytes, as: UTF8.self)
  }
}
