import ArgumentParser
import ContainerdClient
import Protocols

struct EventsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Show what happens in the daemon, until interrupted.",
    discussion: """
      One line per event: time, namespace, topic, type. Filters as containerd has them; an event is shown if one of them matches.

        containerd-ref events 'topic~=^/tasks/'
      """)

  @OptionGroup var client: ClientOptions
  @Flag(help: "Print a JSON document per event; the payload is base64.")
  var json = false
  @Argument(help: "Filters.")
  var filters: [String] = []

  private struct Row: Encodable {
    var timestamp: String
    var namespace: String
    var topic: String
    var type: String
    var payload: [UInt8]
  }

  func run() async throws {
    do {
      try await Interruption.guarding { [self] in
        try await client.connect { connection in
          try await connection.events(filters) { envelope in
            guard case .other(_, let value) = envelope.event else { return }
            if json {
              try Output.json(
                Row(
                  timestamp: envelope.timestamp.description, namespace: envelope.namespace, topic: envelope.topic, type: value.typeURL, payload: value.value))
            } else {
              Output.text("\(envelope.timestamp) \(envelope.namespace) \(envelope.topic) \(value.typeURL)\n")
            }
          }
        }
      }
    } catch is Interrupted {}  // that is how one leaves
  }
}
