import FoundationEssentials

enum Base64 {
  static func decode(_ text: Substring) -> [UInt8]? { Data(base64Encoded: String(text)).map { Array($0) } }
}
