import FoundationEssentials

/// One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1): a scheme and its parameters.
struct AuthChallenge: Sendable {
  var scheme: String
  var parameters: [String: String]

  static func parse(_ header: String) -> [AuthChallenge] {
    let bytes = Array(header.utf8)
    var position = 0
    var challenges: [AuthChallenge] = []
    func word() -> String {
      let start = position
      while position < bytes.count, ![0x20, 0x2c, 0x3d, 0x22].contains(bytes[position]) { position += 1 }
      return String(decoding: bytes[start..<position], as: UTF8.self)
    }
    while position < bytes.count {
      if bytes[position] == 0x20 || bytes[position] == 0x2c {
        position += 1
        continue
      }
      let name = word()
      if name.isEmpty {
        position += 1
        continue
      }
      if position < bytes.count, bytes[position] == 0x3d {
        position += 1
        var value: [UInt8] = []
        if position < bytes.count, bytes[position] == 0x22 {
          position += 1
          while position < bytes.count, bytes[position] != 0x22 {
            if bytes[position] == 0x5c, position + 1 < bytes.count { position += 1 }
            value.append(bytes[position])
            position += 1
          }
          position += 1
        } else {
          value = Array(word().utf8)
        }
        if !challenges.isEmpty { challenges[challenges.count - 1].parameters[name.lowercased()] = String(decoding: value, as: UTF8.self) }
      } else {
        challenges.append(AuthChallenge(scheme: name.lowercased(), parameters: [:]))
      }
    }
    return challenges
  }
}

enum TokenResponse {
  /// `token`, or `access_token` as OAuth has it.
  static func token(_ bytes: [UInt8]) -> String? {
    struct Wire: Decodable {
      var token: String?
      var access_token: String?
    }
    // What is no JSON is no token: the caller says so.
    guard let wire = try? JSONDecoder().decode(Wire.self, from: Data(bytes)) else { return nil }
    return [wire.token, wire.access_token].compactMap { $0 }.first { !$0.isEmpty }
  }
}

enum Base64 {
  static func encode(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
}
