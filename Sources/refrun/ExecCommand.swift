import Glibc
import LinuxRuntime
import SystemKit

enum ExecCommand {
  static func run(_ global: GlobalOptions, _ arguments: inout Arguments, _ log: Log) throws(RuntimeError) -> Int32 {
    let options = try arguments.options(
      flags: ["detach": "detach", "d": "detach", "tty": "tty", "t": "tty", "no-new-privs": "nnp", "ignore-paused": "ignore-paused"],
      values: [
        "process": "process", "p": "process", "cwd": "cwd", "env": "env", "e": "env", "user": "user", "u": "user", "cap": "cap", "c": "cap",
        "pid-file": "pid-file", "console-socket": "console-socket", "preserve-fds": "preserve-fds", "cgroup": "cgroup",
        "additional-gids": "gids", "g": "gids", "process-label": "label", "apparmor": "apparmor",
      ])
    let container = try Container.load(root: global.root, id: arguments.id())
    let process = try self.process(options, arguments.words, container)
    var exec = ExecOptions()
    exec.pidFile = options.value("pid-file")
    exec.preserveFds = try options.number("preserve-fds")
    exec.subCgroup = options.value("cgroup")
    let socket = options.value("console-socket")
    let detached = options.has("detach")
    if process.terminal, detached, socket == nil {
      throw RuntimeError(.invalid, "cannot allocate tty if runc will detach without setting console socket")
    }
    let foreground = detached ? nil : try Foreground()
    let started = try container.exec(process, exec)
    container.warnings.forEach { log.warning($0) }
    var master = started.ttyMaster
    if let sent = master, let socket {
      try ConsoleSocket.send(sent, to: socket)
      close(sent)
      master = nil
    }
    return try foreground?.wait(for: started.pid, ttyMaster: master) ?? 0
  }

  private static func process(_ options: Options, _ words: [String], _ container: Container) throws(RuntimeError) -> ProcessSpec {
    if let path = options.value("process") {
      let bytes: [UInt8]
      do { bytes = try Files.read(path) } catch { throw RuntimeError(error, doing: "read the process") }
      return try ProcessSpec(json: bytes)
    }
    guard !words.isEmpty else { throw RuntimeError(.invalid, "process args cannot be empty") }
    var process = container.spec.process ?? ProcessSpec()
    process.args = words
    process.terminal = options.has("tty")
    process.consoleSize = nil
    process.env += options.all("env")
    if let cwd = options.value("cwd") { process.cwd = cwd }
    if options.has("nnp") { process.noNewPrivileges = true }
    if let profile = options.value("apparmor") { process.apparmorProfile = profile }
    if let label = options.value("label") { process.selinuxLabel = label }
    if let user = options.value("user") {
      let parts = user.split(separator: ":", omittingEmptySubsequences: false).map { UInt32($0) }
      guard parts.count <= 2, let uid = parts[0], let gid = parts.count == 2 ? parts[1] : .some(process.user.gid), uid <= Int32.max, gid <= Int32.max else {
        throw RuntimeError(.invalid, "--user: \"\(user)\" is not UID[:GID]")
      }
      process.user.uid = uid
      process.user.gid = gid
    }
    for text in options.all("gids") {
      guard let gid = UInt32(text) else { throw RuntimeError(.invalid, "--additional-gids: \"\(text)\" is not a number") }
      process.user.additionalGids.append(gid)
    }
    let added = options.all("cap")
    if !added.isEmpty {
      var sets = process.capabilities ?? ProcessSpec.CapabilitySets()
      // Never inheritable: a program would pass it on to whatever it runs.
      sets.bounding += added
      sets.effective += added
      sets.permitted += added
      process.capabilities = sets
    }
    return process
  }
}
