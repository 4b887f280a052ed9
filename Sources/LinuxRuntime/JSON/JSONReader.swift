/// Typed access to a JSON object; every mismatch names the place: "linux.namespaces[2].type: a string is expected".
struct JSONReader {
  let value: JSONValue
  let path: String

  init(_ value: JSONValue, path: String) throws(RuntimeError) {
    guard case .object = value else { throw RuntimeError(.invalid, "\(path): an object is expected") }
    self.value = value
    self.path = path
  }

  private func place(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
  func error(_ name: String, _ what: String) -> RuntimeError { RuntimeError(.invalid, "\(place(name)): \(what)") }

  func has(_ name: String) -> Bool { value[name] != nil }

  func object(_ name: String) throws(RuntimeError) -> JSONReader? {
    guard let found = value[name] else { return nil }
    return try JSONReader(found, path: place(name))
  }

  func string(_ name: String) throws(RuntimeError) -> String? {
    guard let found = value[name] else { return nil }
    guard let text = found.string else { throw error(name, "a string is expected") }
    guard !text.utf8.contains(0) else { throw error(name, "a zero byte") }
    return text
  }

  func bool(_ name: String) throws(RuntimeError) -> Bool? {
    guard let found = value[name] else { return nil }
    guard case .bool(let flag) = found else { throw error(name, "true or false is expected") }
    return flag
  }

  func integer<T: FixedWidthInteger>(_ name: String, as type: T.Type = T.self) throws(RuntimeError) -> T? {
    guard let found = value[name] else { return nil }
    let exact: T?
    switch found {
    case .integer(let number): exact = T(exactly: number)
    case .unsigned(let number): exact = T(exactly: number)
    case .double(let number): exact = T(exactly: number)
    default: throw error(name, "a whole number is expected")
    }
    guard let exact else { throw error(name, "the number does not fit \(T.self)") }
    return exact
  }

  func array(_ name: String) throws(RuntimeError) -> [JSONValue] {
    guard let found = value[name] else { return [] }
    guard case .array(let elements) = found else { throw error(name, "an array is expected") }
    return elements
  }

  func objects(_ name: String) throws(RuntimeError) -> [JSONReader] {
    var readers: [JSONReader] = []
    for (index, element) in try array(name).enumerated() {
      readers.append(try JSONReader(element, path: "\(place(name))[\(index)]"))
    }
    return readers
  }

  func strings(_ name: String) throws(RuntimeError) -> [String] {
    var texts: [String] = []
    for (index, element) in try array(name).enumerated() {
      guard let text = element.string, !text.utf8.contains(0) else { throw error("\(name)[\(index)]", "a string without zero bytes is expected") }
      texts.append(text)
    }
    return texts
  }

  func integers<T: FixedWidthInteger>(_ name: String, as type: T.Type = T.self) throws(RuntimeError) -> [T] {
    var numbers: [T] = []
    for (index, element) in try array(name).enumerated() {
      guard case .integer(let number) = element, let exact = T(exactly: number) else {
        throw error("\(name)[\(index)]", "a whole number that fits \(T.self) is expected")
      }
      numbers.append(exact)
    }
    return numbers
  }

  /// Members whose values are strings, in order.
  func stringMap(_ name: String) throws(RuntimeError) -> [(String, String)] {
    guard let found = value[name] else { return [] }
    guard case .object(let members) = found else { throw error(name, "an object is expected") }
    var pairs: [(String, String)] = []
    for member in members {
      guard let text = member.value.string, !text.utf8.contains(0) else { throw error("\(name).\(member.name)", "a string is expected") }
      pairs.append((member.name, text))
    }
    return pairs
  }

  func required<T>(_ name: String, _ found: T?) throws(RuntimeError) -> T {
    guard let found else { throw error(name, "is missing") }
    return found
  }
}
