import LinuxRuntime

/// Options and operands as Go's flag packages take them: "--name value", "--name=value", "-n value", "--" ends options.
struct Arguments {
  private(set) var words: [String]

  init(_ words: [String]) { self.words = words }

  mutating func next() -> String? { words.isEmpty ? nil : words.removeFirst() }

  /// Takes leading options. `flags` stand alone, `values` take a word. Both map every spelling to one name.
  mutating func options(flags: [String: String], values: [String: String]) throws(RuntimeError) -> Options {
    var found = Options()
    while let word = words.first, word.hasPrefix("-"), word != "-" {
      words.removeFirst()
      if word == "--" { break }
      let body = String(word.drop { $0 == "-" })
      let equals = body.firstIndex(of: "=")
      let name = equals.map { String(body[..<$0]) } ?? body
      if let key = flags[name] {
        let value = equals.map { String(body[body.index(after: $0)...]) } ?? "true"
        found.flags[key] = value == "true" || value == "1"
      } else if let key = values[name] {
        if let equals {
          found.values[key, default: []].append(String(body[body.index(after: equals)...]))
        } else {
          guard let value = next() else { throw RuntimeError(.invalid, "flag needs an argument: \(word)") }
          found.values[key, default: []].append(value)
        }
      } else {
        throw RuntimeError(.invalid, "flag provided but not defined: \(word)")
      }
    }
    return found
  }

  mutating func id() throws(RuntimeError) -> String {
    guard let id = next() else { throw RuntimeError(.invalid, "container id cannot be empty") }
    return id
  }

  /// Options may also follow the operand.
  mutating func rotate(_ count: Int) {
    let head = words.prefix(count)
    words = Array(words.dropFirst(count)) + head
  }

  func end() throws(RuntimeError) {
    if let extra = words.first { throw RuntimeError(.invalid, "unexpected argument \"\(extra)\"") }
  }
}

struct Options {
  var flags: [String: Bool] = [:]
  var values: [String: [String]] = [:]

  func has(_ name: String) -> Bool { flags[name] ?? false }
  func value(_ name: String) -> String? { values[name]?.last }
  func all(_ name: String) -> [String] { values[name] ?? [] }

  func number(_ name: String) throws(RuntimeError) -> Int32 {
    guard let text = value(name) else { return 0 }
    guard let number = Int32(text), number >= 0 else { throw RuntimeError(.invalid, "--\(name): \"\(text)\" is not a number") }
    return number
  }
}

/// What comes before the command.
struct GlobalOptions {
  var root = "/run/refrun"
  var log: String?
  var logJSON = false
  var debug = false
  var systemdCgroup = false
  var wantsVersion = false
  var wantsHelp = false

  init(_ arguments: inout Arguments) throws(RuntimeError) {
    let options = try arguments.options(
      flags: ["debug": "debug", "systemd-cgroup": "systemd", "version": "version", "v": "version", "help": "help", "h": "help"],
      values: [
        "root": "root", "log": "log", "log-format": "format", "rootless": "rootless", "criu": "criu", "cgroup-manager": "manager",
      ])
    if let root = options.value("root") {
      guard !root.isEmpty else { throw RuntimeError(.invalid, "--root: is empty") }
      self.root = root
    }
    log = options.value("log").flatMap { $0.isEmpty ? nil : $0 }
    switch options.value("format") {
    case nil, "text": logJSON = false
    case "json": logJSON = true
    case let other?: throw RuntimeError(.invalid, "invalid log-format: \(other)")
    }
    debug = options.has("debug")
    systemdCgroup = options.has("systemd") || options.value("manager") == "systemd"
    wantsVersion = options.has("version")
    wantsHelp = options.has("help")
  }
}
