import ConformanceSuites
import Foundation
import SystemKit

/// A container whose hooks write down that they ran, and what they saw.
final class HookedContainer {
  let container: OCIContainer
  let site: OCISite
  /// The directory of notes, as the host and as the container see it.
  let notes: String
  static let inside = "/notes"
  static let runtimeSide = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]

  init(_ site: OCISite, _ script: String = "echo program >>/notes/order; sleep 100") throws {
    self.site = site
    container = try site.container(script)
    notes = container.bundle + "/notes"
    try Files.makeDirectories(notes)
    try Files.makeDirectories(container.rootfs + Self.inside)
    container.bind(notes, Self.inside)
    try write("", to: notes + "/order")
  }

  /// Adds a hook. Its script finds the notes in `$N` and the state in `$N/NAME.state`.
  func add(_ kind: String, _ name: String? = nil, _ script: String = "", _ change: (inout JSON) -> Void = { _ in }) {
    let name = name ?? kind
    let directory = kind == "startContainer" ? Self.inside : notes
    var hook: JSON = [
      "path": "/bin/sh",
      "args": ["sh", "-c", .string("N=\(directory); echo \(name) >>$N/order; cat >$N/\(name).state; \(script)")],
      "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    ]
    change(&hook)
    container.config["hooks"][kind].append(hook)
  }

  var order: [String] { contents(notes + "/order").split(separator: "\n").map(String.init) }
  func note(_ name: String) -> String { contents("\(notes)/\(name)").trimmingCharacters(in: .whitespacesAndNewlines) }

  func state(_ name: String) throws -> JSON {
    let text = contents("\(notes)/\(name).state")
    do { return try JSON(parsing: text) } catch {
      throw Mismatch(description: "the hook \(name) must get the container's state as JSON on its standard input, it got \"\(text)\"")
    }
  }

  func awaitProgram() throws {
    let seen = waitUntil(within: site.seconds(5)) { order.contains("program") }
    try expect(seen, "the program did not run; what ran: \(order)")
  }

  /// Kill, wait and delete.
  func finish() throws {
    try container.kill("KILL")
    _ = try container.end()
    try container.delete()
  }
}
