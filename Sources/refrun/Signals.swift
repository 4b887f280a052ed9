import LinuxRuntime

enum Signals {
  private static let names = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
    "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
  ]

  /// "9", "KILL", "SIGKILL", "sigkill".
  static func number(_ text: String) throws(RuntimeError) -> Int32 {
    if let number = Int32(text), (0...64).contains(number) { return number }
    var name = text.uppercased()
    if name.hasPrefix("SIG") { name.removeFirst(3) }
    guard let index = names.firstIndex(of: name) else { throw RuntimeError(.invalid, "unknown signal \"\(text)\"") }
    return Int32(index + 1)
  }
}
