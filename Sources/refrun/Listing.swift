import Glibc
import LinuxRuntime

/// Commands that only show.
enum Listing {
  private static let format = ["format": "format", "f": "format"]

  static func list(_ global: GlobalOptions, _ arguments: inout Arguments) throws(RuntimeError) {
    let options = try arguments.options(flags: ["quiet": "quiet", "q": "quiet"], values: format)
    let containers = try Container.list(root: global.root)
    if options.has("quiet") {
      containers.forEach { Output.line($0.id) }
      return
    }
    switch options.value("format") ?? "table" {
    case "json":
      var entries: [JSONValue] = []
      for container in containers {
        guard case .object(let members) = try JSONParser.parse(container.stateJSON()) else { continue }
        entries.append(.object(members + [JSONMember(name: "owner", value: .string("root"))]))
      }
      Output.line(JSONValue.array(entries).serialized())
    case "table":
      var rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
      for container in containers {
        let state = container.state
        rows.append([container.id, state == .stopped ? "0" : String(container.initPID), state.rawValue, container.bundle, container.created, "root"])
      }
      table(rows)
    case let other: throw RuntimeError(.invalid, "invalid format option \"\(other)\"")
    }
  }

  private static func table(_ rows: [[String]]) {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
    for row in rows {
      var line = ""
      for (column, cell) in row.enumerated() {
        line += cell
        if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 3) }
      }
      Output.line(line)
    }
  }

  static func processes(_ global: GlobalOptions, _ arguments: inout Arguments) throws(RuntimeError) {
    var options = try arguments.options(flags: [:], values: format)
    let id = try arguments.id()
    if options.value("format") == nil { options = try arguments.options(flags: [:], values: format) }
    let pids = try Container.load(root: global.root, id: id).pids()
    switch options.value("format") ?? "table" {
    case "json": Output.line(JSONValue.array(pids.map { .integer(Int64($0)) }).serialized())
    case "table": try Processes.print(pids)
    case let other: throw RuntimeError(.invalid, "invalid format option \"\(other)\"")
    }
  }

  static func events(_ global: GlobalOptions, _ arguments: inout Arguments) throws(RuntimeError) {
    let options = try arguments.options(flags: ["stats": "stats"], values: ["interval": "interval"])
    let container = try Container.load(root: global.root, id: arguments.id())
    guard container.state != .stopped else { throw RuntimeError(.wrongState, "container with id \(container.id) is not running") }
    let pause = options.value("interval").flatMap { UInt32($0.hasSuffix("s") ? $0.dropLast() : $0[...]) } ?? 5
    repeat {
      let event = JSONValue.record([
        ("type", .string("stats")), ("id", .string(container.id)), ("data", try container.stats().json),
      ])
      Output.line(event.serialized())
      if options.has("stats") { return }
      sleep(max(pause, 1))
    } while container.state != .stopped
  }
}
