import LinuxRuntime
import ShimWire
import SystemKit

/// How a process ended.
struct ExitRecord: Hashable, Sendable {
  var pid: UInt32
  var status: UInt32
  var exitedAt: Timestamp

  private static func file(_ bundle: String) -> String { bundle + "/exit-status.json" }

  /// Survives the shim: written before anybody is told.
  func write(bundle: String) throws(SystemError) {
    let json = JSONValue.record([
      ("pid", .integer(Int64(pid))), ("code", .integer(Int64(status))), ("seconds", .integer(exitedAt.seconds)),
      ("nanoseconds", .integer(Int64(exitedAt.nanos))),
    ])
    try Files.writeAtomically(json.serialized(), to: Self.file(bundle))
  }

  /// Nil when there is none, or not a whole one.
  static func read(bundle: String) -> ExitRecord? {
    guard let bytes = try? Files.read(file(bundle), limit: 4096), let json = try? JSONParser.parse(bytes),
      case .integer(let pid)? = json["pid"], case .integer(let code)? = json["code"], case .integer(let seconds)? = json["seconds"],
      case .integer(let nanos)? = json["nanoseconds"]
    else { return nil }
    return ExitRecord(
      pid: UInt32(truncatingIfNeeded: pid), status: UInt32(truncatingIfNeeded: code),
      exitedAt: Timestamp(seconds: seconds, nanos: Int32(truncatingIfNeeded: nanos)))
  }
}
