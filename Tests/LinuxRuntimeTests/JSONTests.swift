import LinuxRuntime
import Testing

@Suite struct JSONTests {
  private func parse(_ text: String) throws -> JSONValue { try JSONParser.parse(Array(text.utf8)) }

  @Test func readsEveryKindOfValue() throws {
    let value = try parse(#" {"a":[1,-2,18446744073709551615,1.5,true,null],"b":{"c":"x"}} "#)
    #expect(value["a"] == .array([.integer(1), .integer(-2), .unsigned(.max), .double(1.5), .bool(true), .null]))
    #expect(value["b"]?["c"]?.string == "x")
  }

  @Test(arguments: [
    (#""\u00e9""#, "é"), (#""\ud83d\ude00""#, "😀"), (#""\ud83dx""#, "\u{FFFD}x"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
  ])
  func decodesEscapes(_ text: String, _ expected: String) throws {
    #expect(try parse(text).string == expected)
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":}", "01", "1.", "nul", "\"\u{1}\"", "\"\\x\"", "1 2", "{\"a\" 1}", "1e999", "-", "\"\\u12\"", "{1:2}",
  ])
  func refusesWhatIsNotJSON(_ text: String) {
    #expect(throws: RuntimeError.self) { try parse(text) }
  }

  @Test func limitsDepth() throws {
    _ = try parse(String(repeating: "[", count: 64) + String(repeating: "]", count: 64))
    #expect(throws: RuntimeError.self) { try parse(String(repeating: "[", count: 65) + String(repeating: "]", count: 65)) }
    #expect(throws: RuntimeError.self) { try JSONParser.parse([UInt8](repeating: 0x20, count: JSONParser.maximumSize + 1)) }
  }

  @Test func theLastOfANameTwiceGivenCounts() throws {
    #expect(try parse(#"{"a":1,"a":2}"#)["a"] == .integer(2))
  }

  @Test func survivesARoundTrip() throws {
    let text = #"{"a":[1,2.5,"\u0001\"é"],"b":{},"c":[],"d":9223372036854775808}"#
    let value = try parse(text)
    #expect(try JSONParser.parse(value.serialized()) == value)
    #expect(try JSONParser.parse(value.serialized(indent: 2)) == value)
    #expect(String(decoding: value.serialized(), as: UTF8.self) == text)
  }

  @Test func everyPrefixOfADocumentIsAnErrorAndNoCrash() {
    let bytes = DefaultSpec.json.serialized()
    for length in 0..<bytes.count { #expect(throws: RuntimeError.self) { try JSONParser.parse(Array(bytes[..<length])) } }
  }
}
