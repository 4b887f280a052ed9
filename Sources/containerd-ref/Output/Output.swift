import CLinux
import Foundation

/// Writing for people and programs.
enum Output {
  static func error(_ text: String) { write(text, to: 2) }
  static func text(_ text: String) { write(text, to: 1) }

  /// One JSON document with a line's end.
  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    text(String(decoding: try encoder.encode(value), as: UTF8.self) + "\n")
  }

  /// A reader that has gone away ends the writing, and is no failure of ours.
  private static func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { CLinux.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && clinux_errno() == EINTR { continue }
      if count < 0 { return }
      rest = rest.dropFirst(count)
    }
  }
}

enum StandardStreams {
  /// A program started with closed standard streams must not find its first own files there.
  static func ensureOpen() {
    for descriptor: Int32 in 0...2 where clinux_fcntl(descriptor, F_GETFD, 0) < 0 {
      // The lowest free number is this one.
      _ = clinux_open("/dev/null", O_RDWR, 0)
    }
  }
}

/// Rows under headings, every column as wide as its widest cell.
struct Table {
  private var rows: [[String]]

  init(_ headings: [String]) { rows = [headings] }

  mutating func add(_ cells: [String]) { rows.append(cells) }

  var text: String {
    let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      var line = ""
      for (cell, width) in zip(row, widths) { line += cell + String(repeating: " ", count: width - cell.count + 2) }
      while line.hasSuffix(" ") { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}

/// Numbers as people read them.
enum Human {
  static func size(_ bytes: Int64) -> String {
    if bytes < 1024 { return "\(bytes) B" }
    var value = Double(bytes)
    var units = ["KiB", "MiB", "GiB", "TiB"]
    repeat {
      value /= 1024
      if value < 1000 || units.count == 1 { break }
      units.removeFirst()
    } while true
    return String(format: value < 10 ? "%.1f %@" : "%.0f %@", value, units[0])
  }

  /// `3 minutes ago`.
  static func age(_ seconds: Int64) -> String {
    switch seconds {
    case ..<2: "just now"
    case ..<120: "\(seconds) seconds ago"
    case ..<7200: "\(seconds / 60) minutes ago"
    case ..<172_800: "\(seconds / 3600) hours ago"
    default: "\(seconds / 86_400) days ago"
    }
  }
}
