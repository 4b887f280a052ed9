/// `Range` and `Content-Range`, as far as blobs need them: one range of bytes (RFC 9110, section 14).
enum ByteRange {
  enum Wanted: Equatable {
    /// No range, several, or one that is malformed: the whole, says the RFC.
    case whole
    case part(Range<Int64>)
    case unsatisfiable
  }

  static func wanted(_ header: String?, size: Int64) -> Wanted {
    guard let header, header.hasPrefix("bytes="), !header.contains(",") else { return .whole }
    let bounds = header.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard bounds.count == 2 else { return .whole }
    if bounds[0].isEmpty {
      guard let suffix = number(bounds[1]) else { return .whole }
      return suffix == 0 || size == 0 ? .unsatisfiable : .part(max(0, size - suffix)..<size)
    }
    guard let first = number(bounds[0]) else { return .whole }
    if bounds[1].isEmpty { return first < size ? .part(first..<size) : .unsatisfiable }
    guard let last = number(bounds[1]), last >= first else { return .whole }
    return first < size ? .part(first..<min(size, last == .max ? size : last + 1)) : .unsatisfiable
  }

  /// The `Content-Range` of an upload's chunk, `FIRST-LAST` as the distribution-spec has it (clients also send `bytes FIRST-LAST/…`).
  static func chunk(_ header: String) -> ClosedRange<Int64>? {
    let text = header.hasPrefix("bytes ") ? header.dropFirst(6) : Substring(header)
    let bounds = text.prefix { $0 != "/" }.split(separator: "-", omittingEmptySubsequences: false)
    guard bounds.count == 2, let first = number(bounds[0]), let last = number(bounds[1]), first <= last else { return nil }
    return first...last
  }

  private static func number(_ text: Substring) -> Int64? { text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(text) : nil }
}
