import Protocols

/// A name from an archive, made relative and plain: no empty, `.` or leading `/` parts. `..` is kept out altogether.
struct EntryPath: Hashable {
  let parts: [String]

  /// `invalidArgument` for a name with `..` or a zero byte.
  init(_ text: String) throws(ContainerdError) {
    var parts: [String] = []
    for part in text.split(separator: "/") where part != "." {
      if part == ".." { throw .invalidArgument("entry \"\(text)\" points out of the layer") }
      parts.append(String(part))
    }
    self.parts = parts
  }

  private init(parts: [String]) { self.parts = parts }

  var isRoot: Bool { parts.isEmpty }
  var name: String { parts.last ?? "" }
  var parent: EntryPath { EntryPath(parts: Array(parts.dropLast())) }
  func appending(_ name: String) -> EntryPath { EntryPath(parts: parts + [name]) }
  /// "." for the root.
  var text: String { parts.isEmpty ? "." : parts.joined(separator: "/") }
}
