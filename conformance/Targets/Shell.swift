/// Lines of shell, as they stand in a reproduction.
enum Shell {
  /// The word as one argument, whatever it holds.
  static func word(_ text: String) -> String {
    let plain = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./:=,@%+".contains($0)) }
    return plain && !text.isEmpty ? text : "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
  static func line(_ words: [String]) -> String { words.map(word).joined(separator: " ") }
}
