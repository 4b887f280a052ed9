import ArgumentParser
import ContainerdClient
import Protocols

struct PsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ps", abstract: "List containers.",
    discussion: """
      Shows the containers that have a task: those that run, and those whose program has ended and that nobody has removed yet. EXIT is the program's \
      exit status, 128 and the signal's number if a signal ended it.
      """)

  @OptionGroup var client: ClientOptions
  @Flag(name: .shortAndLong, help: "Also containers without a task.")
  var all = false
  @Flag(help: "Print JSON.")
  var json = false

  private struct Row: Encodable, Sendable {
    var id: String
    var image: String
    var pid: UInt32?
    var status: String
    var exitStatus: UInt32?
    var createdAt: String
    var exitedAt: String?
    var labels: [String: String]
  }

  func run() async throws {
    let (containers, tasks) = try await client.connect { (try await $0.containers.list(.all), try await $0.tasks.list()) }
    let states = Dictionary(tasks.map { ($0.containerID, $0) }, uniquingKeysWith: { first, _ in first })
    let shown = containers.filter { all || states[$0.id] != nil }
    if json {
      let rows = shown.map { container in
        let state = states[container.id]
        return Row(
          id: container.id, image: container.image, pid: state.flatMap { $0.status == .stopped ? nil : $0.pid }, status: state?.status.rawValue ?? "none",
          exitStatus: state?.exit?.code, createdAt: container.createdAt.description, exitedAt: state?.exit?.exitedAt.description, labels: container.labels)
      }
      return try Output.json(rows)
    }
    let now = Timestamp.now()
    var table = Table(["ID", "IMAGE", "PID", "STATUS", "EXIT", "CREATED"])
    for container in shown {
      let state = states[container.id]
      table.add([
        container.id, container.image.isEmpty ? "-" : container.image, state.flatMap { $0.status == .stopped ? nil : "\($0.pid)" } ?? "-",
        state?.status.rawValue ?? "no task", state?.exit.map { "\($0.code)" } ?? "-", Human.age(now.seconds - container.createdAt.seconds),
      ])
    }
    Output.text(table.text)
  }
}
