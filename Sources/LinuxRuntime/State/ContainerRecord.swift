import CLinux

/// What state.json holds.
struct ContainerRecord {
  var id: String
  var bundle: String
  var rootfs: String
  /// Pid 0 until the first process waits for `start`.
  var process: ProcessIdentity
  /// Who makes the container: while it lives and there is no first process, the container is being made.
  var creator: ProcessIdentity?
  /// Whether the cgroups have been made: until then whoever lives in them is somebody else.
  var ownsCgroup: Bool
  /// RFC 3339, UTC.
  var created: String
  var cgroup: Cgroup
  var pivoted: Bool
  var noNewKeyring: Bool

  var json: JSONValue {
    .record([
      ("id", .string(id)), ("bundle", .string(bundle)), ("rootfs", .string(rootfs)), ("pid", .integer(Int64(process.pid))),
      ("startTime", .number(process.startTime)), ("created", .string(created)), ("pivoted", .bool(pivoted)),
      ("noNewKeyring", .bool(noNewKeyring)),
      ("creator", creator.map { .record([("pid", .integer(Int64($0.pid))), ("startTime", .number($0.startTime))]) }),
      ("ownsCgroup", .bool(ownsCgroup)),
      (
        "cgroups",
        .array(
          cgroup.directories.map {
            .record([("path", .string($0.path)), ("controllers", .strings($0.controllers)), ("unified", .bool($0.unified))])
          })
      ),
    ])
  }
}

extension ContainerRecord {
  init(parsing bytes: [UInt8]) throws(RuntimeError) {
    let json = try JSONReader(JSONParser.parse(bytes), path: "state")
    id = try json.required("id", json.string("id"))
    bundle = try json.required("bundle", json.string("bundle"))
    rootfs = try json.required("rootfs", json.string("rootfs"))
    process = ProcessIdentity(
      pid: try json.required("pid", json.integer("pid")), startTime: try json.required("startTime", json.integer("startTime")))
    if let maker = try json.object("creator") {
      creator = ProcessIdentity(
        pid: try maker.required("pid", maker.integer("pid")), startTime: try maker.required("startTime", maker.integer("startTime")))
    }
    ownsCgroup = try json.bool("ownsCgroup") ?? true
    created = try json.required("created", json.string("created"))
    pivoted = try json.bool("pivoted") ?? true
    noNewKeyring = try json.bool("noNewKeyring") ?? false
    var directories: [Cgroup.Directory] = []
    for entry in try json.objects("cgroups") {
      directories.append(
        Cgroup.Directory(
          path: try entry.required("path", entry.string("path")), controllers: try entry.strings("controllers"),
          unified: try entry.bool("unified") ?? false))
    }
    cgroup = Cgroup(directories: directories)
  }
}

/// Now, as RFC 3339 with nanoseconds, UTC.
func timestamp() -> String {
  var now = timespec()
  clock_gettime(CLOCK_REALTIME, &now)
  var seconds = now.tv_sec
  var parts = tm()
  gmtime_r(&seconds, &parts)
  func pad(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
  let day = "\(pad(Int(parts.tm_year) + 1900, 4))-\(pad(Int(parts.tm_mon) + 1, 2))-\(pad(Int(parts.tm_mday), 2))"
  let time = "\(pad(Int(parts.tm_hour), 2)):\(pad(Int(parts.tm_min), 2)):\(pad(Int(parts.tm_sec), 2))"
  return "\(day)T\(time).\(pad(now.tv_nsec, 9))Z"
}

extension Container {
  /// Now, as the records of containers have it: RFC 3339, UTC.
  public static func timestampNow() -> String { timestamp() }
}
