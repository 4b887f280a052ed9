import Protocols
import TOMLKit

/// A table of the document, with the path that leads to it, for messages.
struct Section {
  let table: TOMLTable
  let path: [String]

  init(_ table: TOMLTable, path: [String] = []) {
    self.table = table
    self.path = path
  }

  var keys: [String] { table.keys }

  /// `grpc.address`, `plugins."io.containerd.gc.v1.scheduler".schedule_delay`.
  func name(_ key: String) -> String {
    (path + [key]).map { $0.contains(".") ? "\"\($0)\"" : $0 }.joined(separator: ".")
  }

  func text(_ key: String) throws(ContainerdError) -> String {
    guard let value = table[key]?.string else { throw wrong(key, "must be a string") }
    return value
  }

  /// One string or several.
  func texts(_ key: String) throws(ContainerdError) -> [String] {
    guard let list = table[key]?.array else { return [try text(key)] }
    var texts: [String] = []
    for value in list {
      guard let text = value.string else { throw wrong(key, "must be a string or strings") }
      texts.append(text)
    }
    return texts
  }

  func flag(_ key: String) throws(ContainerdError) -> Bool {
    guard let value = table[key]?.bool else { throw wrong(key, "must be true or false") }
    return value
  }

  func path(_ key: String) throws(ContainerdError) -> String {
    let value = try text(key)
    guard value.hasPrefix("/") else { throw wrong(key, "must be an absolute path, not \"\(value)\"") }
    return value
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) throws(ContainerdError) -> Int {
    guard let value = table[key]?.int, range.contains(value) else { throw wrong(key, "must be a whole number from \(range.lowerBound) to \(range.upperBound)") }
    return value
  }

  func choice(_ key: String, _ choices: [String]) throws(ContainerdError) -> String {
    let value = try text(key)
    guard choices.contains(value) else { throw wrong(key, "\"\(value)\" is none of \(choices.filter { !$0.isEmpty }.joined(separator: ", "))") }
    return value
  }

  func duration(_ key: String) throws(ContainerdError) -> Duration {
    guard let value = GoDuration.parse(try text(key)) else { throw wrong(key, "must be a time like \"5s\" or \"100ms\", not \"\(try text(key))\"") }
    return value
  }

  func section(_ key: String) throws(ContainerdError) -> Section {
    guard let value = table[key]?.table else { throw wrong(key, "must be a table") }
    return Section(value, path: path + [key])
  }

  func wrong(_ key: String, _ why: String) -> ContainerdError { .invalidArgument("\(name(key)): \(why)") }
}

/// Durations as Go writes them: `1m30s`, `100ms`, `1.5h`.
enum GoDuration {
  /// Longest units first where one begins like another.
  private static let units: [(name: String, nanoseconds: Double)] = [
    ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
  ]

  /// Nil if it is none, or negative.
  static func parse(_ text: String) -> Duration? {
    if text == "0" { return .zero }
    var rest = Substring(text)
    var total = 0.0
    if rest.isEmpty { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { ("0"..."9").contains($0) || $0 == "." }
      rest = rest.dropFirst(digits.count)
      let unit = rest.prefix { !("0"..."9").contains($0) && $0 != "." }
      rest = rest.dropFirst(unit.count)
      guard let count = Double(digits), let size = units.first(where: { $0.name == unit }) else { return nil }
      total += count * size.nanoseconds
    }
    return total < 9e18 ? .nanoseconds(Int64(total)) : nil
  }

  static func text(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let milliseconds = attoseconds / 1_000_000_000_000_000
    if attoseconds == 0 { return "\(seconds)s" }
    if attoseconds % 1_000_000_000_000_000 == 0 { return "\(seconds * 1000 + milliseconds)ms" }
    return "\(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)ns"
  }
}
