import ArgumentParser
import ContainerdClient
import Protocols

struct RmCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm", abstract: "Remove containers, with what they have written.",
    discussion: "A container that runs is left alone unless --force ends it first.")

  @OptionGroup var client: ClientOptions
  @Flag(name: .shortAndLong, help: "End containers that run (KILL), then remove them.")
  var force = false
  @Argument(help: "The containers.")
  var ids: [String]

  func run() async throws {
    try await client.connect { connection in
      try await Failures.all(ids) { id in
        try await ContainerRemoval(connection: connection, id: id).run(force: force)
        Output.text("\(id)\n")
      }
    }
  }
}

/// Taking a container away: task, container, snapshot, in this order.
struct ContainerRemoval: Sendable {
  let connection: ContainerdClient
  let id: String

  func run(force: Bool) async throws {
    let container = try await connection.containers.get(id)
    let task = connection.tasks.task(id)
    do {
      let state = try await task.state(exec: nil)
      if state.status != .stopped {
        guard force || state.status == .created else {
          throw ContainerdError.failedPrecondition("container \(id) is \(state.status.rawValue) (pid \(state.pid)): end it with kill, or use --force")
        }
        try await end(task, paused: state.status == .paused)
      }
      _ = try await task.delete(exec: nil)
    } catch let error as ContainerdError where error.code == .notFound {}  // no task, or it has just gone
    try await connection.containers.delete(id)
    if !container.snapshotKey.isEmpty {
      do { try await connection.snapshotter(container.snapshotter).remove(container.snapshotKey) } catch let error as ContainerdError
        where error.code == .notFound
      {}  // a collection has been faster
    }
  }

  private func end(_ task: any ContainerTask, paused: Bool) async throws {
    // One that has just ended cannot be signalled.
    do { try await task.kill(exec: nil, signal: 9, all: true) } catch let error as ContainerdError where error.code == .notFound {}
    // A paused process dies when it goes on. A runtime of today lets it go on for that by itself.
    if paused, try await task.state(exec: nil).status == .paused { try await task.resume() }
    _ = try await task.wait(exec: nil)
  }
}
