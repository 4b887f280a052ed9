/// A JSON document in memory. Objects keep their order; of a name given twice the last counts, as in runc.
public enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// Only for whole numbers above `Int64.max`.
  case unsigned(UInt64)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([JSONMember])

  public subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    guard let value = members.last(where: { $0.name == name })?.value, value != .null else { return nil }
    return value
  }

  public var string: String? {
    if case .string(let value) = self { return value }
    return nil
  }

  /// Makes an object from pairs, leaving out those without a value.
  public static func record(_ members: [(String, JSONValue?)]) -> JSONValue {
    .object(members.compactMap { name, value in value.map { JSONMember(name: name, value: $0) } })
  }

  public static func strings(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }
  public static func number(_ value: UInt64) -> JSONValue {
    Int64(exactly: value).map { .integer($0) } ?? .unsigned(value)
  }
}

public struct JSONMember: Hashable, Sendable {
  public var name: String
  public var value: JSONValue

  public init(name: String, value: JSONValue) {
    self.name = name
    self.value = value
  }
}
