import Foundation
import GRDB
import Protocols

/// Maps and values as columns.
enum Codec {
  static func encode(_ labels: Labels) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return String(decoding: try encoder.encode(labels), as: UTF8.self)
  }

  static func labels(_ text: String) throws -> Labels { try JSONDecoder().decode(Labels.self, from: Data(text.utf8)) }

  private struct Value: Codable {
    var type: String
    var value: Data
  }

  static func encode(_ values: [String: TypedValue]) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return String(decoding: try encoder.encode(values.mapValues { Value(type: $0.typeURL, value: Data($0.value)) }), as: UTF8.self)
  }

  static func values(_ text: String) throws -> [String: TypedValue] {
    try JSONDecoder().decode([String: Value].self, from: Data(text.utf8)).mapValues { TypedValue(typeURL: $0.type, value: [UInt8]($0.value)) }
  }

  static func time(_ text: String) -> Timestamp { Timestamp(rfc3339: text) ?? .never }

  static func value(_ type: String?, _ bytes: Data?) -> TypedValue? {
    type.map { TypedValue(typeURL: $0, value: bytes.map { [UInt8]($0) } ?? []) }
  }
}
