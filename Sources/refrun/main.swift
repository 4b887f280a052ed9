import Glibc
import LinuxRuntime

// One process, one thread, from the first line to the last: containers are cloned from it.
RunningProgram.seal()

var log = Log()
do throws(RuntimeError) {
  var arguments = Arguments(Array(CommandLine.arguments.dropFirst()))
  let global = try GlobalOptions(&arguments)
  log = Log(path: global.log, json: global.logJSON, debug: global.debug)
  let status = try Command.run(global, &arguments, log)
  exit(status)
} catch {
  log.error(error.message)
  exit(1)
}
