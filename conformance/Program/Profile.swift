import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import SystemKit

/// What is known of a backend beyond its address: a file of `key = value` lines, as `init` writes it.
struct Profile {
  var target: String
  var name: String?
  /// Capabilities that the backend's author says it does not have.
  var without: Set<String> = []
  var only: [String] = []
  var skip: [String] = []
  var knownFailing: [String] = []
  var jobs: Int?
  var patience: Double?
  var timeout: Double?
  var start: String?
  var stop: String?
  var restart: String?

  static let keys: [(key: String, meaning: String)] = [
    ("target", "the address"), ("name", "how the backend is called in reports"),
    ("without", "a capability that it does not have; repeatable"), ("select", "only these cases; repeatable"),
    ("skip", "not these cases; repeatable"), ("known-failing", "a file of known failures; repeatable"), ("jobs", "cases at once"),
    ("patience", "deadlines are multiplied by it"), ("timeout", "seconds for one case"), ("start", "a command that starts the backend"),
    ("stop", "a command that stops it"), ("restart", "a command that makes it live again after it died"),
  ]

  init(addressOrFile text: String) throws {
    if text.contains(":") || !Files.exists(text) {
      target = text
    } else {
      target = ""
      try read(contents(of: text), file: text)
      if target.isEmpty { throw SuiteError("\(text): a profile must say `target = ADDRESS`") }
    }
  }

  private mutating func read(_ contents: String, file: String) throws {
    for (number, raw) in contents.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = raw.drop { $0 == " " || $0 == "\t" }
      if line.isEmpty || line.hasPrefix("#") { continue }
      let parts = line.split(separator: "=", maxSplits: 1).map { $0.trimmed }
      guard parts.count == 2, !parts[1].isEmpty else { throw SuiteError("\(file):\(number + 1): a line of a profile is `key = value`; got \"\(line)\"") }
      let value = parts[1]
      func number_<Value: LosslessStringConvertible>(_ type: Value.Type) throws -> Value {
        guard let number = Value(value) else { throw SuiteError("\(file):\(number + 1): \(parts[0]) is a number; got \"\(value)\"") }
        return number
      }
      switch parts[0] {
      case "target": target = value
      case "name": name = value
      case "without": without.insert(value)
      case "select": only.append(value)
      case "skip": skip.append(value)
      case "known-failing": knownFailing.append(value.hasPrefix("/") ? value : Files.parent(of: file.contains("/") ? file : "./" + file) + "/" + value)
      case "jobs": jobs = try number_(Int.self)
      case "patience": patience = try number_(Double.self)
      case "timeout": timeout = try number_(Double.self)
      case "start": start = value
      case "stop": stop = value
      case "restart": restart = value
      default:
        throw SuiteError("\(file):\(number + 1): no such key: \(parts[0]); there are \(Self.keys.map(\.key).joined(separator: ", "))")
      }
    }
  }

  /// What the command line says wins.
  func apply(to running: inout RunningOptions) {
    if running.only.isEmpty { running.only = only }
    running.without += skip
    running.knownFailing += knownFailing
    if let jobs, running.jobs == 2 { running.jobs = jobs }
    if let patience, running.patience == 1 { running.patience = patience }
    if let timeout, running.timeout == 120 { running.timeout = timeout }
  }

  func open() throws -> Target {
    var opened = try Target(named: target)
    for name in without.sorted() where !Catalogue.cases.contains(where: { $0.info.needs.contains(name) }) {
      throw SuiteError("without = \(name): no case needs a capability of that name")
    }
    opened.capabilities = opened.capabilities.filter { !without.contains($0.name) }
    return opened
  }
}

extension Substring {
  var trimmed: String {
    String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" || $0 == "\r" }.reversed())
  }
}
