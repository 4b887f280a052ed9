import Protocols

/// A value as a backend's author reads it, who may not know Swift: `kind active, name "a", labels {a: 1}`; a missing value is `none`, a mode is octal.
package func words<Value>(_ value: Value) -> String { words(value, label: nil, nested: false) }

private func words(_ value: Any, label: String?, nested: Bool) -> String {
  if label?.lowercased().hasSuffix("mode") == true, let number = value as? any BinaryInteger {
    return "0" + String(UInt64(truncatingIfNeeded: number), radix: 8)
  }
  if let text = value as? String { return nested || text.isEmpty ? "\"\(text)\"" : text }
  let mirror = Mirror(reflecting: value)
  switch mirror.displayStyle {
  case .optional:
    guard let held = mirror.children.first else { return "none" }
    return words(held.value, label: label, nested: nested)
  case .collection: return "[" + mirror.children.map { words($0.value, label: nil, nested: true) }.joined(separator: ", ") + "]"
  case .set: return "{" + mirror.children.map { words($0.value, label: nil, nested: true) }.sorted().joined(separator: ", ") + "}"
  case .dictionary:
    let pairs = mirror.children.map { pair in Mirror(reflecting: pair.value).children.map { words($0.value, label: nil, nested: false) } }
    return "{" + pairs.map { $0.joined(separator: ": ") }.sorted().joined(separator: ", ") + "}"
  case .tuple: return "(" + fields(of: mirror) + ")"
  case .struct where !(value is any CustomStringConvertible): return nested ? "(\(fields(of: mirror)))" : fields(of: mirror)
  default: return "\(value)"
  }
}

private func fields(of mirror: Mirror) -> String {
  mirror.children.map { child in
    let name = child.label.flatMap { $0.hasPrefix(".") ? nil : $0 }
    let text = words(child.value, label: name, nested: true)
    return name.map { "\($0) \(text)" } ?? text
  }.joined(separator: ", ")
}
