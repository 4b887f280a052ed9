import Glibc
import LinuxRuntime
import SystemKit

enum CreateCommand {
  private static let flags = [
    "no-pivot": "no-pivot", "no-new-keyring": "no-new-keyring", "detach": "detach", "d": "detach", "keep": "keep", "no-subreaper": "no-subreaper",
  ]
  private static let values = [
    "bundle": "bundle", "b": "bundle", "console-socket": "console-socket", "pid-file": "pid-file", "preserve-fds": "preserve-fds",
    "pidfd-socket": "pidfd-socket",
  ]

  static func create(_ global: GlobalOptions, _ arguments: inout Arguments, _ log: Log) throws(RuntimeError) -> Int32 {
    let options = try arguments.options(flags: flags, values: values)
    let container = try make(global, options, &arguments, log)
    try handOver(container, options)
    return 0
  }

  static func run(_ global: GlobalOptions, _ arguments: inout Arguments, _ log: Log) throws(RuntimeError) -> Int32 {
    let options = try arguments.options(flags: flags, values: values)
    let foreground = options.has("detach") ? nil : try Foreground()
    let container = try make(global, options, &arguments, log)
    var master: Int32?
    do throws(RuntimeError) {
      if options.value("console-socket") != nil { try handOver(container, options) } else { master = container.ttyMaster }
      if master != nil, foreground == nil {
        throw RuntimeError(.invalid, "cannot allocate tty if runc will detach without setting console socket")
      }
      try container.start()
    } catch {
      do throws(RuntimeError) { try remove(container) } catch { log.warning(error.message) }
      throw error
    }
    guard let foreground else { return 0 }
    let status = try foreground.wait(for: container.initPID, ttyMaster: master)
    if !options.has("keep") { try container.delete(force: true) }
    return status
  }

  private static func make(_ global: GlobalOptions, _ options: Options, _ arguments: inout Arguments, _ log: Log) throws(RuntimeError) -> Container {
    if options.value("pidfd-socket") != nil { throw RuntimeError(.invalid, "--pidfd-socket is not supported") }
    let bundle = options.value("bundle") ?? "."
    var create = CreateOptions(id: try arguments.id(), bundle: bundle, root: global.root)
    try arguments.end()
    create.noPivot = options.has("no-pivot")
    create.noNewKeyring = options.has("no-new-keyring")
    create.systemdCgroup = global.systemdCgroup
    create.pidFile = options.value("pid-file")
    create.preserveFds = try options.number("preserve-fds")
    let spec = try Container.readSpec(bundle: bundle)
    let wantsSocket = options.value("console-socket") != nil
    if spec.process?.terminal != true, wantsSocket {
      throw RuntimeError(.invalid, "cannot use console socket if container will not allocate tty")
    }
    let container = try Container.create(create, spec: spec)
    container.warnings.forEach { log.warning($0) }
    return container
  }

  private static func handOver(_ container: Container, _ options: Options) throws(RuntimeError) {
    guard let master = container.ttyMaster else { return }
    do throws(RuntimeError) {
      guard let socket = options.value("console-socket") else {
        throw RuntimeError(.invalid, "cannot allocate tty if runc will detach without setting console socket")
      }
      try ConsoleSocket.send(master, to: socket)
    } catch {
      try remove(container)
      throw error
    }
    close(master)
  }

  private static func remove(_ container: Container) throws(RuntimeError) {
    try? container.kill(signal: SIGKILL)
    var status: Int32 = 0
    waitpid(container.initPID, &status, 0)
    try container.delete(force: true)
  }
}
