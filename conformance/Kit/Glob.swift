/// `*` stands for any characters, `?` for one. A pattern without either names one id, or everything below it: `snapshots.prepare`.
public struct Glob: Sendable, CustomStringConvertible {
  public let description: String
  private let pattern: [Character]

  public init(_ pattern: String) {
    description = pattern
    self.pattern = Array(pattern)
  }

  public func matches(_ text: String) -> Bool {
    if !pattern.contains(where: { $0 == "*" || $0 == "?" }) { return text == description || text.hasPrefix(description + ".") }
    let text = Array(text)
    var (p, t, star, mark) = (0, 0, -1, 0)
    while t < text.count {
      if p < pattern.count, pattern[p] == "?" || pattern[p] == text[t], pattern[p] != "*" {
        p += 1
        t += 1
      } else if p < pattern.count, pattern[p] == "*" {
        star = p
        mark = t
        p += 1
      } else if star >= 0 {
        p = star + 1
        mark += 1
        t = mark
      } else {
        return false
      }
    }
    while p < pattern.count, pattern[p] == "*" { p += 1 }
    return p == pattern.count
  }
}
