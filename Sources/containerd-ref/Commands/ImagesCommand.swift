import ArgumentParser
import ContainerdClient
import Hashing
import OCI
import Protocols

struct ImagesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "images", abstract: "List the images that the daemon has, or remove some.", subcommands: [List.self, Remove.self],
    defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ls", abstract: "List the images that the daemon has.",
      discussion:
        "The size is what this machine's platform needs, as it comes from a registry; \"incomplete\" where something of it is not there. --json has the whole digests."
    )

    @OptionGroup var client: ClientOptions
    @Flag(help: "Print JSON.")
    var json = false

    private struct Row: Encodable, Sendable {
      var name: String
      var digest: String
      var mediaType: String
      var size: Int64?
      var createdAt: String
      var labels: [String: String]
    }

    func run() async throws {
      let rows = try await client.connect { connection in
        var rows: [Row] = []
        for image in try await connection.images.list(.all) {
          rows.append(
            Row(
              name: image.name, digest: image.target.digest.description, mediaType: image.target.mediaType, size: try await size(of: image, connection),
              createdAt: image.createdAt.description, labels: image.labels))
        }
        return rows
      }
      if json { return try Output.json(rows) }
      var table = Table(["NAME", "DIGEST", "SIZE"])
      for row in rows { table.add([row.name, String(row.digest.prefix(19)), row.size.map(Human.size) ?? "incomplete"]) }
      Output.text(table.text)
    }

    /// Nil for an image of which something is missing.
    private func size(of image: ImageRecord, _ connection: ContainerdClient) async throws -> Int64? {
      do { return try await StoredImage(image.target, in: connection.content).size } catch let error as ContainerdError where error.code == .notFound {
        return nil
      }
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "rm", abstract: "Remove images by name.",
      discussion: "What no other image or container needs is freed soon after. Containers made from the image go on.")

    @OptionGroup var client: ClientOptions
    @Argument(help: "Names as \"images\" shows them.")
    var names: [String]

    func run() async throws {
      try await client.connect { connection in
        try await Failures.all(names) { name in
          let full = try await connection.imageName(name)
          try await connection.images.delete(full)
          Output.text("\(full)\n")
        }
      }
    }
  }
}

/// One command about several things: a failure of one keeps nothing from the others.
enum Failures {
  static func all(_ names: [String], _ body: (String) async throws -> Void) async throws {
    var failed: [any Error] = []
    for name in names {
      do { try await body(name) } catch { failed.append(error) }
    }
    for error in failed.dropLast() { Failure.say("\((error as? ContainerdError)?.message ?? "\(error)")") }
    if let last = failed.last { throw last }
  }
}
