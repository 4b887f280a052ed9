/// Lines of shell, as they stand in a reproduction.
enum Shell {
  /// The word as one argument, whatever it holds.
  static func word(_ text: String) -> String {
    let plain = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./:=,@%+".contains($0)) }
    return plain && !text.isEmpty ? text : "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
  /// Words that begin with `$MNT`, the place where a tree is mounted, keep it: a reader's shell says where that is.
  static func line(_ words: [String]) -> String {
    words.map { $0.hasPrefix("$MNT") ? "\"$MNT\"" + ($0.count > 4 ? word(String($0.dropFirst(4))) : "") : word($0) }.joined(separator: " ")
  }
}
