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
    for directory in [notes, container.rootfs + Self.inside] {
      site.subject.note("a directory for notes", "mkdir -p \(directory)", "", script: ["directory", directory], answer: "done")
    }
    site.subject.note("nothing has run", "", "", script: ["file", notes + "/order", ""], answer: "done")
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

  private var ran: [String] { contents(notes + "/order").split(separator: "\n").map(String.init) }
  /// What has run so far.
  var order: [String] {
    taken("what has run", "noted", "order", "noted " + OCIContainer.oneLine(contents(notes + "/order")))
    return ran
  }
  func note(_ name: String) -> String {
    let text = contents("\(notes)/\(name)")
    taken("the note \(name)", "noted", name, "noted " + OCIContainer.oneLine(text))
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }
  private func taken(_ text: String, _ function: String, _ name: String, _ answer: String) {
    site.subject.note(text, "cat \(notes)/\(name)", "", script: [function, "\(notes)/\(name)"], answer: answer)
  }

  func state(_ name: String) throws -> JSON {
    let text = contents("\(notes)/\(name).state")
    taken("the state that \(name) got", "noted_state", name + ".state", OCIRuntimeSubject.told(text))
    do { return try JSON(parsing: text) } catch {
      throw Mismatch(description: "the hook \(name) must get the container's state as JSON on its standard input, it got \"\(text)\"")
    }
  }

  func awaitProgram() throws {
    let seen = waitUntil(within: site.seconds(5)) { ran.contains("program") }
    site.subject.note("the program runs", "", "", script: ["awaits", notes + "/order", "program"], answer: seen ? "seen" : "not seen")
    try expect(seen, "the program did not run; what ran: \(ran)")
  }

  /// Kill, wait and delete.
  func finish() throws {
    try container.kill("KILL")
    _ = try container.end()
    try container.delete()
  }
}
