/// The distribution-spec's grammar of names. What passes is safe as a path below the registry's root: no empty, dotted or hidden component.
enum Names {
  /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, separated by `/`, at most 255 bytes.
  static func isRepository(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 255 && text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isComponent($0) }
  }

  private static func isComponent(_ text: Substring) -> Bool {
    let isWord = { (byte: UInt8) in (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) }
    guard let first = text.utf8.first, let last = text.utf8.last, isWord(first), isWord(last) else { return false }
    return text.utf8.split(whereSeparator: isWord).allSatisfy { run in
      run.elementsEqual([0x2e]) || run.elementsEqual([0x5f]) || run.elementsEqual([0x5f, 0x5f]) || run.allSatisfy { $0 == 0x2d }
    }
  }

  /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
  static func isTag(_ text: String) -> Bool {
    guard (1...128).contains(text.utf8.count), text.first != ".", text.first != "-" else { return false }
    return text.utf8.allSatisfy { (0x61...0x7a).contains($0 | 0x20) || (0x30...0x39).contains($0) || [0x5f, 0x2e, 0x2d].contains($0) }
  }

  /// Upload ids are our own: 32 hexadecimal digits.
  static func isUpload(_ text: String) -> Bool {
    text.utf8.count == 32 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  /// The order of lists: letters before case, "case-insensitive alphanumeric order" as the distribution-spec says.
  static func isOrdered(_ left: String, before right: String) -> Bool {
    let (low, high) = (left.lowercased(), right.lowercased())
    return low == high ? left.utf8.lexicographicallyPrecedes(right.utf8) : low.utf8.lexicographicallyPrecedes(high.utf8)
  }
}
