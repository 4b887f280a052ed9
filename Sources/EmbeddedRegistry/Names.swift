/// Names that are the registry's own affair; the grammar of the others is OCI's.
enum Names {
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
