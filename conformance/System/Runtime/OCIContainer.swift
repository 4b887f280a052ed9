import CLinux
import ConformanceSuites
import Foundation
import SystemKit

/// A bundle and the container that is made of it.
final class OCIContainer {
  unowned let site: OCISite
  let id: String
  let bundle: String
  var config: JSON
  /// Whether `create` has been called: from then on there may be something to clean up.
  private(set) var tried = false
  private(set) var knownPID: Int32?
  private var ended: Int32?
  /// What the caller of `create` holds open beside the streams.
  var extra: (descriptor: Int32, path: String)?

  var rootfs: String { bundle + "/rootfs" }
  var pidFile: String { bundle + "/pid" }
  /// What the program has printed.
  var output: String { contents(bundle + "/out") }
  var errors: String { contents(bundle + "/err") }
  var lines: [String] { output.split(separator: "\n").map(String.init) }

  static let applets = [
    "sh", "cat", "sleep", "ls", "echo", "id", "env", "pwd", "hostname", "grep", "mkdir", "touch", "stat", "readlink", "kill", "true", "false", "ip", "dd",
    "mount",
    "tr", "sed", "chown", "nproc", "head",
  ]

  init(site: OCISite, id: String, bundle: String, script: String) throws {
    self.site = site
    self.id = id
    self.bundle = bundle
    config = Self.basic(script, cgroup: "/\(site.mark)/\(id)")
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "data"] { try Files.makeDirectories("\(rootfs)/\(name)") }
    try Files.writeAtomically(Files.read(OCISite.busybox), to: rootfs + "/bin/busybox", mode: 0o755)
    for name in Self.applets where symlink("busybox", "\(rootfs)/bin/\(name)") != 0 { throw SystemError.last("symlink", name) }
    site.subject.note(
      "a bundle with busybox",
      "mkdir -p \(rootfs)/{bin,dev,etc,proc,sys,tmp,data} && cp \(OCISite.busybox) \(rootfs)/bin/ && for a in \(Self.applets.joined(separator: " ")); "
        + "do ln -s busybox \(rootfs)/bin/$a; done", "", script: ["bundle", bundle] + Self.applets, answer: "done")
  }

  /// The smallest configuration that is useful.
  static func basic(_ script: String, cgroup: String) -> JSON {
    let capabilities = JSON(["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"])
    return [
      "ociVersion": "1.0.0",
      "process": [
        "user": ["uid": 0, "gid": 0], "args": ["/bin/sh", "-c", .string(script)], "env": ["PATH=/bin"], "cwd": "/",
        "capabilities": ["bounding": capabilities, "effective": capabilities, "permitted": capabilities],
      ],
      "root": ["path": "rootfs"],
      "mounts": [
        ["destination": "/proc", "type": "proc", "source": "proc"],
        ["destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]],
      ],
      "linux": ["cgroupsPath": .string(cgroup), "namespaces": [["type": "pid"], ["type": "mount"], ["type": "ipc"], ["type": "uts"]]],
    ]
  }

  // MARK: the bundle

  func mount(_ destination: String, type: String, source: String, _ options: [String]) {
    config["mounts"].append(["destination": .string(destination), "type": .string(type), "source": .string(source), "options": JSON(options)])
  }

  func bind(_ source: String, _ destination: String, _ options: [String] = []) { mount(destination, type: "bind", source: source, ["rbind"] + options) }

  func writeConfig() throws { try writeConfig(text: config.serialized()) }
  func writeConfig(text: String) throws {
    try write(text, to: bundle + "/config.json")
    site.subject.note("its configuration", "cat >\(bundle)/config.json <<'END'\n\(text)\nEND", "", script: ["config", bundle, text], answer: "done")
  }

  /// A further program of busybox's.
  func link(_ name: String) throws { _ = try check("symlink", name) { symlink("busybox", "\(rootfs)/bin/\(name)") } }

  // MARK: verbs, which may fail

  func tryCreate(options: [String]? = nil, _ change: (inout OCICall) -> Void = { _ in }) throws -> OCIResult {
    try writeConfig()
    return try createAsIs(options: options, change)
  }

  /// With whatever config.json there is.
  func createAsIs(options: [String]? = nil, _ change: (inout OCICall) -> Void = { _ in }) throws -> OCIResult {
    tried = true
    let result = try site.call("create", [id], options: options ?? ["--bundle", bundle, "--pid-file", pidFile]) {
      $0.bundle = bundle
      $0.stdout = bundle + "/out"
      $0.stderr = bundle + "/err"
      $0.extra = extra
      change(&$0)
    }
    if let pid = Int32(contents(pidFile).trimmingCharacters(in: .whitespacesAndNewlines)) { knownPID = pid }
    return result
  }

  func tryVerb(_ verb: String, _ more: String..., options: [String] = []) throws -> OCIResult {
    try site.call(verb, [id] + more, options: options) { $0.bundle = bundle }
  }

  // MARK: verbs, which must succeed

  func create() throws { try must("create", tryCreate()) }
  func start() throws { try must("start", tryVerb("start")) }
  func kill(_ signal: String) throws { try must("kill \(signal)", tryVerb("kill", signal)) }
  func delete() throws { try must("delete", tryVerb("delete")) }
  func deleteForced() throws { try must("delete --force", tryVerb("delete", options: ["--force"])) }

  private func must(_ what: String, _ result: OCIResult) throws {
    if result.failed {
      let errors = result.errors.isEmpty ? result.output : result.errors
      throw Mismatch(
        description: "`\(what)` must succeed, exit code \(result.code): \(errors.trimmingCharacters(in: .whitespacesAndNewlines))",
        expected: "`\(what)` succeeds", actual: "exit code \(result.code): \(errors)")
    }
  }

  /// Create and start.
  func begin() throws {
    try create()
    try start()
  }

  /// Create, start, wait for the end: the exit code.
  @discardableResult
  func run() throws -> Int32 {
    try begin()
    return try end()
  }

  /// What the script prints as the container's only process, all deleted afterwards.
  func printed() throws -> String {
    let code = try run()
    try expect(code == 0, "the program in the container must exit 0, it exited \(code) and said: \(errors)\(output)")
    try delete()
    return output.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  // MARK: what can be seen

  func pid() throws -> Int32 {
    if let knownPID { return knownPID }
    if let pid = try state()["pid"].number, pid > 0 {
      knownPID = Int32(pid)
      return Int32(pid)
    }
    throw Mismatch(description: "neither the pid file nor `state` tells the pid of the container's process")
  }

  /// Waits for the end of the container's first process: its code, or 128 and the signal.
  func end(within seconds: Double = 15) throws -> Int32 {
    if let ended { return ended }
    let pid = try pid()
    guard Children.all().contains(pid) || Children.lives(pid) else { throw Mismatch(description: "process \(pid) of the container is not there") }
    // The runtime has exited, so its child is ours; for a moment it may still be the runtime's.
    guard waitUntilAdopted(pid) else { throw SuiteError("process \(pid) of the container did not become a child of the suite") }
    guard let code = try Children.end(of: pid, within: site.seconds(seconds)) else {
      throw Mismatch(description: "the container's program did not end within \(Int(site.seconds(seconds))) s")
    }
    ended = code
    site.subject.note("the end of \(id)", "", "code \(code)", script: ["ended", bundle], answer: "ended \(code)")
    site.subject.note("what \(id) printed", "cat \(bundle)/out", output, script: ["printed", bundle], answer: "printed " + Self.oneLine(output))
    return code
  }

  static func oneLine(_ text: String) -> String { text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "/") }

  private func waitUntilAdopted(_ pid: Int32) -> Bool { waitUntil(within: 2) { Children.all().contains(pid) } }

  func state() throws -> JSON {
    let result = try tryVerb("state")
    try must("state", result)
    do { return try JSON(parsing: result.output) } catch {
      throw Mismatch(description: "`state` must print a JSON document, it printed: \(result.output)", expected: "a JSON document", actual: result.output)
    }
  }

  func status() throws -> String { try state()["status"].text ?? "no status" }

  func expectStatus(_ expected: String, _ when: String) throws { try expectEqual(try status(), expected, "the status \(when)") }

  func expectUnknown(_ when: String) throws {
    let result = try tryVerb("state")
    try expect(result.failed, "\(when), `state` must fail as for a container that does not exist, it printed: \(result.output)")
  }

  /// What a namespace of the container's process is called: `pid:[4026531836]`.
  func namespace(_ name: String) throws -> String {
    let found = try namespaceOfProcess("\(try pid())", name)
    let own = try namespaceOfProcess("self", name) != found
    site.subject.note(
      "the \(name) namespace of \(id)", "readlink /proc/\(try pid())/ns/\(name)", found, script: ["namespace", bundle, name],
      answer: own ? "its own" : "the host's")
    return found
  }

  /// The mounts that the container's process sees: mount point → options, the last of each point.
  func mountTable() throws -> [String: Set<String>] {
    var table: [String: Set<String>] = [:]
    for line in contents("/proc/\(try pid())/mountinfo").split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count > 6 { table[String(words[4])] = Set(words[5].split(separator: ",").map(String.init)) }
    }
    return table
  }

  /// Waits until the program has printed a line.
  func awaitOutput(_ line: String) throws {
    let seen = waitUntil(within: site.seconds(10)) { lines.contains(line) }
    if seen { site.sawLife = true }
    site.subject.note("the program prints \(line)", "", output, script: ["awaits", bundle + "/out", line], answer: seen ? "seen" : "not seen")
    try expect(seen, "the program must print \"\(line)\" within \(Int(site.seconds(10))) s; it printed \"\(output)\" \(errors)")
  }
}

func namespaceOfProcess(_ pid: String, _ name: String) throws -> String {
  var buffer = [CChar](repeating: 0, count: 64)
  let count = readlink("/proc/\(pid)/ns/\(name)", &buffer, buffer.count - 1)
  if count < 0 { throw Mismatch(description: "\(SystemError.last("readlink", "/proc/\(pid)/ns/\(name)"))") }
  return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// A call must be refused.
func expectRefused(_ result: OCIResult, _ what: String) throws {
  if !result.failed {
    throw Mismatch(description: "\(what): expected an error, but it succeeded", expected: "\(what): an error", actual: "exit code 0")
  }
}
