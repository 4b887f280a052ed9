import Glibc
import LinuxRuntime
import SystemKit

enum UpdateCommand {
  /// Option, object and member of `linux.resources`.
  private static let numbers: [(option: String, object: String, member: String)] = [
    ("memory", "memory", "limit"), ("memory-swap", "memory", "swap"), ("memory-reservation", "memory", "reservation"),
    ("cpu-share", "cpu", "shares"), ("cpu-shares", "cpu", "shares"), ("cpu-quota", "cpu", "quota"), ("cpu-period", "cpu", "period"),
    ("cpu-burst", "cpu", "burst"), ("cpu-idle", "cpu", "idle"), ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"), ("pids-limit", "pids", "limit"), ("blkio-weight", "blockIO", "weight"),
  ]
  private static let texts: [(option: String, member: String)] = [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")]

  static func run(_ global: GlobalOptions, _ arguments: inout Arguments) throws(RuntimeError) {
    var values = ["resources": "resources", "r": "resources"]
    for entry in numbers { values[entry.option] = entry.option }
    for entry in texts { values[entry.option] = entry.option }
    let options = try arguments.options(flags: [:], values: values)
    let container = try Container.load(root: global.root, id: arguments.id())
    if let source = options.value("resources") {
      do { try container.update(resources: Files.read(source == "-" ? "/dev/stdin" : source)) } catch let error as SystemError {
        throw RuntimeError(error, doing: "read the resources")
      } catch let error as RuntimeError {
        throw error
      } catch {
        throw RuntimeError(.system, "\(error)")
      }
      return
    }
    var objects: [String: [JSONMember]] = [:]
    for entry in numbers {
      guard let text = options.value(entry.option) else { continue }
      guard let number = Int64(text) else { throw RuntimeError(.invalid, "--\(entry.option): \"\(text)\" is not a number") }
      objects[entry.object, default: []].append(JSONMember(name: entry.member, value: .integer(number)))
    }
    for entry in texts {
      if let text = options.value(entry.option) { objects["cpu", default: []].append(JSONMember(name: entry.member, value: .string(text))) }
    }
    let json = JSONValue.object(objects.sorted { $0.key < $1.key }.map { JSONMember(name: $0.key, value: .object($0.value)) })
    try container.update(resources: json.serialized())
  }
}
