import Foundation

/// What the package is made of, as a value: which target is where, and what it declares.
struct PackageGraph: Sendable {
  struct Target: Sendable {
    var name: String
    /// Relative to the package.
    var path: String
    /// Targets of this package.
    var targets: Set<String>
    /// Products of other packages.
    var products: Set<String> = []
    var isTest = false
    /// Modules imported by the target's Swift files, and by which.
    var imports: [String: Set<String>] = [:]
  }

  var targets: [String: Target] = [:]

  /// Every target that code of `name` can come to, through any number of others.
  func reach(_ name: String) -> Set<String> {
    var seen: Set<String> = []
    var pending = [name]
    while let next = pending.popLast() {
      for dependency in targets[next]?.targets ?? [] where seen.insert(dependency).inserted { pending.append(dependency) }
    }
    return seen
  }

  /// Products of other packages that `name` can come to.
  func products(_ name: String) -> Set<String> { reach(name).union([name]).reduce(into: []) { $0.formUnion(targets[$1]?.products ?? []) } }
}

extension PackageGraph {
  struct Unreadable: Error, CustomStringConvertible { let description: String }

  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// Asks `swift package describe --type json` about the whole package, whatever part of it this run was told to build, and reads all imports.
  static func read() throws -> PackageGraph {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    let scratch = NSTemporaryDirectory() + "/ref-graph-\(getpid())"
    process.arguments = ["swift", "package", "--package-path", root, "--scratch-path", scratch, "describe", "--type", "json"]
    process.environment = ProcessInfo.processInfo.environment.filter { $0.key != "REF_ONLY" && $0.key != "CORE_ONLY" }
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    // Warnings of the manifest are few: they fit the pipe.
    let data = output.fileHandleForReading.readDataToEndOfFile()
    let complaint = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    if process.terminationStatus != 0 { throw Unreadable(description: "swift package describe: \(String(decoding: complaint, as: UTF8.self))") }
    var graph = try PackageGraph(describing: data)
    for name in graph.targets.keys { try graph.readImports(of: name) }
    return graph
  }

  /// From the output of `swift package describe --type json`.
  init(describing json: Data) throws {
    struct Description: Decodable {
      struct Target: Decodable {
        var name: String
        var path: String
        var type: String
        var target_dependencies: [String]?
        var product_dependencies: [String]?
      }
      var targets: [Target]
    }
    for target in try JSONDecoder().decode(Description.self, from: json).targets {
      targets[target.name] = Target(
        name: target.name, path: target.path, targets: Set(target.target_dependencies ?? []), products: Set(target.product_dependencies ?? []),
        isTest: target.type == "test" || target.path.hasPrefix("Tests/"))
    }
  }

  private mutating func readImports(of name: String) throws {
    guard let target = targets[name], let files = FileManager.default.enumerator(atPath: "\(Self.root)/\(target.path)") else { return }
    for case let file as String in files where file.hasSuffix(".swift") {
      for module in Self.imports(in: try String(contentsOfFile: "\(Self.root)/\(target.path)/\(file)", encoding: .utf8)) {
        targets[name]?.imports[module, default: []].insert("\(target.path)/\(file)")
      }
    }
  }

  /// Modules that a Swift file imports, whatever stands before and after the word.
  static func imports(in source: String) -> Set<String> {
    let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
    var modules: Set<String> = []
    for line in source.split(separator: "\n") {
      var words = line.split(whereSeparator: \.isWhitespace)
      while let first = words.first, first.hasPrefix("@") || ["public", "package", "internal", "fileprivate", "private"].contains(first) { words.removeFirst() }
      guard words.first == "import", words.count > 1 else { continue }
      let named = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
      if let module = named.split(separator: ".").first { modules.insert(String(module)) }
    }
    return modules
  }
}
